"""What follows from the entries, made anew where it does not (FORMAT 9; run by `creditvault log rebuild`).

(1) the outside lock's note is the log's own, and the entries give its root: nothing is derived from entries
    that do not verify;
(2) the database's indexes over entries lead to all of them, or are made anew;
(3) tiles, and the roots beside them;
(4) the head: size, chain value, time, frontier;
(5) the place of every stream, from the labels;
(6) tiles, frontier and crowns of the log of roots (roots/mending.py), unless its roots do not verify;
(7) an entry of type 9 that says what was made anew, in the same transaction.

Entries, payloads, requests and documents are never touched. The application may add tiles and not change
them, so all of it runs as the owner, in one transaction that holds the head's lock: what is killed on its way
has changed nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import labels, losses, reading, standings, writes
from access_log.audit import examine, first_flaw
from access_log.checkpoint import open_note
from access_log.entry import first_chain
from access_log.errors import FormatError, LogStateError, OutsideLockError, VerificationError
from access_log.findings import Findings
from access_log.indexes import IndexCheck
from access_log.lock import Raised
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Log, StreamKind, closed
from access_log.losses import Operator
from access_log.merkle import Frontier, full_root, leaf_hash
from access_log.roots.log import RootsLog
from access_log.roots.mending import mend_roots
from access_log.sequence import Place
from access_log.stored import Full, set_tile
from access_log.tiles import HEIGHT, WIDTH, encode_bundle

Progress = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and how far it goes."""

_CHUNK: Final = 8 * WIDTH
_NAMED: Final = 100
"""Tiles that are named one by one; of more the number alone is kept."""

_RESTORE: Final = (
    "Nothing is derived from entries that do not verify: restore a backup, then `creditvault log reimport`"
)
_UNHURRIED = text(
    "SELECT set_config('statement_timeout', '0', true),"
    " set_config('idle_in_transaction_session_timeout', '0', true)"
)
_HEAD = text(
    "SELECT origin, size, chain, time, frontier, successor FROM access_log.head WHERE log = :log FOR UPDATE"
)
_SET_HEAD = text(
    "UPDATE access_log.head SET size = :size, chain = :chain, time = :time, frontier = :frontier"
    " WHERE log = :log"
)
_END = text("SELECT coalesce(max(index) + 1, 0) FROM access_log.entry WHERE log = :log")
_TILES = text(
    "SELECT index, hashes, root FROM access_log.tile"
    " WHERE log = :log AND level = :level AND index >= :first AND index < :end"
)
_DROP_TILES = text(
    "DELETE FROM access_log.tile WHERE log = :log"
    " AND (index < 0 OR level < 0 OR (index + 1) * power(256::numeric, level + 1) > :end)"
    " RETURNING level, index"
)
_PARTITIONS = text(
    "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'access_log.entry'::regclass"
)
_LABEL_INDEX = text(
    "CREATE INDEX IF NOT EXISTS entry_by_label ON access_log.entry (substring(entry from 43 for 32))"
)


@dataclass
class Rebuilt:
    """What was made anew, or would be.

    Attributes:
        entries: Entries everything was derived from.
        indexes: Why the database's indexes were made anew; empty where they hold.
        tiles: Tiles that were written or removed, as level/index; of many the first.
        more_tiles: How many more.
        head: The parts of the head that were set.
        streams: Streams whose row was set.
        roots: What of the log of roots was set or taken away.
        roots_left: Why nothing of the log of roots was; None where it was looked at.
        declared: The entry of type 9 that says so; None where nothing was written.
    """

    entries: int = 0
    indexes: list[str] = field(default_factory=list)
    tiles: list[str] = field(default_factory=list)
    more_tiles: int = 0
    head: list[str] = field(default_factory=list)
    streams: int = 0
    roots: list[str] = field(default_factory=list)
    roots_left: str | None = None
    declared: int | None = None

    @property
    def changed(self) -> bool:
        """Whether anything did not follow from the entries."""
        return bool(self.indexes or self.tiles or self.head or self.streams or self.roots)

    def name_tile(self, level: int, index: int) -> None:
        """Notes one tile."""
        if len(self.tiles) < _NAMED:
            self.tiles.append(f"{level}/{index}")
        else:
            self.more_tiles += 1


