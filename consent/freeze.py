"""A freeze: a person lets nobody ask with their consent until they end it, whatever they granted before.

It touches no consent: when it ends, those that still stand count again. Statutory queries do not rest on the
person's will, so it does not touch them. What a body is told is what it is told of a consent that was
withdrawn (RULES 3.7): nobody can hold against a person that they froze everything, because nobody can tell.
Like a consent's, its state is its list of events.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Event, Writing
from access_log.payload import Payload
from consent.endings import Kind
from consent.errors import StateError
from consent.journal import Actor
from consent.permit import Person
from consent.tables import freeze_event

BEGUN = "begun"
ENDED = "ended"


@dataclass(frozen=True, slots=True)
class FreezeEvent:
    """A freeze began or ended; number 1 is the first beginning."""

    number: int
    event: str
    at: datetime


async def begin(writing: Writing, person: Person, *, actor: Actor | None = None) -> None:
    """Freezes, for the next query already.

    Args:
        writing: the transaction.
        person: whose consents.
        actor: who acted for the person, if not they themselves.

    Raises:
        StateError: a freeze stands already.
    """
    await _write(writing, person, BEGUN, actor)
    writing.end(Kind.FREEZE_BEGUN, person.subject_id, person.subject_id)


async def end(writing: Writing, person: Person, *, actor: Actor | None = None) -> None:
    """Ends a freeze, for the next query already.

    Args:
        writing: the transaction.
        person: whose consents.
        actor: who acted for the person, if not they themselves.

    Raises:
        StateError: none stands.
    """
    await _write(writing, person, ENDED, actor)
    writing.end(Kind.FREEZE_ENDED, person.subject_id, person.subject_id)


async def stands(connection: AsyncConnection, subject_id: UUID) -> bool:
    """Whether a freeze of this person stands now."""
    newest = (
        select(freeze_event.c.event)
        .where(freeze_event.c.subject_id == subject_id)
        .order_by(freeze_event.c.number.desc())
        .limit(1)
    )
    return (await connection.execute(newest)).scalar_one_or_none() == BEGUN


async def history(connection: AsyncConnection, subject_id: UUID) -> list[FreezeEvent]:
    """Every beginning and end, the newest first."""
    rows = await connection.execute(
        select(freeze_event.c.number, freeze_event.c.event, freeze_event.c.at)
        .where(freeze_event.c.subject_id == subject_id)
        .order_by(freeze_event.c.number.desc())
    )
    return [FreezeEvent(*row) for row in rows]


async def _write(writing: Writing, person: Person, event: str, actor: Actor | None) -> None:
    """Writes an event with its entry (type 3) in the person's stream."""
    if await stands(writing.connection, person.subject_id) is (event == BEGUN):
        raise StateError("it stands so already")
    last = select(func.coalesce(func.max(freeze_event.c.number), 0)).where(
        freeze_event.c.subject_id == person.subject_id
    )
    number = (await writing.connection.execute(last)).scalar_one() + 1
    await writing.connection.execute(
        freeze_event.insert(),
        {"subject_id": person.subject_id, "number": number, "event": event, "at": writing.now},
    )
    actor = actor or Actor.subject(person.subject_id)
    payload = Payload.create(
        EntryType.CONSENT,
        {
            "event": f"freeze.{event}",
            "actor": actor.name,
            "actor_role": actor.role,
            "subject": str(person.subject_id),
        },
    )
    writing.add(Event(person.stream_id, payload))
