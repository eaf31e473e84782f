"""Mandates: who may act for a person here, in which of the person's rights, from when until when.

A person appoints a representative themselves; where they cannot, registrars do (guardians.py). A mandate is
never changed: it ends by its date, or by an act of either of the two, and from that moment on nothing passes
under it. Each act under a mandate names both in its entry of the log: the person it is about is the subject,
the representative the actor. No name is kept: the two know a mandate by its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Event, Writing
from access_log.payload import Payload
from consent.endings import Kind
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import JOINED, Actor, digest, to_json
from consent.permit import Person
from consent.tables import mandate

LONGEST_DAYS: Final = 1826
"""Days a mandate may last: five years, like a consent."""
MOST: Final = 20
"""Mandates of one person that may stand at once."""
_HASH_SIZE: Final = 32


class Right(StrEnum):
    """What a representative can be entrusted with. To grant a consent is not among it."""

    READ = "read"
    WITHDRAW = "withdraw"
    FREEZE = "freeze"


class Relation(StrEnum):
    """What the representative is to the person."""

    LAWYER = "lawyer"
    RELATIVE = "relative"
    OTHER = "other"
    GUARDIAN = "guardian"


class Ground(StrEnum):
    """Why a person cannot appoint anybody, so that registrars do (guardians.py)."""

    MINOR = "minor"
    INCAPACITY = "incapacity"


@dataclass(frozen=True, slots=True)
class NewMandate:
    """A mandate a person is about to give.

    Attributes:
        kind: what the representative is to them.
        rights: at least one.
        days: for how long, from now on.
        document_sha256: of the document behind it, such as a power of attorney; None where there is none.
    """

    kind: Relation
    rights: frozenset[Right]
    days: int
    document_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Mandate:
    """A mandate that was given.

    Attributes:
        ended_at: when one of the two ended it; None where nobody did.
    """

    mandate_id: UUID
    subject_id: UUID
    representative_id: UUID
    kind: Relation
    rights: frozenset[Right]
    document_sha256: bytes | None
    given_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    def stands(self, now: datetime) -> bool:
        """Whether one may act under it at this moment."""
        return self.ended_at is None and self.given_at <= now < self.expires_at

    @property
    def actor(self) -> Actor:
        """The representative, as the log names them."""
        return Actor(f"subject:{self.representative_id}", "representative")


async def give(writing: Writing, person: Person, representative: Person, new: NewMandate) -> Mandate:
    """Appoints a representative, for their next request already.

    Args:
        writing: the transaction.
        person: who appoints.
        representative: whom.
        new: for what.

    Raises:
        InvalidError: a part breaks a rule.
        StateError: too many mandates of this person stand.
    """
    _check(person, representative, new)
    await require_room(writing, person)
    made = Mandate(
        mandate_id=uuid4(),
        subject_id=person.subject_id,
        representative_id=representative.subject_id,
        kind=new.kind,
        rights=new.rights,
        document_sha256=new.document_sha256,
        given_at=writing.now,
        expires_at=writing.now + timedelta(days=new.days),
        ended_at=None,
    )
    await write(writing, person, made, "mandate.given", Actor.subject(person.subject_id))
    return made


async def require_room(writing: Writing, person: Person) -> None:
    """Whether the person may have one more mandate.

    Raises:
        StateError: too many of them stand.
    """
    given = [one for one in await of_person(writing.connection, person.subject_id) if one.stands(writing.now)]
    if len(given) >= MOST:
        raise StateError(f"{MOST} of this person's mandates stand: end one first")


async def write(writing: Writing, person: Person, made: Mandate, event: str, actor: Actor) -> None:
    """Stores a mandate with its entry in the person's stream."""
    await writing.connection.execute(
        mandate.insert(),
        {
            "subject_id": made.subject_id,
            "mandate_id": made.mandate_id,
            "representative_id": made.representative_id,
            "kind": made.kind,
            "rights": sorted(made.rights),
            "document_hash": made.document_sha256,
            "given_at": made.given_at,
            "expires_at": made.expires_at,
        },
    )
    _write(writing, person, made, event, actor)


