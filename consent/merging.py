"""Merging two identities that are one person's, and splitting a wrong merge, by order of two registrars.

An identity is what the vault knows under one number: an id, a key, a stream, records and consents. Merging
moves none of it: it joins identities to a group, and splitting takes one out again, with all that came to it
meanwhile. So nothing of a wrong merge has to be sorted out. What a group means: RULES 13.

Whose ids these are only the tables of persons know; the room above lends that knowledge (`Joined`). Each
merge and each split is an entry (type 6) in the stream of every identity of the group, and a row of the
history.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Event, Writing
from access_log.payload import Payload
from consent import freeze, mandates
from consent.endings import Kind, joining_of
from consent.errors import StateError, UnknownError
from consent.journal import VAULT, Actor, write_register_event
from consent.permit import Person
from consent.tables import erasure, merge_event

MERGED: Final = "persons.merged"
SPLIT: Final = "person.split"
MOST: Final = 8
"""Identities of one person: each query about them reads all."""


class Joined(Protocol):
    """Which identities are joined."""

    async def members(self, connection: AsyncConnection, subject_id: UUID) -> Sequence[Person]:
        """This identity first, then those it is joined with; empty where the vault knows nobody so."""

    async def join(self, connection: AsyncConnection, members: Collection[UUID]) -> None:
        """These are one group from now on, and belong to no other."""

    async def part(self, connection: AsyncConnection, subject_id: UUID) -> None:
        """This one belongs to no group from now on, nor does whoever would be left alone in it."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why identities are merged, or one is split off, and by whom.

    Attributes:
        actor: the registrars.
        reason: a code, for instance `number-replaced`.
        document_sha256: hex, of what shows it; None where it is done once more after a restore.
    """

    actor: Actor
    reason: str
    document_sha256: str | None


@dataclass(frozen=True, slots=True)
class MergeEvent:
    """One line of the history of an identity.

    Attributes:
        event: `merged` or `split`.
        others: whom it was joined with, or taken apart from.
        order_id: of the registrars; None where an operator did it while the vault was set up.
        document_sha256: hex; None where it was done once more after a restore.
        entry_index: of its entry in the stream of this identity.
    """

    event: str
    others: tuple[UUID, ...]
    order_id: UUID | None
    reason: str
    document_sha256: str | None
    at: datetime
    entry_index: int


async def history(connection: AsyncConnection, subject_id: UUID) -> list[MergeEvent]:
    """Every merge and split of an identity, the oldest first."""
    rows = await connection.execute(
        select(merge_event).where(merge_event.c.subject_id == subject_id).order_by(merge_event.c.number)
    )
    return [
        MergeEvent(
            row.event,
            tuple(row.others),
            row.order_id,
            row.reason,
            None if row.document_hash is None else row.document_hash.hex(),
            row.at,
            row.entry_index,
        )
        for row in rows
    ]


async def merge(writing: Writing, joined: Joined, person: UUID, other: UUID, grounds: Grounds) -> None:
    """Joins two identities, and all that either is joined with, for the next query already.

    A freeze of one of them is written for all.

    Args:
        writing: the transaction.
        joined: which identities are joined.
        person: one of the two.
        other: the other one.
        grounds: why, and by whom.

    Raises:
        UnknownError: the vault does not know one of them.
        StateError: they are the same or joined already, one was erased, one represents the other, or they
            would be too many.
    """
    if person == other:
        raise StateError("these are the same identity: nothing is to be merged")
    ones = await _members(writing.connection, joined, person)
    others = await _members(writing.connection, joined, other)
    if any(one.subject_id == other for one in ones):
        raise StateError("these two are joined already")
    members = [*ones, *others]
    if len(members) > MOST:
        raise StateError(f"more than {MOST} identities would be joined: split off what is not this person's")
    await _require_no_mandate(writing, members)
    await joined.join(writing.connection, [one.subject_id for one in members])
    await write_register_event(writing, MERGED, uuid4(), grounds.actor, _document(grounds))
    for one in members:
        await _write(writing, MERGED, one, members, grounds, joined=True)
        writing.end(Kind.PERSONS_MERGED, joining_of(one.subject_id), one.subject_id)
    frozen = [await freeze.stands(writing.connection, one.subject_id) for one in members]
    if any(frozen):
        for one, stands in zip(members, frozen, strict=True):
            if not stands:
                await freeze.begin(writing, one, actor=VAULT)


async def split(writing: Writing, joined: Joined, person: UUID, grounds: Grounds) -> None:
    """Takes one identity out of its group, for the next query already.

    Raises:
        UnknownError: the vault does not know it.
        StateError: it is joined with nobody, or was erased.
    """
    members = await _members(writing.connection, joined, person)
    leaving, *staying = members
    if not staying:
        raise StateError("this identity is joined with no other: nothing is to be split")
    await joined.part(writing.connection, person)
    await write_register_event(writing, SPLIT, uuid4(), grounds.actor, _document(grounds))
    await _write(writing, SPLIT, leaving, members, grounds, joined=False)
    writing.end(Kind.PERSON_SPLIT, joining_of(person), person)
    for one in staying:
        # Of the others it is said to nobody that they stay with each other: only who leaves.
        alone = len(staying) == 1
        await _write(writing, SPLIT, one, [leaving], grounds, joined=not alone)
        if alone:
            writing.end(Kind.PERSON_SPLIT, joining_of(one.subject_id), one.subject_id)


async def _members(connection: AsyncConnection, joined: Joined, subject_id: UUID) -> Sequence[Person]:
    members = await joined.members(connection, subject_id)
    if members:
        return members
    known = select(erasure.c.subject_id).where(erasure.c.subject_id == subject_id)
    if (await connection.execute(known)).one_or_none() is not None:
        raise StateError("this person was erased: nothing of them is left to merge or split")
    raise UnknownError("the vault knows nobody under this id: name the person first")


async def _require_no_mandate(writing: Writing, members: Sequence[Person]) -> None:
    """Nobody represents themselves: a standing mandate between two says that they were two."""
    ids = {one.subject_id for one in members}
    for one in members:
        given = await mandates.of_person(writing.connection, one.subject_id)
        if any(each.representative_id in ids and each.stands(writing.now) for each in given):
            raise StateError(
                "one of these represents the other: end the mandate first, or they are two persons"
            )


async def _write(
    writing: Writing,
    event: str,
    one: Person,
    members: Sequence[Person],
    grounds: Grounds,
    *,
    joined: bool,
) -> None:
    """Writes what happened into the stream of one identity, and into the history."""
    order = dict(grounds.actor.signed).get("order")
    others = [each.subject_id for each in members if each.subject_id != one.subject_id]
    payload = Payload.create(
        EntryType.RIGHTS,
        {
            "event": event,
            "actor": grounds.actor.name,
            "actor_role": grounds.actor.role,
            "object": {"order": order, "reason": grounds.reason, "with": [str(each) for each in others]},
            "document": grounds.document_sha256,
            "subject": str(one.subject_id),
        },
    )
    position = writing.add(Event(one.stream_id, payload))
    last = select(func.coalesce(func.max(merge_event.c.number), 0)).where(
        merge_event.c.subject_id == one.subject_id
    )
    document = grounds.document_sha256
    await writing.connection.execute(
        merge_event.insert(),
        {
            "subject_id": one.subject_id,
            "number": (await writing.connection.execute(last)).scalar_one() + 1,
            "event": event.rpartition(".")[2],
            "others": others,
            "joined": joined,
            "order_id": None if order is None else UUID(order),
            "reason": grounds.reason,
            "document_hash": None if document is None else bytes.fromhex(document),
            "at": writing.now,
            "entry_index": writing.head.size + position,
        },
    )


def _document(grounds: Grounds) -> dict[str, object]:
    """What the register keeps of the act; it names nobody."""
    return {"reason": grounds.reason, "document_sha256": grounds.document_sha256}
