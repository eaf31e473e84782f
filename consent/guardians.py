"""Guardians: mandates that registrars give, because the person cannot: minors, or persons without capacity.

Two registrars sign what a court's decision or another document says; both have it before them, and its
SHA-256 stands in what they sign. A guardian then may what any mandate allows, and acts under it like any
representative (mandates.py). It ends at its date, a minor's on coming of age, or by an act of the registrars;
neither of the two ends it. The person finds each step in their own stream.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from access_log.log import Writing
from consent import mandates, terms
from consent.errors import InvalidError, StateError
from consent.journal import Actor, write_register_event
from consent.mandates import Ground, Mandate, Relation, Right
from consent.permit import Person

LONGEST: Final = {Ground.MINOR: timedelta(days=18 * 366), Ground.INCAPACITY: timedelta(days=1826)}
"""How long a guardian may be registered at once: to the coming of age, or five years, like any mandate."""


@dataclass(frozen=True, slots=True)
class NewGuardian:
    """A guardian about to be registered.

    Attributes:
        ground: why the person cannot appoint anybody.
        rights: at least one.
        until: first moment at which it does not stand any more.
        document_sha256: of the court's decision, or of the document it rests on.
    """

    ground: Ground
    rights: frozenset[Right]
    until: datetime
    document_sha256: bytes


async def appoint(writing: Writing, person: Person, guardian: Person, new: NewGuardian, actor: Actor) -> UUID:
    """Registers a guardian, for their next request already; returns the mandate's id.

    Raises:
        InvalidError: a part breaks a rule.
        StateError: too many mandates of the person stand.
    """
    if person.subject_id == guardian.subject_id:
        raise InvalidError("nobody is their own guardian")
    if not writing.now < new.until <= writing.now + LONGEST[new.ground]:
        raise InvalidError(
            f"a guardian of this ground is registered until a date within {LONGEST[new.ground].days} days"
        )
    await mandates.require_room(writing, person)
    made = Mandate(
        mandate_id=uuid4(),
        subject_id=person.subject_id,
        representative_id=guardian.subject_id,
        kind=Relation.GUARDIAN,
        rights=new.rights,
        document_sha256=new.document_sha256,
        given_at=writing.now,
        expires_at=new.until,
        ended_at=None,
    )
    await mandates.write(writing, person, made, "guardian.appointed", actor)
    content = {"ground": new.ground, "document_sha256": new.document_sha256.hex()}
    await write_register_event(writing, "guardian.appointed", made.mandate_id, actor, content)
    return made.mandate_id


async def end(writing: Writing, person: Person, mandate_id: UUID, reason: str, actor: Actor) -> None:
    """Ends a guardian's mandate, for the next request already.

    Raises:
        UnknownError: the person has no such mandate.
        StateError: it does not stand, or is none that registrars gave.
        InvalidError: the reason says nothing.
    """
    content = {"reason": terms.text(reason, "reason")}
    standing = await mandates.of_person(writing.connection, person.subject_id)
    if any(one.mandate_id == mandate_id and one.kind is not Relation.GUARDIAN for one in standing):
        raise StateError("the person gave this mandate themselves, and ends it themselves")
    await mandates.end(writing, person, mandate_id, actor)
    await write_register_event(writing, "guardian.ended", mandate_id, actor, content)
