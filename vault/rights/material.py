"""My log keys: what a person needs to check, without us, that no entry about them is hidden.

They are given the month keys of their stream and the openings of its entries (access_log FORMAT 4.6), never
the stream's own key. Whoever has them can find the entries about this person in the published log, so giving
them is logged like every other view of a person's own affairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels, reading, writes
from access_log.closed.log import ClosedLog
from access_log.entry import Entry, EntryType
from access_log.log import Event, Log
from access_log.material import Kind, Material, MaterialStream, MonthKey, OpenedEntry
from access_log.payload import FIRST_PREVIOUS, Party, Payload
from access_log.stored_log import StoredLog
from access_log.streams import StreamEntry, entries_of
from consent.journal import Actor
from vault.records import covert, store
from vault.records.covert import DisclosedCase
from vault.records.store import SubjectRow

GIVEN = "log keys given"


async def give_material(
    log: Log, subject_id: UUID, retention_years: int, closed: ClosedLog | None = None
) -> Material | None:
    """A person's material, after its giving was logged; None for someone of whom there is nothing there.

    It holds the streams of all identities the person is joined with, and each says that it was given.

    Args:
        log: the open log.
        subject_id: the person who asks, about themselves.
        retention_years: for how long payloads are kept.
        closed: the closed log it is to be about; None for the open one.

    Raises:
        AccessLogError: the log cannot append or release; nothing was given.
        CryptoError: a payload was altered or moved.
    """
    about: StoredLog = log if closed is None else closed
    async with log.writing() as writing:
        rows = await store.identities(writing.connection, subject_id)
        if closed is not None:
            end = await _end(writing.connection, closed)
            rows = [row for row in rows if _month(row.created_at) <= end]
        if not rows:
            return None
        for row in rows:
            # Should they be two persons after all, each reads who was given the keys of their log.
            writing.add(Event(row.person.stream_id, _payload(subject_id, row.person.subject_id)))
    # Durable and raised: the keys that follow find this entry, too.
    async with log.engine.connect() as connection:
        covering = await about.provable(connection)
        if covering is None or covering.size == 0:
            return None
        present = await _month_before(connection, about, covering.size)
        own = [
            await _own_stream(connection, about, row, covering.size, present)
            for row in rows
            if row is rows[0] or _month(row.created_at) <= present
        ]
        cases = [
            await _case_stream(connection, about, case, covering.size, present)
            for row in rows
            for case in await covert.disclosed_to(connection, row.person.subject_id)
            if _month(case.opened_at) <= present
        ]
        streams = tuple(
            [await _after(connection, about, stream_id, each) for stream_id, each in (*own, *cases)]
        )
    keys = tuple([str(key) for key in await about.verifier_keys()])
    return Material(about.origin, keys, covering.note, retention_years, streams)


async def _end(connection: AsyncConnection, closed: ClosedLog) -> int:
    """The last month of which a closed log has a provable entry; 0 where it has none."""
    covering = await closed.provable(connection)
    return await _month_before(connection, closed, covering.size) if covering and covering.size else 0


async def _month_before(connection: AsyncConnection, log: StoredLog, size: int) -> int:
    """The month of the last entry that a checkpoint of this size covers."""
    (newest,) = await reading.entries(connection, log.number, log.archive, size - 1, size)
    return labels.month_of(Entry.decode(newest[1]).time)


async def _own_stream(
    connection: AsyncConnection, log: StoredLog, row: SubjectRow, size: int, present: int
) -> tuple[bytes, MaterialStream]:
    """The person's ordinary stream, as far as the checkpoint of this size covers it."""
    stream_id = row.person.stream_id
    months = _month_keys(log, stream_id, _month(row.created_at), present)
    entries = await entries_of(connection, log, stream_id, row.created_at)
    return stream_id, MaterialStream(Kind.PERSON, None, months, _opened(entries, size))


async def _case_stream(
    connection: AsyncConnection, log: StoredLog, case: DisclosedCase, size: int, present: int
) -> tuple[bytes, MaterialStream]:
    """The stream of a covert case, from its first query to its disclosure."""
    entries = await entries_of(connection, log, case.stream_id, case.opened_at)
    last = min(_month(case.disclosed_at), present)
    months = _month_keys(log, case.stream_id, _month(case.opened_at), last)
    return case.stream_id, MaterialStream(Kind.COVERT, case.court_reference, months, _opened(entries, size))


async def _after(
    connection: AsyncConnection, log: StoredLog, stream_id: bytes, stream: MaterialStream
) -> MaterialStream:
    """The stream with its end in the logs before this one, if it has entries there."""
    before = (await writes.before(connection, log.number, [stream_id])).get(stream_id, FIRST_PREVIOUS)
    return stream if before == FIRST_PREVIOUS else replace(stream, before=before)


def _month_keys(log: StoredLog, stream_id: bytes, first: int, last: int) -> tuple[MonthKey, ...]:
    return tuple(
        MonthKey(month, log.month_key(stream_id, month)) for month in labels.months_between(first, last)
    )


def _month(moment: datetime) -> int:
    return labels.month_of(int(moment.timestamp() * 1000))


def _opened(entries: Sequence[StreamEntry], size: int) -> tuple[OpenedEntry, ...]:
    return tuple(
        OpenedEntry(one.index, None if one.payload is None else one.payload.opening(Party.PERSON))
        for one in reversed(entries)
        if one.index < size
    )


def _payload(subject_id: UUID, about: UUID) -> Payload:
    own = Actor(str(subject_id), "subject")
    actor = own if about == subject_id else own.elsewhere
    return Payload.create(
        EntryType.RIGHTS,
        {
            "event": GIVEN,
            "actor": actor.name,
            "actor_role": actor.role,
            "subject": str(about),
        },
    )
