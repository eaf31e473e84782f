"""The first half of an examination: chain, tree and tiles, derived anew from the stored entries.

Unlike the audit of a published log it does not end at the first flaw. A damaged bundle is reported, and the
walk goes on with what the entry after it and the tile of leaf hashes say, so that all that is sound behind
it is still checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading
from access_log.archive import Archive
from access_log.audit import examine, previous_of, time_of
from access_log.blame import Suspect, accuse
from access_log.encoding import HASH_SIZE
from access_log.entry import SIZE, first_chain
from access_log.findings import Findings
from access_log.merkle import Frontier, full_root, leaf_hash
from access_log.tiles import HEIGHT, WIDTH, encode_bundle, tile_path

CHUNK: Final = 8 * WIDTH
"""Entries in memory at a time."""

_TILES = text(
    "SELECT index, hashes, root FROM access_log.tile"
    " WHERE log = :log AND level = :level AND index >= :first AND index < :end"
)


@dataclass(frozen=True, slots=True)
class _StoredTile:
    """A row of the tile table."""

    hashes: tuple[bytes, ...]
    root: bytes

    def has_root_of(self, leaves: Sequence[bytes]) -> bool:
        """Whether the root kept beside the hashes is right; that of altered hashes is not blamed too."""
        return len(self.hashes) != WIDTH or self.root in (full_root(self.hashes), full_root(leaves))


@dataclass
class Derivation:
    """The walk from the first entry to the last, and what follows from what it read.

    Attributes:
        connection: Sees one state of the database throughout.
        log: The log's number.
        origin: Its origin.
        end: One more than the highest index stored.
        known: A size whose root the outside lock holds; the walk derives its own root there.
        archive: Where entries stand whose partition is gone.
        target: The root all entries should have, to tell which of the last two was altered.
        chain: The chain value after the last entry.
        time: Of the last entry, ms since the epoch.
        frontier: Of the tree; None once entries are missing where no tile states their hashes.
        known_root: The derived root at `known`; None where it cannot be derived.
        entries_hold: Whether every entry is there, of the format and in the chain.
        tiles: How many stored tiles were compared.
    """

    connection: AsyncConnection
    log: int
    origin: str
    findings: Findings
    end: int
    known: int | None
    target: bytes | None
    archive: Archive | None = None
    chain: bytes = field(init=False)
    time: int = 0
    frontier: Frontier | None = field(default_factory=Frontier.empty)
    known_root: bytes | None = None
    entries_hold: bool = True
    tiles: int = 0
    _rows: list[list[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chain = first_chain(self.origin)

    async def run(self, progress: Callable[[int], None]) -> None:
        """Walks through all entries; tells how many it has behind it."""
        for first in range(0, self.end, CHUNK):
            stop = min(first + CHUNK, self.end)
            # One more than the chunk: the entry after a bundle bears witness to its last one.
            found = dict(await reading.entries(self.connection, self.log, self.archive, first, stop + 1))
            tiles = await self._read_tiles(0, first // WIDTH, stop // WIDTH)
            for start in range(first, stop, WIDTH):
                indexes = range(start, min(start + WIDTH, stop))
                await self._bundle(
                    start,
                    [found.get(index) for index in indexes],
                    tiles.get(start // WIDTH),
                    found.get(indexes.stop),
                )
            progress(stop)
        if self.frontier is not None and self.known == self.frontier.size:
            self.known_root = self.frontier.root()

    async def _bundle(
        self,
        start: int,
        entries: Sequence[bytes | None],
        tile: _StoredTile | None,
        following: bytes | None,
    ) -> None:
        run = [entry for entry in takewhile(lambda one: one is not None, entries) if entry is not None]
        stated = tile.hashes if tile is not None else ()
        whole = len(run) == len(entries) and all(len(entry) == SIZE for entry in run)
        examined = examine(encode_bundle(run), len(entries)) if whole else None
        if examined is not None and not examined[0].follows(self.chain, self.time):
            examined = None
        if examined is None or (tile is not None and list(stated) != examined[1]):
            self._accuse(start, run, entries, stated, following)
            if examined is not None and following is not None and previous_of(following) != examined[0].chain:
                examined = None  # The entry after it vouches for the tile: the bundle's last one was altered.
        leaves: Sequence[bytes] | None
        if examined is not None:
            audited, leaves = examined
            self.chain, self.time = audited.chain, audited.last_time
        else:
            self.entries_hold = False
            leaves = self._go_on(run, entries, stated, following)
        await self._grow(start, leaves, tile)

    def _accuse(
        self,
        start: int,
        run: Sequence[bytes],
        entries: Sequence[bytes | None],
        stated: Sequence[bytes],
        following: bytes | None,
    ) -> None:
        """Names the first bad entry of a bundle, and every other one that its tile speaks against."""
        before = self.frontier
        suspect = Suspect(
            start,
            len(entries),
            run,
            self.chain,
            self.time,
            stated,
            following=lambda: following,
            completes=lambda leaves: before is not None and before.extend(leaves).root() == self.target,
        )
        error = accuse(suspect)
        if error is None:
            path = tile_path(0, start // WIDTH)
            self.findings.add(start, f"{path}, which states its hash, does not have {WIDTH} hashes")
            return
        self.findings.add(error.index, error.reason)
        for at, entry in enumerate(entries):
            if entry is None:
                self.findings.add(start + at, "it is missing from the database")
            elif len(stated) == WIDTH and leaf_hash(entry) != stated[at]:
                self.findings.add(start + at, "its hash is not the one the tile of leaf hashes states")

    def _go_on(
        self,
        run: Sequence[bytes],
        entries: Sequence[bytes | None],
        stated: Sequence[bytes],
        following: bytes | None,
    ) -> Sequence[bytes] | None:
        """Takes the chain up again behind a damaged bundle; returns the leaf hashes it should have."""
        if following is not None and len(following) == SIZE:
            self.chain, self.time = previous_of(following), time_of(following)
        if len(stated) == len(entries):
            return stated
        return [leaf_hash(entry) for entry in run] if len(run) == len(entries) else None

    async def _grow(self, start: int, leaves: Sequence[bytes] | None, tile: _StoredTile | None) -> None:
        if self.frontier is None or leaves is None:
            self.frontier = None
            return
        more = -1 if self.known is None else self.known - start
        if 0 <= more < len(leaves):
            self.known_root = self.frontier.extend(leaves[:more]).root()
        if len(leaves) < WIDTH:
            self.frontier = self.frontier.extend(leaves)
            return
        root = full_root(leaves)
        if tile is None:
            self.findings.add(start, f"{tile_path(0, start // WIDTH)}, which states its hash, is missing")
        else:
            self.tiles += 1
            if not tile.has_root_of(leaves):
                self.findings.add(
                    start, f"the root kept beside {tile_path(0, start // WIDTH)} is not that of its hashes"
                )
        self.frontier = self.frontier.append_subtree(HEIGHT, root)
        await self._fill(1, self.frontier.size, root)

    async def _fill(self, level: int, size: int, root: bytes) -> None:
        """Adds the root of a full tile to the tile above, which may fill that one in turn."""
        if len(self._rows) < level:
            self._rows.append([])
        row = self._rows[level - 1]
        row.append(root)
        if len(row) < WIDTH:
            return
        self._rows[level - 1] = []
        n = (size >> HEIGHT * (level + 1)) - 1
        found = (await self._read_tiles(level, n, n + 1)).get(n)
        covered = 1 << HEIGHT * level
        first = n * WIDTH * covered
        path = tile_path(level, n)
        if found is None:
            self.findings.add(first, f"{path}, which covers it, is missing")
        elif found.hashes != tuple(row):
            pairs = zip(row, found.hashes, strict=False)
            at = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), 0)
            self.findings.add(
                first + at * covered,
                f"{path} states another hash than the {covered} entries from here on have: it was altered",
            )
        elif not found.has_root_of(row):
            self.findings.add(first, f"the root kept beside {path} is not that of its hashes")
        self.tiles += found is not None
        await self._fill(level + 1, size, full_root(row))

    async def _read_tiles(self, level: int, first: int, end: int) -> dict[int, _StoredTile]:
        rows = await self.connection.execute(
            _TILES, {"log": self.log, "level": level, "first": first, "end": end}
        )
        return {index: _StoredTile(_hashes_in(hashes), root) for index, hashes, root in rows}


def _hashes_in(raw: bytes) -> tuple[bytes, ...]:
    return tuple(raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE))