async def end(writing: Writing, person: Person, mandate_id: UUID, actor: Actor) -> None:
    """Ends a mandate, for the next request already.

    Args:
        writing: the transaction.
        person: whose representative it appoints.
        mandate_id: which.
        actor: who ends it: the person, or the representative; of a guardian's the registrars alone.

    Raises:
        UnknownError: the person gave no such mandate.
        StateError: it does not stand, or is not theirs to end.
    """
    of_this = (mandate.c.subject_id == person.subject_id) & (mandate.c.mandate_id == mandate_id)
    row = (await writing.connection.execute(select(mandate).where(of_this))).mappings().one_or_none()
    if row is None:
        raise UnknownError("this person gave no such mandate")
    standing = _mandate(row)
    if not standing.stands(writing.now):
        raise StateError("this mandate does not stand")
    of_registrars = standing.kind is Relation.GUARDIAN
    if of_registrars and actor.role in ("subject", JOINED, "representative"):
        raise StateError("registrars gave this mandate, and end it: turn to them")
    await writing.connection.execute(update(mandate).where(of_this).values(ended_at=writing.now))
    _write(writing, person, standing, "guardian.ended" if of_registrars else "mandate.ended", actor)
    writing.end(Kind.MANDATE_ENDED, mandate_id, person.subject_id)


async def require_standing(writing: Writing, one: Mandate) -> None:
    """Whether a mandate stands at this moment, under the lock that its end takes too.

    Raises:
        StateError: it does not.
    """
    found = await find(writing.connection, one.representative_id, one.mandate_id)
    if found is None or not found.stands(writing.now):
        raise StateError("this mandate does not stand")


def use(writing: Writing, person: Person, one: Mandate) -> None:
    """Writes down that the representative begins to act for the person.

    Args:
        writing: the transaction.
        person: whom they act for.
        one: the mandate, which stands.
    """
    _write(writing, person, one, "mandate.used", one.actor)


async def of_person(connection: AsyncConnection, subject_id: UUID) -> list[Mandate]:
    """Every mandate a person ever gave, the newest first."""
    return await _read(connection, mandate.c.subject_id == subject_id)


async def of_representative(connection: AsyncConnection, representative_id: UUID) -> list[Mandate]:
    """Every mandate a person was ever given, the newest first."""
    return await _read(connection, mandate.c.representative_id == representative_id)


async def find(connection: AsyncConnection, representative_id: UUID, mandate_id: UUID) -> Mandate | None:
    """The mandate of this id, if it was given to this representative."""
    found = await _read(
        connection,
        (mandate.c.representative_id == representative_id) & (mandate.c.mandate_id == mandate_id),
    )
    return found[0] if found else None


def _check(person: Person, representative: Person, new: NewMandate) -> None:
    if new.kind is Relation.GUARDIAN:
        raise InvalidError("A guardian is registered by registrars. Choose what else they are to you.")
    if person.subject_id == representative.subject_id:
        raise InvalidError("Nobody represents themselves. State somebody else's identity number.")
    if not new.rights:
        raise InvalidError("Choose at least one thing that your representative may do.")
    if not 1 <= new.days <= LONGEST_DAYS:
        raise InvalidError(f"A mandate lasts 1 to {LONGEST_DAYS} days.")
    if new.document_sha256 is not None and len(new.document_sha256) != _HASH_SIZE:
        raise InvalidError("The document's SHA-256 is 64 hexadecimal digits.")


async def _read(connection: AsyncConnection, condition: object) -> list[Mandate]:
    rows = await connection.execute(
        select(mandate).where(condition).order_by(mandate.c.given_at.desc(), mandate.c.mandate_id)  # type: ignore[arg-type]
    )
    found: Sequence[RowMapping] = rows.mappings().all()
    return [_mandate(row) for row in found]


def _mandate(row: RowMapping) -> Mandate:
    return Mandate(
        mandate_id=row["mandate_id"],
        subject_id=row["subject_id"],
        representative_id=row["representative_id"],
        kind=Relation(row["kind"]),
        rights=frozenset(map(Right, row["rights"])),
        document_sha256=row["document_hash"],
        given_at=row["given_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )


def _write(writing: Writing, person: Person, one: Mandate, event: str, actor: Actor) -> None:
    """Adds the entry (type 6) to the person's stream; it binds the terms by their digest."""
    terms = {
        "mandate": str(one.mandate_id),
        "person": str(one.subject_id),
        "representative": str(one.representative_id),
        "kind": one.kind,
        "rights": sorted(one.rights),
        "document_sha256": None if one.document_sha256 is None else one.document_sha256.hex(),
        "given_at": one.given_at.isoformat(),
        "expires_at": one.expires_at.isoformat(),
    }
    payload = Payload.create(
        EntryType.RIGHTS,
        {
            "event": event,
            "actor": actor.name,
            "actor_role": actor.role,
            "object": str(one.mandate_id),
            "document": digest(to_json(terms)),
            "subject": str(person.subject_id),
        },
    )
    writing.add(Event(person.stream_id, payload))
