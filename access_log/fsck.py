"""Examine the log in its database, to the last payload (FORMAT 10; run by `creditvault log fsck`).

What an outside verifier checks of the published log is derived anew here too, and beyond it what only the
database and the keys can show:

(1) the outside lock's note is signed by the log's key, and the database is not behind it; the key history
    leads from the log's first keys to those the head names;
(2) every entry is there, in the database or in the archive, of the format, and in the chain from the origin
    on; times never decrease;
(3) stored tiles, and the roots beside them, are those of the entries;
(4) the tree has the root the outside lock holds, at its size;
(5) the head states size, chain, time and frontier as they follow from the entries;
(6) every payload opens at its entry and leads to its commitment; absent are only those past retention, and
    those a document of the log declares lost;
(7) every entry stands at its place in exactly one stream, with the label of that place, and the stream's row
    names the newest;
(8) requests belong to entries, whose body, digests and time they have, and documents to the entries that
    commit to them;
(9) the database's indexes lead to every entry, by its number and by its label;
(10) if the owners of streams are known: every entry stands in the stream it belongs to (belonging.py);
(11) if the log of roots is given: its roots, tiles, head and crowns follow from the entries
    (roots/examining.py).

Everything is read from one state of the database, while the log goes on. Tampering is reported, never raised.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import key_changes, writes
from access_log.belonging import Belonging, Owners
from access_log.checkpoint import open_note
from access_log.errors import AccessLogError, FormatError, LogStateError, OutsideLockError
from access_log.findings import Finding, Findings
from access_log.key_history import follow, parse_history, write_history
from access_log.lock import Raised
from access_log.losses import all_lost, read_kept
from access_log.merkle import Frontier
from access_log.places import Placement
from access_log.reading import archived
from access_log.rederive import Derivation
from access_log.roots.examining import RootsExamined, examine_roots
from access_log.roots.log import RootsLog
from access_log.stored_log import StoredLog

Progress = Callable[[int, int], None]
"""Called with the number of steps done so far and the number there are; each entry takes two or three."""

_HEAD = text("SELECT origin, size, chain, time, frontier FROM access_log.head WHERE log = :log")
_END = text("SELECT coalesce(max(index) + 1, 0) FROM access_log.entry WHERE log = :log")
_EXTRA_TILES = text(
    "SELECT level, index FROM access_log.tile WHERE log = :log"
    " AND (index < 0 OR level < 0 OR (index + 1) * power(256::numeric, level + 1) > :end)"
    " ORDER BY level, index LIMIT 1"
)
_NOW = text("SELECT clock_timestamp()")
_YEAR: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found.

    Attributes:
        size: Entries the head states; None if there is no head.
        entries: Entries up to the highest index stored.
        raised: Size in the outside lock; None where it cannot be read.
        payloads: Payloads that opened and fit their entries.
        expired: Payloads gone because their retention has ended.
        lost: Payloads gone with a database, and declared lost.
        tiles: Stored tiles compared.
        streams: Stream rows compared.
        requests: Request rows compared.
        placed: Whether places in streams were checked: they cannot be while entries are damaged.
        unplaced: Entries whose place could not be told: a payload after them cannot be read, or their stream
            was lost with its database.
        belonging: Entries whose stream was shown to be the right one, or a finding says why not; None where
            that was not asked for.
        roots: How much of the log of roots was compared; None where that was not asked for.
        findings: What does not hold, the lowest index first; a bounded number.
        more: Findings beyond those.
    """

    size: int | None
    entries: int
    raised: int | None
    payloads: int
    expired: int
    lost: int
    tiles: int
    streams: int
    requests: int
    placed: bool
    unplaced: int
    belonging: int | None
    roots: RootsExamined | None
    findings: tuple[Finding, ...]
    more: int

    @property
    def sound(self) -> bool:
        """Whether everything holds."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Head:
    """The head's row as it stands."""

    origin: str
    size: int
    chain: bytes
    time: int
    frontier: bytes

    @property
    def root(self) -> bytes | None:
        """Of its frontier; None where that is none."""
        try:
            return Frontier.decode(self.size, self.frontier).root()
        except FormatError:
            return None


