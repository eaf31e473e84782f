"""Closed ranges of entries moved out of the database, a partition at a time.

Two acts, which need not follow each other at once:

`archive` copies the entries of whole partitions into an archive. What was written is read back, and the tree
it gives must begin the tree that was signed: the archive is held against the signature, not against the
database it was copied from. It needs no right the application does not have.

`drop` takes a partition away that was archived. It is the owner's alone: the database cannot see whether the
files are there, so a function that the application might call would let whoever holds the application delete
entries. For each range, in one transaction that holds the head lock:

1. the archive is read back and held against the signed tree, as above, right before;
2. the partition is wholly below the head and of this log alone, and none of its requests may be repeated;
3. the range is recorded as archived, the partition detached and dropped.

Tiles and their roots stay in the database, so proofs and checkpoints do not need the archive.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import stored
from access_log.archive import POINTER, PREFIX, Archive, Range
from access_log.audit import examine
from access_log.checkpoint import Checkpoint, open_note
from access_log.durable import DurableFolder
from access_log.errors import ArchiveError, FormatError, LogStateError, VerificationError
from access_log.log import Log
from access_log.merkle import Frontier, consistency_proof, full_root, verify_consistency
from access_log.reading import bundles
from access_log.tiles import HEIGHT, WIDTH, entries_path, node_reader, tiles_needed
from access_log.writes import lock_head

Progress = Callable[[int, int], None]
"""Called with the number of entries behind it and the number there are."""

_CHUNK: Final = 64 * WIDTH
_LABELS_AT_ONCE: Final = 1 << 15
_BYTE_VALUES: Final = 256
_BOUNDS: Final = re.compile(r"FROM \('?(\d+)'?\) TO \('?(\d+)'?\)")

_PARTITIONS = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c"
    " JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'access_log.entry'::regclass"
)
_AGE = text(
    "SELECT extract(epoch FROM clock_timestamp()) * 1000 -"
    " ('x' || encode(substring(entry FROM 3 FOR 8), 'hex'))::bit(64)::bigint"
    " FROM access_log.entry WHERE log = :log AND index = :index"
)
_REPEATABLE = text(
    "SELECT EXISTS (SELECT FROM access_log.request WHERE log = :log AND index >= :first AND index < :end"
    # Well over the ten minutes in which a request may be repeated, which needs its entry.
    " AND time > clock_timestamp() - interval '1 hour')"
)
_POINTERS = text(
    "SELECT string_agg(substring(entry FROM 43 FOR :prefix) || int8send(index), CAST('' AS bytea)"
    " ORDER BY substring(entry FROM 43 FOR 32), index) FROM access_log.entry"
    " WHERE log = :log AND index >= :first AND index < :end"
    " AND substring(entry FROM 43 FOR 32) >= :low AND substring(entry FROM 43 FOR 32) < :high"
)
_OTHERS = text(
    "SELECT EXISTS (SELECT FROM access_log.entry WHERE log <> :log AND index >= :first AND index < :end)"
)
_RECORD = text(
    "INSERT INTO access_log.archived (log, first_index, end_index, labels, time)"
    " VALUES (:log, :first, :end, :labels, clock_timestamp())"
)


@dataclass(frozen=True, slots=True)
class Archived:
    """What one call did.

    Attributes:
        ranges: The ranges that are archived now, or were dropped.
        entries: How many entries they hold.
        written: Files put into place.
    """

    ranges: tuple[Range, ...]
    entries: int
    written: int


def _silent(_done: int, _of: int) -> None:
    pass


async def archive(
    log: Log, into: Archive, *, older_than: timedelta, progress: Progress = _silent
) -> Archived:
    """Copy every closed partition into an archive, and read it back. Harmless when repeated.

    Args:
        log: The log; it need not be started.
        into: The archive; its folder is made if there is none.
        older_than: How old the newest entry of a partition must be.
        progress: Told how far it is.

    Raises:
        FolderError: The archive cannot be written or read, or another process writes it.
        VerificationError: What stands in the database or was read back does not begin the signed tree.
        AccessLogError: The outside lock cannot be used.
        SQLAlchemyError: The database cannot be read.
    """
    signed = await _signed(log)
    async with log.engine.connect() as connection:
        ranges = await _closed(connection, log, signed.size, older_than)
    folder = DurableFolder(into.root)
    written = 0
    total = sum(each.end - each.first for each in ranges)
    done = 0
    with folder.held():
        for each in ranges:
            for first in range(each.first, each.end, _CHUNK):
                end = min(first + _CHUNK, each.end)
                async with log.engine.connect() as connection:
                    found = await bundles(connection, log.number, None, first, end)
                files = [(entries_path(first // WIDTH + at), bundle) for at, bundle in enumerate(found)]
                written += await asyncio.to_thread(_put, folder, files)
                done += end - first
                progress(done, 2 * total)
            async with log.engine.connect() as connection:
                pointers = await _pointers(connection, log.number, each)
            await asyncio.to_thread(folder.settle)
            await _require_whole(log, into, each, signed, partial(_told, progress, done, 2 * total))
            # The index last: from here the range counts as archived.
            written += await asyncio.to_thread(_put, folder, [(each.path, pointers)])
            await asyncio.to_thread(folder.settle)
        progress(2 * total, 2 * total)
    return Archived(tuple(ranges), total, written)


async def drop(
    log: Log, owner: AsyncEngine, held: Archive, *, older_than: timedelta, progress: Progress = _silent
) -> Archived:
    """Take away the partitions of closed ranges that the archive holds whole.

    Args:
        log: The log; it need not be started.
        owner: The same database as its owner.
        held: The archive.
        older_than: How old the newest entry of a partition must be.
        progress: Told how far it is.

    Raises:
        ArchiveError: A partition may not be dropped; names it and says why.
        FolderError: The archive cannot be read.
        VerificationError: What the archive holds does not begin the signed tree.
        AccessLogError: The outside lock cannot be used.
        SQLAlchemyError: The database cannot be read, or the role is not its owner.
    """
    signed = await _signed(log)
    whole = set(await asyncio.to_thread(held.ranges))
    async with log.engine.connect() as connection:
        ranges = [each for each in await _closed(connection, log, signed.size, older_than) if each in whole]
    total, done = sum(each.end - each.first for each in ranges), 0
    for each in ranges:
        await _require_whole(log, held, each, signed, partial(_told, progress, done, total))
        async with log.engine.connect() as connection:
            pointers = await _pointers(connection, log.number, each)
        if await asyncio.to_thread((held.root / each.path).read_bytes) != pointers:  # (1)
            raise ArchiveError(
                f"the index of labels {held.root / each.path} is not that of its entries: move it away, then "
                "run `creditvault log archive` again"
            )
        await _drop(log, owner, each, hashlib.sha256(pointers).digest())
        done += each.end - each.first
    return Archived(tuple(ranges), total, 0)


def _told(progress: Progress, before: int, of: int, done: int) -> None:
    progress(before + done, of)


async def _drop(log: Log, owner: AsyncEngine, each: Range, labels: bytes) -> None:
    entries = f"entries {each.first} to {each.end - 1}"
    async with owner.begin() as connection:
        head = await lock_head(connection, log.number)
        names = {found: name for name, found in await _partitions(connection)}
        asked = {"log": log.number, "first": each.first, "end": each.end}
        if each not in names or head.size <= each.end:
            raise ArchiveError(f"{entries} are no closed partition: nothing was dropped")
        if (await connection.execute(_OTHERS, asked)).scalar_one():
            raise ArchiveError(f"the partition of {entries} holds another log's entries too: it stays")
        if (await connection.execute(_REPEATABLE, asked)).scalar_one():
            raise ArchiveError(f"requests of {entries} may still be repeated: try again in an hour")
        await connection.execute(_RECORD, {**asked, "labels": labels})
        name = f"access_log.{names[each]}"
        await connection.execute(text(f"ALTER TABLE access_log.entry DETACH PARTITION {name}"))
        await connection.execute(text(f"DROP TABLE {name}"))
        # From here the archive answers for these entries; it was read back right before.


async def _signed(log: Log) -> Checkpoint:
    raised = await asyncio.to_thread(log.outside.read)
    return open_note(raised.note, await log.every_verifier_key())


async def _partitions(connection: AsyncConnection) -> list[tuple[str, Range]]:
    rows = [(name, _BOUNDS.search(bounds)) for name, bounds in await connection.execute(_PARTITIONS)]
    return [(name, Range(int(found[1]), int(found[2]))) for name, found in rows if found]


async def _closed(connection: AsyncConnection, log: Log, size: int, older_than: timedelta) -> list[Range]:
    """Partitions whose every entry was raised, with at least one behind them, old enough and settled."""
    found = []
    for _, each in sorted(await _partitions(connection), key=lambda one: one[1]):
        if each.end >= size or each.first % WIDTH or each.end % WIDTH:
            continue
        newest = {"log": log.number, "index": each.end - 1}
        age = (await connection.execute(_AGE, newest)).scalar_one_or_none()
        asked = {"log": log.number, "first": each.first, "end": each.end}
        if age is None or age < older_than.total_seconds() * 1000:
            continue
        if not (await connection.execute(_REPEATABLE, asked)).scalar_one():
            found.append(each)
    return found


async def _pointers(connection: AsyncConnection, log: int, each: Range) -> bytes:
    """The index of the labels of a range, sorted by the database, which has them in order."""
    parts = []
    # Labels are spread evenly over their first byte, of which a slice has one value or more.
    slices = 1 << min(8, ((each.end - each.first) // _LABELS_AT_ONCE).bit_length())
    values = _BYTE_VALUES // slices
    for at in range(0, _BYTE_VALUES, values):
        part = await connection.execute(
            _POINTERS,
            {
                "log": log,
                "first": each.first,
                "end": each.end,
                "prefix": PREFIX,
                "low": bytes([at]),
                "high": bytes([at + values]) if at + values < _BYTE_VALUES else b"\xff" * 33,
            },
        )
        parts.append(part.scalar_one() or b"")
    pointers = b"".join(parts)
    if len(pointers) != POINTER * (each.end - each.first):
        raise LogStateError(
            f"entries between {each.first} and {each.end - 1} are missing from the database: run "
            "`creditvault log fsck`"
        )
    return pointers


def _put(folder: DurableFolder, files: Sequence[tuple[str, bytes]]) -> int:
    new = [(path, content) for path, content in files if not folder.holds(path, content)]
    folder.put(new)
    return len(new)


async def _require_whole(
    log: Log, held: Archive, each: Range, signed: Checkpoint, progress: Callable[[int], None]
) -> None:
    """Read a range back and hold it against the signed tree.

    The tree up to the range comes from the stored tiles, which need not be believed: a tree that has this
    range at its end and begins the signed one is unique.
    """
    async with log.engine.connect() as connection:
        frontier = await stored.frontier_at(connection, log.number, each.first)
    for first in range(each.first, each.end, _CHUNK):
        end = min(first + _CHUNK, each.end)
        frontier = await asyncio.to_thread(_extended, held, frontier, first, end)
        progress(end - each.first)
    async with log.engine.connect() as connection:
        tiles: dict[tuple[int, int], bytes] = {}
        needed = tiles_needed(lambda node: consistency_proof(each.end, signed.size, node))
        for level, n in needed:
            width = min(WIDTH, (signed.size >> HEIGHT * level) - n * WIDTH)
            tiles[level, n] = b"".join(await stored.hashes(connection, log.number, level, n, width))
    proof = consistency_proof(each.end, signed.size, node_reader(lambda level, n: tiles[level, n]))
    try:
        verify_consistency(each.end, signed.size, proof, frontier.root(), signed.root)
    except (FormatError, VerificationError):
        raise VerificationError(
            f"entries {each.first} to {each.end - 1} as the archive {held.root} holds them do not begin the "
            "signed tree: they, or tiles in the database, were altered. Run `creditvault log fsck`; nothing "
            "was dropped",
        ) from None


def _extended(held: Archive, frontier: Frontier, first: int, end: int) -> Frontier:
    for n in range(first // WIDTH, end // WIDTH):
        examined = examine(held.bundle(n) or b"", WIDTH)
        if examined is None:
            raise VerificationError(
                f"{held.root / entries_path(n)} is missing or does not hold together: nothing was dropped",
                n * WIDTH,
            )
        frontier = frontier.append_subtree(HEIGHT, full_root(examined[1]))
    return frontier