def _silent(_what: str, _done: int, _of: int) -> None:
    pass


async def rebuild(
    log: Log,
    owner: AsyncEngine,
    *,
    actor: Operator,
    roots: RootsLog | None = None,
    dry_run: bool = False,
    progress: Progress = _silent,
) -> Rebuilt:
    """Makes anew what does not follow from the entries; harmless when repeated.

    Args:
        log: The log; it need not be started.
        owner: The same database as its owner.
        actor: Who does it.
        roots: Its log of roots, if that is to be mended too.
        dry_run: Find out everything, then take it back.
        progress: Told how far it is.

    Raises:
        OutsideLockError: The outside lock cannot be used, or the database is behind it.
        VerificationError: The entries do not verify; names the first bad one.
        LogStateError: The head says something that the outside lock does not vouch for.
    """
    raised = await asyncio.to_thread(log.outside.read)
    checkpoint = open_note(raised.note, await log.every_verifier_key())
    if (checkpoint.size, checkpoint.root) != (raised.size, raised.root):
        raise OutsideLockError(
            "the note in the outside lock is of another tree than the lock itself: put back a copy of it"
        )
    work = _Work(log, raised, progress)
    async with owner.connect() as connection, connection.begin() as transaction:
        await connection.execute(_UNHURRIED)
        await work.run(connection)
        if roots is not None:
            await work.mend_roots(connection, roots)
        if dry_run or not work.done.changed:
            await transaction.rollback()
            return work.done
        done = work.done
        event, document = losses.operator_event(
            SYSTEM_STREAM,
            losses.REBUILT,
            actor,
            {
                "entries": done.entries,
                "indexes": done.indexes,
                "tiles": done.tiles,
                "more_tiles": done.more_tiles,
                "head": done.head,
                "streams": done.streams,
                "roots": done.roots,
            },
        )
        done.declared = await log.append_unstarted(connection, [event])
        await losses.keep(connection, log.number, done.declared, document)
        # From here all of it stands, and what was done stands in the log.
    await log.start()
    return done


