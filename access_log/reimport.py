"""Entries a database lost, imported from the published log (FORMAT 9; run by `creditvault log reimport`).

(1) the outside lock's note is the log's own;
(2) the published checkpoint is signed by the log, and covers everything that was raised;
(3) the head is as its own entries give it;
(4) the published entries behind it are of the format, in the chain, and in the order of time;
(5) database and published entries together give the root that was raised, and the root that was signed;
(6) in one transaction, under the head lock: entries, tiles, places of streams, head, and an entry of type 9
    that declares the payloads lost; what was ended by the entries that were lost is ended once more
    (`reapplying`);
(7) the log starts as always, which signs and raises it.

Nothing is written before (5) holds, and what is killed before the commit of (6) has changed nothing. What the
log never published cannot come back: payloads, requests, and streams the database has no row of.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import key_changes, losses, standings, stored, writes
from access_log.audit import examine, first_flaw, previous_of, time_of
from access_log.checkpoint import Checkpoint, VerifierKey, open_note
from access_log.entry import SIZE
from access_log.errors import LogStateError, OutsideLockError, SourceError, VerificationError
from access_log.fetch import read_tile, records_in
from access_log.labels import month_of
from access_log.lock import Raised
from access_log.log import SYSTEM_STREAM, Log
from access_log.losses import NONE, Operator, Ranges
from access_log.merkle import Frontier, leaf_hash
from access_log.references import read_checkpoint
from access_log.sequence import Head
from access_log.sources import Source
from access_log.tiles import WIDTH, Tile

Progress = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and how far it goes."""

_CHUNK: Final = 16 * WIDTH
_MOST_RANGES: Final = 1000

_INSERT = text(
    "INSERT INTO access_log.entry (log, index, entry)"
    " SELECT :log, index, entry FROM unnest(CAST(:indexes AS bigint[]), CAST(:entries AS bytea[]))"
    " AS t (index, entry)"
)
_ADVANCE = text(
    "UPDATE access_log.head SET size = :size, chain = :chain, time = :time, frontier = :frontier"
    " WHERE log = :log"
)
_PARTITIONS = text("SELECT access_log.make_partitions(:end + access_log.partition_width())")


@dataclass(frozen=True, slots=True)
class Reimport:
    """What was imported, or would be.

    Attributes:
        held: Entries the database had.
        raised: Entries the outside lock holds.
        published: Entries the published checkpoint covers.
        first: The first entry that was missing.
        end: One more than the last; equal to `first` if none was missing.
        declared: The entry of type 9 that declares the losses; None where nothing was written.
        streams: Streams whose place moved.
        lost: Imported entries of streams the database has no row of.
        reapplied: Withdrawals, revocations and the like that the database lacked, and which stand again.
    """

    held: int
    raised: int
    published: int
    first: int
    end: int
    declared: int | None = None
    streams: int = 0
    lost: Ranges = NONE
    reapplied: int = 0