def _silent(_done: int, _of: int) -> None:
    pass


async def examine_log(
    log: StoredLog,
    *,
    altered: tuple[type[Exception], ...],
    retention_years: int,
    owners: Owners | None = None,
    roots: RootsLog | None = None,
    progress: Progress = _silent,
) -> Report:
    """Examines the whole log; it need not be started.

    Args:
        log: The log.
        altered: What its sealer raises for a payload that was altered or moved.
        retention_years: How long payloads are kept: one that is absent before is a finding.
        owners: Knows whose stream is whose, so that each entry is held against the stream it belongs to.
        roots: Its log of roots, to be examined too.
        progress: Told how far the examination is.

    Raises:
        LogUnavailableError: The outside lock cannot be read now.
        SQLAlchemyError: The database cannot be read.
    """
    findings = Findings()
    # The lock is read first: it is raised after a commit, so it can never be ahead of what is read then.
    raised = await _read_lock(log, findings)  # (1)
    async with log.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        head = await _read_head(connection, log, findings)
        end: int = (await connection.execute(_END, {"log": log.number})).scalar_one()
        derived = Derivation(
            connection,
            log.number,
            log.origin,
            findings,
            end,
            known=raised.size if raised is not None else None,
            target=_target(end, raised, head),
            archive=log.archive,
        )
        if head is not None:
            await _check_keys(connection, log, findings)  # (1)
        steps = (2 if roots is None else 3) * end
        await derived.run(lambda done: progress(done, steps))  # (2), (3)
        await _check_archived(connection, log, findings)  # (2)
        await _check_extra_tiles(connection, log, findings, end)
        tree_holds = _check_raised(derived, raised, findings)  # (4)
        _check_head(
            derived, head, findings, vouched=tree_holds and raised is not None and raised.size == end
        )  # (5)
        now: datetime = (await connection.execute(_NOW)).scalar_one()
        kept = await read_kept(connection, log.number, log.sealer, altered)
        for document in kept:
            if document.fault is not None:
                findings.add(document.index, document.fault)
        belonging = None if owners is None else Belonging(owners, findings)
        placement = Placement(
            connection,
            log,
            findings,
            altered,
            end,
            oldest_kept=_month(now) - retention_years * _YEAR,
            linking=derived.entries_hold and tree_holds,
            declared=all_lost(kept),
            belonging=belonging,
        )
        await placement.run(lambda done: progress(end + done, steps))  # (6) to (10)
        examined = None
        if roots is not None:
            examined = await examine_roots(
                connection,
                roots,
                findings,
                end=end if derived.entries_hold and tree_holds else None,
                progress=lambda done: progress(2 * end + done, steps),
            )  # (11)
    return Report(
        size=head.size if head is not None else None,
        entries=end,
        raised=raised.size if raised is not None else None,
        payloads=placement.payloads,
        expired=placement.expired,
        lost=placement.lost,
        tiles=derived.tiles,
        streams=placement.streams,
        requests=placement.requests,
        placed=placement.linking,
        unplaced=placement.unplaced,
        belonging=None if belonging is None else belonging.checked,
        roots=examined,
        findings=findings.listed(),
        more=findings.more,
    )


async def _read_lock(log: StoredLog, findings: Findings) -> Raised | None:
    try:
        raised = await asyncio.to_thread(log.outside.read)
    except OutsideLockError as error:
        findings.add(None, str(error))
        return None
    try:
        checkpoint = open_note(raised.note, await log.every_verifier_key())
    except LogStateError:
        return raised  # There is no head to name the keys: reported as such.
    except AccessLogError as error:
        findings.add(None, f"the note in the outside lock does not verify: {error}")
        return raised
    if (checkpoint.size, checkpoint.root) != (raised.size, raised.root):
        findings.add(None, "the note in the outside lock is of another tree than the lock itself")
    return raised