@dataclass
class _Work:
    """The walk over the entries, and what it makes anew."""

    log: Log
    raised: Raised
    progress: Progress
    done: Rebuilt = field(default_factory=Rebuilt)
    chain: bytes = b""
    time: int = 0
    first_time: int = 0
    frontier: Frontier = field(default_factory=Frontier.empty)
    raised_root: bytes | None = None
    rows: list[list[bytes]] = field(default_factory=list)

    async def run(self, connection: AsyncConnection) -> None:
        """Does everything but the entry that says so."""
        head = (await connection.execute(_HEAD, {"log": self.log.number})).mappings().one_or_none()
        if head is None:
            # Which keys sign is stated there alone.
            raise LogStateError(f"the head is missing from the database. {_RESTORE}")
        if head["origin"] != self.log.origin:
            raise LogStateError("the head names another origin than the settings: set CREDITVAULT_LOG_ORIGIN")
        if head["successor"] is not None:
            # What was made anew could not be said in it.
            raise await closed(connection, self.log.origin, head["successor"])
        end: int = (await connection.execute(_END, {"log": self.log.number})).scalar_one()
        await self._mend_indexes(connection, end)
        end = (await connection.execute(_END, {"log": self.log.number})).scalar_one()
        await self._walk(connection, end)
        self._require_raised(end)
        for level, index in await connection.execute(_DROP_TILES, {"log": self.log.number, "end": end}):
            self.done.name_tile(level, index)
        await self._mend_head(connection, end, dict(head))
        await self._mend_streams(connection)

    async def mend_roots(self, connection: AsyncConnection, roots: RootsLog) -> None:
        """Makes anew what follows from the roots, which were signed and stay, where they verify."""
        try:
            self.done.roots = await mend_roots(connection, roots)
        except VerificationError as error:
            self.done.roots_left = error.reason

    # ── Indexes ──────────────────────────────────────────────────────────────────────────────────

    async def _mend_indexes(self, connection: AsyncConnection, end: int) -> None:
        findings = Findings()
        async with connection.begin_nested() as looking:
            check = IndexCheck(connection, self.log.number, findings)
            await check.begin()
            for first in range(0, end, _CHUNK):
                met = await self._entries(connection, first, first + _CHUNK)
                await check.compare(dict(met))
                self.progress("looking entries up", min(first + _CHUNK, end), end)
            await check.close(end)
            # Takes back how lookups were bound to the indexes, too.
            await looking.rollback()
        found = findings.listed()
        if not found:
            return
        self.done.indexes = [one.reason for one in found[:_NAMED]]
        await connection.execute(_LABEL_INDEX)
        for name in (await connection.execute(_PARTITIONS)).scalars().all():
            # A name of the database's own catalogue, quoted by it.
            await connection.exec_driver_sql(f"REINDEX TABLE {name}")

    # ── Entries and tiles ────────────────────────────────────────────────────────────────────────

    async def _entries(self, connection: AsyncConnection, first: int, end: int) -> list[tuple[int, bytes]]:
        return await reading.entries(connection, self.log.number, self.log.archive, first, end)

    async def _walk(self, connection: AsyncConnection, end: int) -> None:
        self.chain = first_chain(self.log.origin)
        self.done.entries = end
        for first in range(0, end, _CHUNK):
            stop = min(first + _CHUNK, end)
            found = dict(await self._entries(connection, first, stop))
            tiles = await self._tiles(connection, 0, first // WIDTH, stop // WIDTH)
            for start in range(first, stop, WIDTH):
                leaves = self._examined(start, min(start + WIDTH, stop), found)
                if self.raised.size - start in range(len(leaves)):
                    self.raised_root = self.frontier.extend(leaves[: self.raised.size - start]).root()
                self.frontier = self.frontier.extend(leaves)
                if len(leaves) == WIDTH:
                    await self._mend_tile(connection, 0, start // WIDTH, leaves, tiles.get(start // WIDTH))
            self.progress("deriving", stop, end)
        if self.raised.size == end:
            self.raised_root = self.frontier.root()

    def _examined(self, start: int, stop: int, found: Mapping[int, bytes]) -> Sequence[bytes]:
        """The leaf hashes of a bundle that follows from what was before it."""
        entries = [found[index] for index in range(start, stop) if index in found]
        examined = examine(encode_bundle(entries), stop - start)
        if examined is None or not examined[0].follows(self.chain, self.time):
            missing = next((index for index in range(start, stop) if index not in found), None)
            flaw = first_flaw(entries, self.chain, self.time)
            index = missing if flaw is None or missing is not None else start + flaw.position
            reason = "it is missing from the database" if index == missing or flaw is None else flaw.reason
            raise VerificationError(
                f"{reason}. {_RESTORE}",
                index,
            )
        run, leaves = examined
        self.first_time = self.first_time or run.first_time
        self.chain, self.time = run.chain, run.last_time
        return leaves

    async def _mend_tile(
        self,
        connection: AsyncConnection,
        level: int,
        n: int,
        row: Sequence[bytes],
        kept: tuple[bytes, bytes] | None,
    ) -> None:
        """Holds a full tile against the stored one, and hands its root to the tile above."""
        hashes, root = b"".join(row), full_root(row)
        if kept != (hashes, root):
            self.done.name_tile(level, n)
            await set_tile(connection, self.log.number, Full(level, n, hashes, root))
        if len(self.rows) <= level:
            self.rows.append([])
        above = self.rows[level]
        above.append(root)
        if len(above) == WIDTH:
            self.rows[level] = []
            number = (self.frontier.size >> HEIGHT * (level + 2)) - 1
            found = await self._tiles(connection, level + 1, number, number + 1)
            await self._mend_tile(connection, level + 1, number, above, found.get(number))

    async def _tiles(
        self, connection: AsyncConnection, level: int, first: int, end: int
    ) -> dict[int, tuple[bytes, bytes]]:
        asked = {"log": self.log.number, "level": level, "first": first, "end": end}
        return {row[0]: (row[1], row[2]) for row in await connection.execute(_TILES, asked)}

    def _require_raised(self, end: int) -> None:
        if self.raised.size > end:
            raise OutsideLockError(
                f"the database is behind the outside lock: it holds {end} entries, {self.raised.size} were "
                "raised. Import what is missing first: `creditvault log reimport`"
            )
        if self.raised_root is None:
            self.raised_root = Frontier.empty().root()  # nothing was raised yet but the empty tree
        if self.raised_root != self.raised.root:
            raise VerificationError(
                f"the entries up to this one do not give the root in the outside lock although the chain "
                f"holds. {_RESTORE}",
                self.raised.size - 1,
            )

    # ── Head and streams ─────────────────────────────────────────────────────────────────────────

    async def _mend_head(self, connection: AsyncConnection, end: int, head: Mapping[str, object]) -> None:
        follows = {"size": end, "chain": self.chain, "time": self.time, "frontier": self.frontier.encode()}
        self.done.head = [name for name, value in follows.items() if head[name] != value]
        if not self.done.head:
            return
        if end > self.raised.size:
            # Nobody vouches for entries that were committed and never raised but the head itself.
            raise LogStateError(
                f"entries {self.raised.size} to {end - 1} were never raised, and the head is not theirs: "
                "the log's own writer would not leave them so. Keep everything, and restore a backup"
            )
        await connection.execute(_SET_HEAD, {"log": self.log.number, **follows})

    async def _mend_streams(self, connection: AsyncConnection) -> None:
        for kind, stream in ((StreamKind.SYSTEM, SYSTEM_STREAM), (StreamKind.NOT_FOUND, NOT_FOUND_STREAM)):
            await self.log.open_streams(connection, kind, [stream])
        rows = await writes.all_places(connection, self.log.number)
        find = standings.finder(connection, self.log.number, self.log.archive)
        months = (
            standings.months_between(labels.month_of(self.first_time), labels.month_of(self.time))
            if self.done.entries
            else []
        )
        for at in range(0, len(rows), standings.ABREAST):
            places = dict(rows[at : at + standings.ABREAST])
            before = await writes.before(connection, self.log.number, places)
            begun = await self._standing(places, before, find)
            walks = [
                standings.Walk(stream, place, [month for month in months if month >= place.month])
                for stream, place in begun.items()
            ]
            await standings.advance(walks, find, self.log.month_key)
            moved = {one.stream: one.place for one in walks if one.place != places[one.stream]}
            await writes.move_streams(connection, self.log.number, moved)
            self.done.streams += len(moved)
            self.progress("placing streams", min(at + standings.ABREAST, len(rows)), len(rows))

    async def _standing(
        self, places: Mapping[bytes, Place], before: Mapping[bytes, bytes], find: standings.Find
    ) -> dict[bytes, Place]:
        """Each place as far as its own entry is in the log; else where the stream stood before the log."""
        named: dict[bytes, bytes] = {}
        for stream, place in places.items():
            with suppress(FormatError):  # a month or a number that is none names nothing
                named[stream] = labels.label(self.log.month_key(stream, place.month), place.seq)
        found = await find(list(named.values()))
        begun = {stream: Place(0, 0, before[stream]) for stream in places}
        for stream, label in named.items():
            if label in found and leaf_hash(found[label][1]) == places[stream].last_leaf:
                begun[stream] = places[stream]
        return begun