@dataclass(frozen=True, slots=True)
class _Gap:
    """What the database has, what was raised, and what was published."""

    head: Head
    raised: Raised
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class _Verified:
    """The entries that are missing, in a file nobody else can open, and what they lead to."""

    head: Head
    checkpoint: Checkpoint
    file: BinaryIO
    chain: bytes
    time: int
    frontier: Frontier
    first_time: int

    def chunks(self) -> Iterator[tuple[int, list[bytes]]]:
        """The entries, some at a time, cut where bundles end."""
        self.file.seek(0)
        index = self.head.size
        while index < self.frontier.size:
            end = min((index // _CHUNK + 1) * _CHUNK, self.frontier.size)
            raw = self.file.read(SIZE * (end - index))
            yield index, [raw[at : at + SIZE] for at in range(0, len(raw), SIZE)]
            index = end


def _silent(_what: str, _done: int, _of: int) -> None:
    pass


async def reimport(
    log: Log,
    source: Source,
    *,
    actor: Operator,
    dry_run: bool = False,
    progress: Progress = _silent,
) -> Reimport:
    """Imports what the database lacks from a published log; harmless when repeated.

    Args:
        log: The log; it need not be started, and no worker of it appends while it is behind.
        source: Where the log was published.
        actor: Who does it.
        dry_run: Verify everything and write nothing.
        progress: Told how far it is.

    Raises:
        OutsideLockError: The outside lock cannot be used, or the database is not the log that was raised.
        LogStateError: Head and entries of the database disagree.
        VerificationError, FormatError: The published log does not verify; names the entry.
        SourceError: It cannot be read, or does not cover what was raised.
        LogUnavailableError: Database or lock cannot be reached now.
    """
    raised = await asyncio.to_thread(log.outside.read)
    keys = await log.every_verifier_key()
    key_changes.require_known(raised.note, log.origin, keys)
    _require_own(raised, keys)  # (1)
    checkpoint = await asyncio.to_thread(read_checkpoint, source, keys)  # (2)
    async with log.transaction() as connection:
        head = await log.checked_head(connection)  # (3)
    counted = Reimport(head.size, raised.size, checkpoint.size, head.size, max(head.size, checkpoint.size))
    if head.size >= max(raised.size, checkpoint.size):
        if not dry_run:
            await log.start()
        return counted
    if checkpoint.size < raised.size:
        raise SourceError(
            f"the published log covers {checkpoint.size} entries, {raised.size} were raised: name a copy "
            "that goes on to there, or restore a newer backup. Until then keep everything as it is"
        )
    with tempfile.TemporaryFile(prefix="creditvault-reimport-") as file:
        verified = await asyncio.to_thread(
            _verify, source, _Gap(head, raised, checkpoint), file, partial(progress, "verifying")
        )  # (4), (5)
        if raised.size <= head.size:
            await _require_raised(log, raised)
        if dry_run:
            return counted
        return await _write(log, verified, counted, actor, progress)


def _require_own(raised: Raised, keys: Sequence[VerifierKey]) -> None:
    checkpoint = open_note(raised.note, keys)
    if (checkpoint.size, checkpoint.root) != (raised.size, raised.root):
        raise OutsideLockError(
            "the note in the outside lock is of another tree than the lock itself: put back a copy of it"
        )


async def _require_raised(log: Log, raised: Raised) -> None:
    """An older copy of the lock was put back: the database must begin with the tree it holds."""
    async with log.engine.connect() as connection:
        if await stored.root_at(connection, log.number, raised.size) != raised.root:
            raise OutsideLockError(_another(raised.size))


def _another(size: int) -> str:
    return (
        f"the outside lock holds another tree of size {size} than database and published log: this database "
        "is not the log that was raised. Restore another backup of it, then import again"
    )


def _verify(source: Source, gap: _Gap, file: BinaryIO, progress: Callable[[int, int], None]) -> _Verified:
    """Fetches the missing entries and holds them against the chain, the raised root and the signed one."""
    head, raised, checkpoint = gap.head, gap.raised, gap.checkpoint
    chain, time, frontier = head.chain, head.time, head.frontier
    first_time, at_raised = 0, raised.root
    for n in range(head.size // WIDTH, -(-checkpoint.size // WIDTH)):
        start = n * WIDTH
        width = min(WIDTH, checkpoint.size - start)
        behind = max(head.size - start, 0)
        raw = read_tile(source, Tile(None, n, width)) or b""
        entries = records_in(raw, width)
        found = examine(raw, width)
        if found is None or previous_of(entries[behind]) != chain or time_of(entries[behind]) < time:
            raise _flaw(entries[behind:], start + behind, chain, time)
        first_time = first_time or time_of(entries[behind])
        run, leaves = found
        chain, time = run.chain, run.last_time
        if start + behind < raised.size <= start + width:
            at_raised = frontier.extend(leaves[behind : raised.size - start]).root()
        frontier = frontier.extend(leaves[behind:])
        file.write(b"".join(entries[behind:]))
        progress(start + width - head.size, checkpoint.size - head.size)
    if frontier.root() != checkpoint.root:
        raise VerificationError(
            "database and published entries do not give the root the log signed although the chain holds: "
            "this last entry, or one before it, was altered. Verify the published log, and run "
            "`creditvault log fsck`",
            checkpoint.size - 1,
        )
    if at_raised != raised.root:
        raise OutsideLockError(_another(raised.size))
    return _Verified(head, checkpoint, file, chain, time, frontier, first_time)


def _flaw(entries: Sequence[bytes], start: int, chain: bytes, time: int) -> VerificationError:
    flaw = first_flaw(entries, chain, time)
    if flaw is None:
        return VerificationError(
            "the published log lacks it although the checkpoint covers it: name another copy",
            start + len(entries),
        )
    if flaw.position == 0:
        return VerificationError(
            f"the published entry does not follow from the database: {flaw.reason}. Restore another backup, "
            "or name the right log",
            start,
        )
    return VerificationError(f"the published log does not verify: {flaw.reason}", start + flaw.position)


async def _write(
    log: Log, verified: _Verified, counted: Reimport, actor: Operator, progress: Progress
) -> Reimport:
    head, end = verified.head, verified.frontier.size
    async with log.transaction() as connection:
        now = await log.checked_head(connection)
        if (now.size, now.chain) != (head.size, head.chain):
            raise LogStateError("the log has grown meanwhile: run the import again")
        await connection.execute(_PARTITIONS, {"end": end})
        tail = await stored.leaves(connection, log.number, head.size - head.size % WIDTH, head.size)
        for first, entries in verified.chunks():
            tail = await _insert(connection, log.number, first, entries, tail)
            progress("importing", first + len(entries) - head.size, end - head.size)
        await connection.execute(
            _ADVANCE,
            {
                "log": log.number,
                "size": end,
                "chain": verified.chain,
                "time": verified.time,
                "frontier": verified.frontier.encode(),
            },
        )
        moved, met = await _move_streams(connection, log, verified, progress)
        lost = _unmet(head.size, end, met)
        event, document = losses.operator_event(
            SYSTEM_STREAM,
            losses.REIMPORTED,
            actor,
            {
                "checkpoint_size": end,
                "checkpoint_root": verified.checkpoint.root.hex(),
                "lost_payloads": [[head.size, end]],
                "entries_of_lost_streams": len(lost),
                "of_lost_streams": lost.ranges[:_MOST_RANGES],
            },
        )
        declared = await log.append_unstarted(connection, [event])
        await losses.keep(connection, log.number, declared, document)
        reapplied = await log.reapply_unstarted(connection)
        # From here everything stands or nothing does; nobody is answered before the log has started.
    await log.start()  # (7)
    return replace(counted, declared=declared, streams=moved, lost=lost, reapplied=reapplied)


async def _insert(
    connection: AsyncConnection, log: int, first: int, entries: Sequence[bytes], tail: list[bytes]
) -> list[bytes]:
    """Inserts entries and the tiles they fill; returns the leaf hashes of the unfinished tile."""
    await connection.execute(
        _INSERT,
        {"log": log, "indexes": list(range(first, first + len(entries))), "entries": list(entries)},
    )
    hashes = [*tail, *map(leaf_hash, entries)]
    full = len(hashes) // WIDTH
    if full:
        tiles = [hashes[at * WIDTH : (at + 1) * WIDTH] for at in range(full)]
        await stored.write_tiles(connection, log, 0, first // WIDTH, tiles)
    return hashes[full * WIDTH :]


async def _move_streams(
    connection: AsyncConnection, log: Log, verified: _Verified, progress: Progress
) -> tuple[int, list[int]]:
    """Brings every stream's row to its newest imported entry; how many moved, and the entries they have."""
    months = standings.months_between(month_of(verified.first_time), month_of(verified.time))
    rows = await writes.all_places(connection, log.number)
    find = standings.finder(connection, log.number, log.archive)
    moved, met = 0, list[int]()
    for at in range(0, len(rows), standings.ABREAST):
        walks = [
            standings.Walk(stream, place, [each for each in months if each >= place.month])
            for stream, place in rows[at : at + standings.ABREAST]
        ]
        await standings.advance(walks, find, log.month_key)
        going = [one for one in walks if one.met]
        await writes.move_streams(connection, log.number, {one.stream: one.place for one in going})
        moved += len(going)
        met.extend(index for one in going for index in one.met if index >= verified.head.size)
        progress("placing streams", min(at + standings.ABREAST, len(rows)), len(rows))
    return moved, met


def _unmet(first: int, end: int, met: Sequence[int]) -> Ranges:
    """Imported entries no stream of the database claims."""
    claimed = bytearray(end - first)
    for index in met:
        claimed[index - first] = 1
    ranges: list[tuple[int, int]] = []
    at = claimed.find(0)
    while at >= 0:
        stop = claimed.find(1, at)
        stop = len(claimed) if stop < 0 else stop
        ranges.append((first + at, first + stop))
        at = claimed.find(0, stop)
    return Ranges(tuple(ranges))
