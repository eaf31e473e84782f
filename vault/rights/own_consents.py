"""My consents: what a person granted, and taking it back as easily as it was given (PIPL 15)."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Log, Writing
from consent import consents, mandates
from consent.consents import Consent, SignedRecord
from consent.errors import UnknownError
from consent.journal import Actor
from consent.mandates import Mandate
from consent.record import Signer
from vault.records import store


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A consent that does not stand any more.

    Attributes:
        record: as it stands now, with the person's signed copy.
        receipt: of the withdrawal's entry.
    """

    record: SignedRecord
    receipt: str


async def consents_of(connection: AsyncConnection, subject_id: UUID, *, alone: bool = False) -> list[Consent]:
    """Every consent a person ever gave under any of their identities, the newest first.

    Args:
        connection: to the database.
        subject_id: the person.
        alone: without the identities they are joined with.
    """
    rows = await store.identities(connection, subject_id, alone=alone)
    found = [one for row in rows for one in await consents.of_person(connection, row.person.subject_id)]
    return sorted(found, key=lambda one: one.granted_at, reverse=True)


async def withdraw(
    log: Log, signer: Signer, subject_id: UUID, consent_id: UUID, mandate: Mandate | None = None
) -> Withdrawn:
    """Takes a consent back, for the next query already. No reason is asked for, and none is owed.

    Args:
        log: the log.
        signer: signs the person's copy.
        subject_id: whose consent it is.
        consent_id: which.
        mandate: under which a representative does it; None where the person does.

    Raises:
        UnknownError: the person has no such consent; whether somebody else has is not told.
        StateError: it was withdrawn before, or the mandate does not stand.
        AccessLogError: the log cannot append; the consent stands, or its withdrawal does and a retry finds
            it.
    """
    async with log.writing() as writing:
        if mandate is not None:
            await mandates.require_standing(writing, mandate)
        actor = Actor.subject(subject_id) if mandate is None else mandate.actor
        alone = mandate is not None
        record = await withdraw_one(writing, subject_id, consent_id, signer, actor, alone=alone)
    # Durable and raised: from here on no query passes under it, and the person may be told so.
    return Withdrawn(record, writing.receipts[0])


async def withdraw_one(
    writing: Writing, subject_id: UUID, consent_id: UUID, signer: Signer, actor: Actor, *, alone: bool = False
) -> SignedRecord:
    """Takes a consent back under whichever identity of the person it was given.

    Args:
        writing: the transaction.
        subject_id: the person.
        consent_id: which.
        signer: signs the person's copy.
        actor: who does it.
        alone: without the identities they are joined with.

    Raises:
        UnknownError: the person has no such consent.
        StateError: it was withdrawn before.
    """
    rows = await store.identities(writing.connection, subject_id, alone=alone)
    for row in rows:
        by = actor if row is rows[0] else actor.elsewhere
        with suppress(UnknownError):
            return await consents.withdraw(writing, row.person, consent_id, None, signer, actor=by)
    raise UnknownError("this person has no such consent")
