"""The log published into a folder, for any static web server to serve (FORMAT 6).

What is published is what was raised, and it is audited on its way: an entry that does not follow from the
one before, or a tree without the signed root, is never given a checkpoint. For one call:

1. the outside lock says what was raised; its note must be the log's own;
2. the checkpoint that stands in the folder must be an older one of the same tree: a smaller log, or another
   one, never takes the place of what was published;
3. bundles and tiles are derived from the entries, from the right edge of the published tree on; what stands
   in the folder already is compared, never believed, and written anew where it differs;
4. the root must be the signed one, and every file is durable under its name;
5. the checkpoint takes the place of the older one;
6. partial files go where the full one stands: whoever holds an older checkpoint reads that one.

A crash anywhere leaves the older checkpoint with every file it needs, or the newer one with its own. The
next call goes on from there, the same way.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from access_log import stored
from access_log.audit import RECORD, examine, first_flaw, previous_of, time_of
from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.durable import DurableFolder
from access_log.entry import first_chain, next_chain
from access_log.errors import (
    AccessLogError,
    FolderError,
    LogStateError,
    OutsideLockError,
    VerificationError,
)
from access_log.merkle import Frontier, full_root, leaf_hash
from access_log.reading import bundles
from access_log.rotate import key_history
from access_log.stored_log import StoredLog
from access_log.tiles import HEIGHT, WIDTH, Tile, decode_bundle

Progress = Callable[[int, int], None]
"""Called with the number of entries behind it and the number there are."""

CHECKPOINT: Final = "checkpoint"
_CHUNK: Final = 64 * WIDTH


@dataclass(frozen=True, slots=True)
class Published:
    """What one call did.

    Attributes:
        size: Of the checkpoint that stands in the folder now.
        before: Of the one that stood there; None where there was none.
        written: Files put into place, the checkpoint included.
        same: Files that stood there as they must be.
        removed: Partial files, by the folder of a tile, whose full file stands.
    """

    size: int
    before: int | None
    written: int
    same: int
    removed: int


def _silent(_done: int, _of: int) -> None:
    pass


async def publish(
    log: StoredLog, root: Path, *, whole: bool = False, progress: Progress = _silent
) -> Published:
    """Publish the log as it was raised last into a folder. The log need not be started.

    Args:
        log: The log.
        root: The folder; it is made if there is none.
        whole: Compare every file with the entries, not only those the published checkpoint does not cover.
        progress: Told how far it is.

    Raises:
        FolderError: The folder cannot be written to, another process publishes into it, or it holds what
            must not be replaced.
        VerificationError: The stored entries are not those that were raised; names the first bad one.
        OutsideLockError: The outside lock is missing or not this log's.
        LogUnavailableError: The outside lock cannot be read now.
        SQLAlchemyError: The database cannot be read.
    """
    folder = DurableFolder(root)
    with folder.held():
        keys = await log.every_verifier_key()  # The folder may stand since before a change of keys.
        raised = await asyncio.to_thread(log.outside.read)  # (1)
        newest = _own(raised.note, keys)
        standing = await asyncio.to_thread(folder.read, CHECKPOINT, MAX_NOTE)
        published = _published(root, standing, keys, newest)  # (2)
        await _require_growth(log, root, published, newest)
        edge = 0 if whole or published is None else max(published.size - 1, 0) // WIDTH * WIDTH
        press = await _press_at(log, folder, edge)
        progress(edge, newest.size)
        for first in range(edge, newest.size, _CHUNK):
            end = min(first + _CHUNK, newest.size)
            async with log.engine.connect() as connection:
                found = await bundles(connection, log.number, log.archive, first, end)
            await asyncio.to_thread(press.take, found)  # (3)
            progress(end, newest.size)
        await asyncio.to_thread(_put_keys, folder, await log.verifier_keys(), await key_history(log))
        await asyncio.to_thread(press.close, newest, raised.note.encode(), standing)  # (4), (5), (6)
    return Published(
        newest.size,
        published.size if published is not None else None,
        press.written,
        press.same,
        press.removed,
    )


def _put_keys(folder: DurableFolder, keys: Sequence[VerifierKey], history: str) -> None:
    """Put the keys and their history into place, before a checkpoint that new keys signed."""
    files = [("key", "".join(f"{key}\n" for key in keys).encode()), ("keys", history.encode())]
    folder.put([(path, content) for path, content in files if not folder.holds(path, content)])


def _own(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return open_note(note, keys)
    except AccessLogError as error:
        raise OutsideLockError(
            f"the note in the outside lock does not verify ({error}): run `creditvault log fsck`"
        ) from None


def _published(
    root: Path, standing: bytes | None, keys: Sequence[VerifierKey], newest: Checkpoint
) -> Checkpoint | None:
    """The checkpoint in the folder, which must be this log's and not be ahead of what was raised."""
    if standing is None:
        return None
    place = root / CHECKPOINT
    if len(standing) > MAX_NOTE:
        raise FolderError(f"{place} is no checkpoint: {_ANOTHER}")
    try:
        published = open_note(standing, keys)
    except AccessLogError as error:
        raise FolderError(f"{place} is not this log's ({error}): {_ANOTHER}") from None
    if published.origin != newest.origin:
        raise FolderError(f"{place} is of the log {published.origin}: {_ANOTHER}")
    if published.size > newest.size:
        raise FolderError(
            f"{place} covers {published.size} entries, the outside lock {newest.size}: what was published is "
            "never taken back. Restore database and outside lock as they were when it was published"
        )
    return published


_ANOTHER: Final = "name the folder this log was published into, or an empty one"


