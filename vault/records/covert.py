"""Covert cases: queries a person is told of later, each case in a stream of its own (RULES 10).

A case is one authorization about one person. It is opened by its first query, in that query's transaction,
and ends on the date in the authorization's terms, which two registrars signed. From then on the person's
queries stand in their own stream again, and the next run of `disclose_due` gives them this one.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.belonging import Case
from access_log.entry import EntryType
from access_log.log import STREAM_ID_SIZE, Event, Log, StreamKind, Writing
from access_log.payload import Payload
from consent.facts import DelayedNotice
from consent.permit import Person, QueryRequest
from vault.records.tables import covert_case, erased_subject, subject

DISCLOSED = "covert case disclosed"
_AT_A_TIME = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DUE = text(
    "SELECT c.subject_id, c.authorization_id, c.body_id, c.court_reference, s.stream_id"
    " FROM vault.covert_case c JOIN vault.subject s ON s.subject_id = c.subject_id"
    " WHERE c.disclosed_at IS NULL AND c.ends_at <= :now ORDER BY c.ends_at LIMIT :most"
)
_DISCLOSE = text(
    "UPDATE vault.covert_case SET disclosed_at = :now"
    " WHERE subject_id = :subject_id AND authorization_id = :authorization_id"
)
_OVERDUE = text(
    "SELECT count(*) FROM vault.covert_case WHERE disclosed_at IS NULL AND ends_at <= clock_timestamp()"
)


_OVERDUE_CASES = text(
    "SELECT authorization_id, body_id, court_reference, opened_at, ends_at FROM vault.covert_case"
    " WHERE disclosed_at IS NULL AND ends_at <= clock_timestamp() ORDER BY ends_at, authorization_id"
    " LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class OverdueCase:
    """A covert case that has ended and whose person was not told yet, without that person."""

    authorization_id: UUID
    body_id: UUID
    court_reference: str
    opened_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class DisclosedCase:
    """A covert case its person was told of.

    Attributes:
        stream_id: of the case.
        court_reference: of the court that ordered the delay.
        opened_at: moment of its first query.
        disclosed_at: when the person was told.
    """

    stream_id: bytes
    court_reference: str
    opened_at: datetime
    disclosed_at: datetime


async def stream_of(
    log: Log, writing: Writing, person: Person, request: QueryRequest, notice: DelayedNotice
) -> bytes:
    """The stream of a case, opened if this is its first query.

    Args:
        log: the log.
        writing: the transaction of the query's entry.
        person: whom it is about.
        request: the query.
        notice: the delay that its authorization allows.
    """
    authorization_id = request.token.grant_id
    own = (covert_case.c.subject_id == person.subject_id) & (
        covert_case.c.authorization_id == authorization_id
    )
    known = await writing.connection.execute(select(covert_case.c.stream_id).where(own))
    stream: bytes | None = known.scalar_one_or_none()
    if stream is not None:
        return stream
    stream = os.urandom(STREAM_ID_SIZE)
    await log.open_streams(writing.connection, StreamKind.COVERT, [stream])
    await writing.connection.execute(
        covert_case.insert(),
        {
            "subject_id": person.subject_id,
            "authorization_id": authorization_id,
            "body_id": request.body_id,
            "stream_id": stream,
            "court_reference": notice.court_reference,
            "opened_at": writing.now,
            "ends_at": notice.until,
        },
    )
    return stream


async def any_under(
    connection: AsyncConnection, authorization_id: UUID, subject_ids: Collection[UUID]
) -> bool:
    """Whether there is a case under this authorization about any of these identities."""
    found = select(covert_case.c.stream_id).where(
        covert_case.c.authorization_id == authorization_id, covert_case.c.subject_id.in_(subject_ids)
    )
    return (await connection.execute(found.limit(1))).first() is not None


async def disclosed_to(connection: AsyncConnection, subject_id: UUID) -> list[DisclosedCase]:
    """The covert cases a person was told of, the oldest first."""
    rows = await connection.execute(
        select(
            covert_case.c.stream_id,
            covert_case.c.court_reference,
            covert_case.c.opened_at,
            covert_case.c.disclosed_at,
        )
        .where(covert_case.c.subject_id == subject_id, covert_case.c.disclosed_at.is_not(None))
        .order_by(covert_case.c.opened_at, covert_case.c.stream_id)
    )
    return [DisclosedCase(*row) for row in rows]


async def disclose_due(log: Log) -> int:
    """Discloses every case whose end has come; returns how many. Each disclosure is an entry of its person.

    Raises:
        AccessLogError: the log cannot append; what was not disclosed is due at the next run.
    """
    disclosed = 0
    while True:
        async with log.writing() as writing:
            rows = (await writing.connection.execute(_DUE, {"now": writing.now, "most": _AT_A_TIME})).all()
            for row in rows:
                place = {"subject_id": row.subject_id, "authorization_id": row.authorization_id}
                await writing.connection.execute(_DISCLOSE, {**place, "now": writing.now})
                payload = _disclosure(row.subject_id, row.body_id, row.authorization_id, row.court_reference)
                writing.add(Event(row.stream_id, payload))
        # Durable and raised: from here the person's page and material show these cases.
        disclosed += len(rows)
        if len(rows) < _AT_A_TIME:
            return disclosed


async def overdue(connection: AsyncConnection) -> int:
    """How many cases have ended and are not disclosed yet."""
    number: int = (await connection.execute(_OVERDUE)).scalar_one()
    return number


async def overdue_cases(connection: AsyncConnection, most: int) -> list[OverdueCase]:
    """Those cases, the longest overdue first, at most so many."""
    return [OverdueCase(*row) for row in await connection.execute(_OVERDUE_CASES, {"most": most})]


async def streams_about(connection: AsyncConnection, subject_id: UUID) -> list[bytes]:
    """The streams of all covert cases about a person, disclosed ones too."""
    rows = await connection.execute(
        select(covert_case.c.stream_id).where(covert_case.c.subject_id == subject_id)
    )
    return list(rows.scalars())


class StreamOwners:
    """Whose stream is whose, for `audit-streams` (access_log.belonging.Owners)."""

    async def streams_of(self, connection: AsyncConnection, subjects: Collection[str]) -> Mapping[str, bytes]:
        """The own stream of each of these persons; one that is not known is absent."""
        ids = [found for each in subjects if (found := _id(each)) is not None]
        rows = await connection.execute(
            union_all(
                *(
                    select(each.c.subject_id, each.c.stream_id).where(each.c.subject_id.in_(ids))
                    for each in (subject, erased_subject)
                )
            )
        )
        return {str(row.subject_id): row.stream_id for row in rows}

    async def cases(self, connection: AsyncConnection) -> Sequence[Case]:
        """Every covert case there ever was."""
        return [
            Case(
                stream=row.stream_id,
                subject=str(row.subject_id),
                body=str(row.body_id),
                basis=str(row.authorization_id),
                court_reference=row.court_reference,
                since=_ms(row.opened_at),
                until=None if row.ends_at is None else _ms(row.ends_at),
            )
            for row in await connection.execute(select(covert_case))
        ]


def _disclosure(subject_id: UUID, body_id: UUID, authorization_id: UUID, court_reference: str) -> Payload:
    return Payload.create(
        EntryType.RIGHTS,
        {
            "event": DISCLOSED,
            "actor": "creditvault",
            "actor_role": "vault",
            "body": str(body_id),
            "object": court_reference,
            "basis": str(authorization_id),
            "subject": str(subject_id),
        },
    )


def _id(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _ms(moment: datetime) -> int:
    """The first whole millisecond since the epoch that is not before this moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
