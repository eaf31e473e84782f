"""What an inspector reads of the log: one entry opened whole, or a list of entries that names no person.

Every reading is a use of the inspector's token and so an entry itself (`inspections.py`, RULES 11).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading
from access_log.entry import EntryType
from access_log.errors import LogClosedError
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import JSON, Party, Payload
from access_log.stored_log import StoredLog
from access_log.streams import StreamEntry, entries_between, stands_in
from consent import cases
from consent.inspection import Inspector
from consent.oauth.protection import Presented
from consent.permit import Person
from vault.records import covert, flags, store
from vault.records.covert import OverdueCase
from vault.records.flags import RaisedFlag
from vault.rights.inspections import Purpose, Used, UseRefused, use

OPENED: Final = "entry opened"
LISTED: Final = "entries listed"
OVERDUE: Final = "overdue covert cases read"
FLAGS: Final = "flags read"
LOOKED_AT: Final = "opened by an inspector"
LONGEST_PAGE: Final = 100
"""Most entries on one page of a list."""
_LOOKED_THROUGH: Final = 500  # entries opened for one page, whether or not they fit: a page takes no longer
_LISTED: Final = (
    "event",
    "body",
    "officer",
    "officer_role",
    "purpose",
    "case_reference",
    "basis",
    "decision",
    "reason",
    "fields",
)
"""What a list shows of an entry: no person, no record, no free form."""
Stream = Literal["person", "covert case", "system", "not found", "unknown"]


@dataclass(frozen=True, slots=True)
class InspectedEntry:
    """One entry, opened for an inspector.

    Attributes:
        stream: where it stands; `unknown` once its payload is gone.
        values: every attribute; empty once their retention has ended.
        opening: proves that the entry committed to them (FORMAT 6).
        receipt: of the entry; None where its log was closed as it stood and nothing proves it here.
    """

    one: StreamEntry
    stream: Stream
    values: Mapping[str, Any]
    opening: Mapping[str, Any] | None
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which entries a list is of; what is None restricts nothing.

    Attributes:
        since: first moment.
        until: first moment after the range.
        case_reference: of the queries' own case, however it is spelt.
        after: where the page before ended.
        log: the name of the closed log that is listed; empty for the open one.
    """

    since: datetime
    until: datetime
    body_id: UUID | None = None
    officer_id: UUID | None = None
    case_reference: str | None = None
    after: int | None = None
    log: str = ""

    @property
    def covers(self) -> timedelta:
        """How much time."""
        return self.until - self.since

    def fit(self, values: Mapping[str, Any]) -> bool:
        """Whether an entry with these attributes is among those asked for."""
        if self.body_id is not None and values.get("body") != str(self.body_id):
            return False
        if self.officer_id is not None and values.get("officer") != str(self.officer_id):
            return False
        if self.case_reference is None:
            return True
        stated = values.get("case_reference")
        return isinstance(stated, str) and cases.normalized(stated) == cases.normalized(self.case_reference)

    def as_json(self) -> dict[str, JSON]:
        """As the entry of the use states them."""
        return {
            "from": self.since.isoformat(),
            "until": self.until.isoformat(),
            "body": None if self.body_id is None else str(self.body_id),
            "officer": None if self.officer_id is None else str(self.officer_id),
            "asked_case": self.case_reference,
            "after": self.after,
            **_of_closed(self.log),
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a list, the oldest first.

    Attributes:
        entries: with the attributes a list shows.
        next: what the next page is asked `after`; None where this is the last.
    """

    entries: Sequence[tuple[StreamEntry, Mapping[str, Any]]]
    next: int | None


async def open_entry(
    log: Log, presented: Presented, inspector: Inspector, index: int, closed: str = ""
) -> Used[InspectedEntry | None] | UseRefused:
    """Opens one entry whole, its person's id too; None where the log has no such entry.

    If it stands in a person's own stream, that person is told that an inspector looked.

    Args:
        log: the open log, in which the use is written down.
        presented: what the request presented, verified.
        inspector: whom its token names.
        index: of the entry.
        closed: the name of the closed log it stands in; empty for the open one.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
    """
    standing = _named(log, closed)

    async def act(writing: Writing) -> tuple[StreamEntry, Stream] | None:
        if standing is None or (standing is log and index >= writing.head.size):
            return None
        found = await entries_between(writing.connection, standing, index, index + 1)
        if not found:
            return None
        stream, own = await _stream_of(writing.connection, standing, found[0])
        if own is not None:
            writing.add(Event(own.stream_id, _told(inspector, index, closed, own.subject_id)))
        return found[0], stream

    purpose = Purpose(OPENED, {"entry": index, **_of_closed(closed)})
    used = await use(log, presented, inspector, purpose, act)
    if isinstance(used, UseRefused):
        return used
    if used.found is None or standing is None:
        return Used(None, used.receipt)
    one, stream = used.found
    async with log.engine.connect() as connection:
        receipt = await _receipt(connection, standing, one)
    payload = one.payload
    inspected = InspectedEntry(
        one,
        stream,
        {} if payload is None else payload.values(),
        None if payload is None else payload.opening(Party.INSPECTOR),
        receipt,
    )
    return Used(inspected, used.receipt)


async def list_entries(
    log: Log, presented: Presented, inspector: Inspector, criteria: Criteria
) -> Used[Page | None] | UseRefused:
    """One page of the entries that fit; None where there is no such log.

    A page may hold few or none and still not be the last.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
    """
    purpose = Purpose(LISTED, criteria.as_json(), criteria.covers)
    used = await use(log, presented, inspector, purpose, _nothing)
    if isinstance(used, UseRefused):
        return used
    listed = _named(log, criteria.log)
    if listed is None:
        return Used(None, used.receipt)
    async with log.engine.connect() as connection:
        size = await listed.readable(connection)
        return Used(await _page(connection, listed, criteria, size), used.receipt)


async def overdue(
    log: Log, presented: Presented, inspector: Inspector
) -> Used[Sequence[OverdueCase]] | UseRefused:
    """Covert cases whose persons should have been told by now.

    Raises:
        AccessError, AccessLogError: as `inspections.use`.
    """

    async def act(writing: Writing) -> Sequence[OverdueCase]:
        return await covert.overdue_cases(writing.connection, LONGEST_PAGE)

    return await use(log, presented, inspector, Purpose(OVERDUE, {}), act)


async def flags_raised(
    log: Log, presented: Presented, inspector: Inspector, after: int | None
) -> Used[Sequence[RaisedFlag]] | UseRefused:
    """One page of flags, the oldest first.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
    """

    async def act(writing: Writing) -> Sequence[RaisedFlag]:
        return await flags.list_flags(writing.connection, log, after=after, most=LONGEST_PAGE)

    return await use(log, presented, inspector, Purpose(FLAGS, {"after": after}), act)


async def _nothing(_writing: Writing) -> None:
    """A list is read once its use is in the log."""


def _named(log: Log, closed: str) -> StoredLog | None:
    """The open log, or the closed one of this name."""
    return next((one for one in log.earlier if one.origin == closed), None) if closed else log


def _of_closed(closed: str) -> dict[str, JSON]:
    return {"log": closed} if closed else {}


async def _receipt(connection: AsyncConnection, log: StoredLog, one: StreamEntry) -> str | None:
    try:
        return await log.receipt(connection, one.index, one.entry.encode())
    except LogClosedError:
        return None


async def _page(connection: AsyncConnection, log: StoredLog, criteria: Criteria, size: int) -> Page:
    first = await reading.first_since(connection, log.number, log.archive, size, _ms(criteria.since))
    if criteria.after is not None:
        first = max(first, criteria.after + 1)
    end = min(size, first + _LOOKED_THROUGH)
    until = _ms(criteria.until)
    listed: list[tuple[StreamEntry, Mapping[str, Any]]] = []
    for one in await entries_between(connection, log, first, end):
        if one.entry.time >= until:
            return Page(listed, None)
        values = {} if one.payload is None else one.payload.values()
        if criteria.fit(values):
            listed.append((one, {name: values[name] for name in _LISTED if values.get(name) is not None}))
        if len(listed) == LONGEST_PAGE:
            return Page(listed, one.index)
    return Page(listed, end - 1 if end < size else None)


async def _stream_of(
    connection: AsyncConnection, log: StoredLog, one: StreamEntry
) -> tuple[Stream, Person | None]:
    """Where an entry stands, and the person whose own stream that is."""
    if stands_in(log, one, SYSTEM_STREAM):
        return "system", None
    if stands_in(log, one, NOT_FOUND_STREAM):
        return "not found", None
    subject = None if one.payload is None else one.payload.values().get("subject")
    row = await store.subject(connection, UUID(subject)) if isinstance(subject, str) else None
    if row is None:
        return "unknown", None
    if stands_in(log, one, row.person.stream_id):
        return "person", row.person
    covert_streams = await covert.streams_about(connection, row.person.subject_id)
    return ("covert case" if any(stands_in(log, one, each) for each in covert_streams) else "unknown"), None


def _told(inspector: Inspector, index: int, closed: str, subject_id: UUID) -> Payload:
    """What the person reads: which body looked at which entry; not who acted for it, nor in which case."""
    return Payload.create(
        EntryType.INSPECTION,
        {
            "event": LOOKED_AT,
            "actor": f"body:{inspector.body_id}",
            "actor_role": "inspector",
            "body": str(inspector.body_id),
            "object": {"entry": index, "log": closed} if closed else index,
            "subject": str(subject_id),
        },
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