async def _check_keys(connection: AsyncConnection, log: StoredLog, findings: Findings) -> None:
    try:
        state = await writes.key_state(connection, log.number)
        first = [key.key for key in await log.signers.of(1)]
        history = write_history(await key_changes.completed(connection, log.number))
        succession = follow(parse_history(history), first)
        newest = [key.key for key in await log.signers.of(state.epochs[0])]
    except AccessLogError as error:
        findings.add(None, f"the history of the log's keys does not verify: {error}")
        return
    # The post-quantum key may have been switched on or off since.
    if not set(newest) & set(succession.keys):
        findings.add(None, "the history of the log's keys does not lead to those the head names")


async def _read_head(connection: AsyncConnection, log: StoredLog, findings: Findings) -> _Head | None:
    row = (await connection.execute(_HEAD, {"log": log.number})).one_or_none()
    if row is None:
        findings.add(None, "the head is missing from the database")
        return None
    if row.origin != log.origin:
        findings.add(None, "the head names another origin than the settings")
    return _Head(*row)


def _target(end: int, raised: Raised | None, head: _Head | None) -> bytes | None:
    """The root the whole tree should have: the outside lock's rather than the head's."""
    if raised is not None and raised.size == end:
        return raised.root
    return head.root if head is not None and head.size == end else None


async def _check_archived(connection: AsyncConnection, log: StoredLog, findings: Findings) -> None:
    """Holds the archive's indexes of labels against what was recorded when the entries left the database."""
    for each, digest in (await archived(connection, log.number)).items():
        where = f"the index of labels of the archived entries {each.first} to {each.end - 1}"
        if log.archive is None:
            findings.add(None, f"{where} was not looked at: set CREDITVAULT_ARCHIVE_DIR to the archive")
        elif (found := await asyncio.to_thread(log.archive.digest, each)) is None:
            findings.add(None, f"{where} is missing from {log.archive.root}")
        elif found != digest:
            findings.add(None, f"{where} was altered")


async def _check_extra_tiles(
    connection: AsyncConnection, log: StoredLog, findings: Findings, end: int
) -> None:
    for level, index in await connection.execute(_EXTRA_TILES, {"log": log.number, "end": end}):
        findings.add(None, f"a tile of level {level}, number {index}, is kept that no entries fill")


def _check_raised(derived: Derivation, raised: Raised | None, findings: Findings) -> bool:
    """Compares the tree with the outside lock; True where it begins with what was raised."""
    if raised is None:
        return True
    if raised.size > derived.end:
        findings.add(
            derived.end,
            f"it is missing: the outside lock holds {raised.size} entries, the database {derived.end}",
        )
        return False
    if derived.known_root == raised.root:
        return True
    if derived.entries_hold:
        findings.add(
            raised.size - 1,
            "the entries up to this one do not give the root in the outside lock although the chain holds: "
            "it, or a row of entries that ends with it, was altered",
        )
    return False


def _check_head(derived: Derivation, head: _Head | None, findings: Findings, *, vouched: bool) -> None:
    """Compares the head with what follows from the entries.

    `vouched` says that the outside lock holds the root of all entries, so that only the head can be wrong.
    """
    if head is None:
        return
    end = derived.end
    if head.size > end:
        findings.add(end, f"it is missing from the database: the head states {head.size} entries")
        return
    if head.size < end:
        findings.add(head.size, f"it stands beyond the head, which states {head.size} entries")
        return
    if not derived.entries_hold or derived.frontier is None:
        return
    wrong = [
        name
        for name, stated, follows in (
            ("chain value", head.chain, derived.chain),
            ("time", head.time, derived.time),
            ("frontier", head.frontier, derived.frontier.encode()),
        )
        if stated != follows
    ]
    if wrong:
        what = f"the head's {' and '.join(wrong)} did not follow from the entries"
        if vouched or not end:
            findings.add(None, f"{what}: the head was altered")
        else:
            findings.add(end - 1, f"{what}: this newest entry or the head was altered")


def _month(now: datetime) -> int:
    moment = now.astimezone(UTC)
    return moment.year * _YEAR + moment.month