async def _require_growth(
    log: StoredLog, root: Path, published: Checkpoint | None, newest: Checkpoint
) -> None:
    """Refuse to follow a published tree that does not begin the stored one."""
    if published is None:
        return
    if published.size == newest.size:
        ours = newest.root
    else:
        try:
            async with log.engine.connect() as connection:
                ours = await stored.root_at(connection, log.number, published.size)
        except LogStateError as error:
            raise FolderError(f"{error}: run `creditvault log fsck`; nothing was published") from None
    if ours != published.root:
        raise FolderError(
            f"{root / CHECKPOINT} is of another tree than the log's first {published.size} entries: one of "
            "them was altered since. Keep both as they are, run `creditvault log fsck`, call an inspector"
        )


async def _press_at(log: StoredLog, folder: DurableFolder, edge: int) -> "_Press":
    """The state of the derivation right before an entry, read from the stored tiles.

    Nothing of it is believed: the root in the end shows whether it was right.
    """
    press = _Press(folder, log.origin)
    if not edge:
        return press
    try:
        async with log.engine.connect() as connection:
            press.frontier = await stored.frontier_at(connection, log.number, edge)
            level = 1
            while nodes := edge >> HEIGHT * level:
                n, width = divmod(nodes, WIDTH)
                row = await stored.hashes(connection, log.number, level, n, width) if width else []
                press.rows.append(row)
                level += 1
            (before,) = await bundles(connection, log.number, log.archive, edge - WIDTH, edge)
    except LogStateError as error:
        raise FolderError(f"{error}: run `creditvault log fsck`; nothing was published") from None
    last = decode_bundle(before)[-1]
    press.chain, press.time = next_chain(previous_of(last), leaf_hash(last)), time_of(last)
    return press


@dataclass
class _Press:
    """Turns entries into files, and audits them on the way: O(log n) hashes in memory."""

    folder: DurableFolder
    origin: str
    chain: bytes = field(init=False)
    time: int = 0
    frontier: Frontier = field(default_factory=Frontier.empty)
    rows: list[list[bytes]] = field(default_factory=list)
    """For each tile level from 1 the hashes of its unfinished tile."""
    written: int = 0
    same: int = 0
    removed: int = 0
    _leaves: list[bytes] = field(default_factory=list, init=False)
    _full: list[Tile] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.chain = first_chain(self.origin)

    def take(self, found: Sequence[bytes]) -> None:
        """Audit bundles that follow each other, and put them and the tiles they fill into place."""
        files: list[tuple[Tile, bytes]] = []
        for bundle in found:
            files.extend(self._files_of(bundle))
        self._put([(tile.path, content) for tile, content in files])
        self._full.extend(tile for tile, _ in files if tile.width == WIDTH)

    def close(self, newest: Checkpoint, note: bytes, standing: bytes | None) -> None:
        """Put the last tile of each level and then the checkpoint into place."""
        if (self.frontier.size, self.frontier.root()) != (newest.size, newest.root):
            raise VerificationError(
                "the entries do not give the signed root although the chain holds: this last entry, or a row "
                "of entries that ends with it, was altered",
                newest.size - 1 if newest.size else None,
            )
        rows = [self._leaves, *self.rows]
        self._put(
            [
                (Tile(level, (newest.size >> HEIGHT * level) // WIDTH, len(row)).path, b"".join(row))
                for level, row in enumerate(rows)
                if row
            ]
        )
        self.folder.settle()
        # From here every file is durable that this checkpoint promises.
        if not says_as_much(standing, note):
            self.folder.put([(CHECKPOINT, note)])
            self.written += 1
        self.folder.settle()
        self._tidy()

    def _files_of(self, bundle: bytes) -> list[tuple[Tile, bytes]]:
        start, width = self.frontier.size, len(bundle) // RECORD
        examined = examine(bundle, width)
        if examined is None or not examined[0].follows(self.chain, self.time):
            flaw = first_flaw(decode_bundle(bundle), self.chain, self.time)
            raise VerificationError(
                f"{flaw.reason if flaw else 'it is malformed'}; it was not published. Run "
                "`creditvault log fsck`",
                start + (flaw.position if flaw else 0),
            )
        run, leaves = examined
        self.chain, self.time = run.chain, run.last_time
        n = start // WIDTH
        files = [(Tile(None, n, width), bundle)]
        if width < WIDTH:
            self.frontier = self.frontier.extend(leaves)
            self._leaves = leaves
            return files
        files.append((Tile(0, n), b"".join(leaves)))
        root = full_root(leaves)
        self.frontier = self.frontier.append_subtree(HEIGHT, root)
        self._fill(1, root, files)
        return files

    def _fill(self, level: int, root: bytes, files: list[tuple[Tile, bytes]]) -> None:
        """Add the root of a full tile to the tile above it, which may fill that one in turn."""
        if len(self.rows) < level:
            self.rows.append([])
        row = self.rows[level - 1]
        row.append(root)
        if len(row) == WIDTH:
            n = (self.frontier.size >> HEIGHT * (level + 1)) - 1
            files.append((Tile(level, n), b"".join(row)))
            self.rows[level - 1] = []
            self._fill(level + 1, full_root(row), files)

    def _put(self, files: Sequence[tuple[str, bytes]]) -> None:
        new = [(path, content) for path, content in files if not self.folder.holds(path, content)]
        self.folder.put(new)
        self.written += len(new)
        self.same += len(files) - len(new)

    def _tidy(self) -> None:
        """Take partial files away whose full one is durable (6)."""
        for tile in self._full:
            partial = f"{tile.path}.p"
            if (self.folder.root / partial).is_dir():
                self.folder.remove(partial)
                self.removed += 1


def says_as_much(standing: bytes | None, note: bytes) -> bool:
    """Whether the note in place has every line of the new one: cosignatures on it are not thrown away."""
    return standing is not None and set(note.splitlines()) <= set(standing.splitlines())
