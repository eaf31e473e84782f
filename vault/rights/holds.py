"""Legal holds: what retention must not remove while a proceeding needs it.

A hold is on a person or on a case of a query that was not recognised. It keeps rows; it shows nothing to
anybody, and what is no longer displayed stays so. Placing and lifting one are entries of the log: about a
person in that person's own stream, so that they see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Writing
from access_log.payload import Payload
from access_log.stored_log import StoredLog
from access_log.streams import indexes_of
from consent import terms
from consent.errors import StateError, UnknownError
from consent.journal import Actor
from vault.records import store
from vault.records.tables import access_case, covert_case, hold

PLACED: Final = "hold placed"
LIFTED: Final = "hold lifted"
Kind = Literal["person", "case"]
_CASES = text("SELECT log, opened_index, answered_index FROM vault.access_case WHERE case_id = ANY(:cases)")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be kept, and why.

    Attributes:
        object_id: the person, or the case.
        reference: of whoever ordered it, for instance a court's.
    """

    kind: Kind
    object_id: UUID
    reason: str
    reference: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as the register has it.

    Attributes:
        lifted_at: None while it stands.
    """

    hold_id: UUID
    order: Order
    placed_at: datetime
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """What stands under a hold now: persons, cases, and by log the entries whose payloads they need."""

    persons: tuple[UUID, ...]
    cases: tuple[UUID, ...]
    payloads: dict[int, list[int]]


async def place(writing: Writing, order: Order, actor: Actor) -> UUID:
    """Places a hold; returns its id.

    Raises:
        InvalidError: reason or reference are empty, too long, or cannot be printed.
        UnknownError: there is no such person or case.
        StateError: one stands on it already.
    """
    reason, reference = terms.text(order.reason, "reason"), terms.text(order.reference, "reference")
    places = await _places_of(writing.connection, order.kind, order.object_id)
    if any(one.order.object_id == order.object_id for one in await holds(writing.connection, standing=True)):
        raise StateError("a hold stands on it already")
    hold_id = uuid4()
    await writing.connection.execute(
        hold.insert(),
        {
            "hold_id": hold_id,
            "kind": order.kind,
            "object_id": order.object_id,
            "reason": reason,
            "reference": reference,
            "placed_at": writing.now,
        },
    )
    values = {"event": PLACED, "object": str(hold_id), "basis": reference}
    for stream, subject in places:
        writing.add(Event(stream, _payload(values, subject, actor)))
    return hold_id


async def lift(writing: Writing, hold_id: UUID, actor: Actor) -> None:
    """Lifts a hold; retention removes what is due, payloads after the month they were moved to (`holding`).

    Raises:
        UnknownError: no such hold stands.
    """
    rows = await writing.connection.execute(
        update(hold)
        .where(hold.c.hold_id == hold_id, hold.c.lifted_at.is_(None))
        .values(lifted_at=writing.now)
        .returning(hold.c.kind, hold.c.object_id, hold.c.reference)
    )
    row = rows.one_or_none()
    if row is None:
        raise UnknownError("no such hold stands; see `creditvault hold list`")
    try:
        places = await _places_of(writing.connection, row.kind, row.object_id)
    except UnknownError:  # Whoever was erased meanwhile has no stream any more.
        places = [(SYSTEM_STREAM, None)]
    values = {"event": LIFTED, "object": str(hold_id), "basis": row.reference}
    for stream, subject in places:
        writing.add(Event(stream, _payload(values, subject, actor)))


async def holds(connection: AsyncConnection, *, standing: bool = False) -> list[Hold]:
    """Every hold, in the order they were placed in; or those that stand."""
    asked = select(hold).order_by(hold.c.placed_at, hold.c.hold_id)
    if standing:
        asked = asked.where(hold.c.lifted_at.is_(None))
    return [
        Hold(
            row.hold_id,
            Order(row.kind, row.object_id, row.reason, row.reference),
            row.placed_at,
            row.lifted_at,
        )
        for row in await connection.execute(asked)
    ]


async def held(connection: AsyncConnection, logs: Sequence[StoredLog]) -> Held:
    """What stands under a hold now, in these logs. One on a person holds all they are joined with."""
    found = await holds(connection, standing=True)
    named = [one.order.object_id for one in found if one.order.kind == "person"]
    rows = {row.person.subject_id: row for each in named for row in await store.identities(connection, each)}
    persons = tuple(dict.fromkeys([*named, *rows]))
    cases = tuple(one.order.object_id for one in found if one.order.kind == "case")
    payloads: dict[int, list[int]] = {log.number: [] for log in logs}
    for subject_id, row in rows.items():
        streams = [(row.person.stream_id, row.created_at)]
        covert = select(covert_case.c.stream_id, covert_case.c.opened_at).where(
            covert_case.c.subject_id == subject_id
        )
        streams += [(stream_id, opened_at) for stream_id, opened_at in await connection.execute(covert)]
        for log in logs:
            for stream_id, since in streams:
                payloads[log.number] += await indexes_of(connection, log, stream_id, since)
    for number, *indexes in await connection.execute(_CASES, {"cases": list(cases)}):
        payloads.setdefault(number, []).extend(index for index in indexes if index is not None)
    return Held(persons, cases, payloads)


async def _places_of(
    connection: AsyncConnection, kind: str, object_id: UUID
) -> list[tuple[bytes, UUID | None]]:
    """Where a hold is written down, and whom it is about there."""
    if kind == "person":
        rows = await store.identities(connection, object_id)
        if not rows:
            raise UnknownError("this person is not known")
        return [(row.person.stream_id, row.person.subject_id) for row in rows]
    if (
        await connection.execute(select(access_case.c.case_id).where(access_case.c.case_id == object_id))
    ).first() is None:
        raise UnknownError("there is no such case; see `creditvault cases list`")
    return [(SYSTEM_STREAM, None)]


def _payload(values: Mapping[str, str], subject: UUID | None, actor: Actor) -> Payload:
    """About a person of type 6; about a case, whose person the register does not know, of type 9."""
    about = None if subject is None else str(subject)
    return Payload.create(
        EntryType.OPERATOR if subject is None else EntryType.RIGHTS,
        {**values, "actor": actor.name, "actor_role": actor.role, "subject": about},
    )
