"""My log keys: what a person needs to check, without us, that no entry about them is hidden.

They are given the month keys of their stream and the openings of its entries (access_log FORMAT 4.6), never
the stream's own key. Whoever has them can find the entries about this person in the published log, so giving
them is logged like every other view of a person's own affairs.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels, reading
from access_log.entry import Entry, EntryType
from access_log.log import Event, Log
from access_log.material import Kind, Material, MaterialStream, MonthKey, OpenedEntry
from access_log.payload import Party, Payload
from access_log.streams import StreamEntry, entries_of
from vault.records import covert, store
from vault.records.covert import DisclosedCase
from vault.records.store import SubjectRow

GIVEN = "log keys given"


async def give_material(log: Log, subject_id: UUID, retention_years: int) -> Material | None:
    """A person's material, after its giving was logged; None for someone the vault does not know.

    Args:
        log: the log.
        subject_id: the person who asks, about themselves.
        retention_years: for how long payloads are kept.

    Raises:
        AccessLogError: the log cannot append or release; nothing was given.
        CryptoError: a payload was altered or moved.
    """
    async with log.writing() as writing:
        row = await store.subject(writing.connection, subject_id)
        if row is None:
            return None
        writing.add(Event(row.person.stream_id, _payload(subject_id)))
    # Durable and raised: the keys that follow find this entry, too.
    raised = await asyncio.to_thread(log.outside.read)
    async with log.engine.connect() as connection:
        (newest,) = await reading.entries(connection, log.number, log.archive, raised.size - 1, raised.size)
        present = labels.month_of(Entry.decode(newest[1]).time)
        own = await _own_stream(connection, log, row, raised.size, present)
        cases = [
            await _case_stream(connection, log, case, raised.size)
            for case in await covert.disclosed_to(connection, subject_id)
        ]
    keys = tuple([str(key) for key in await log.verifier_keys()])
    return Material(log.origin, keys, raised.note, retention_years, (own, *cases))


async def _own_stream(
    connection: AsyncConnection, log: Log, row: SubjectRow, size: int, present: int
) -> MaterialStream:
    """The person's ordinary stream, as far as the checkpoint of this size covers it."""
    stream_id = row.person.stream_id
    began = _month(row.created_at)
    entries = await entries_of(connection, log, stream_id, row.created_at)
    return MaterialStream(
        Kind.PERSON, None, _month_keys(log, stream_id, began, present), _opened(entries, size)
    )


async def _case_stream(
    connection: AsyncConnection, log: Log, case: DisclosedCase, size: int
) -> MaterialStream:
    """The stream of a covert case, from its first query to its disclosure."""
    entries = await entries_of(connection, log, case.stream_id, case.opened_at)
    months = _month_keys(log, case.stream_id, _month(case.opened_at), _month(case.disclosed_at))
    return MaterialStream(Kind.COVERT, case.court_reference, months, _opened(entries, size))


def _month_keys(log: Log, stream_id: bytes, first: int, last: int) -> tuple[MonthKey, ...]:
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


def _payload(subject_id: UUID) -> Payload:
    return Payload.create(
        EntryType.RIGHTS,
        {
            "event": GIVEN,
            "actor": str(subject_id),
            "actor_role": "subject",
            "subject": str(subject_id),
        },
    )
