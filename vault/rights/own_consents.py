"""My consents: what a person granted, and taking it back as easily as it was given (PIPL 15)."""

from dataclasses import dataclass
from uuid import UUID

from access_log.log import Log
from consent import consents, mandates
from consent.consents import SignedRecord
from consent.errors import UnknownError
from consent.mandates import Mandate
from consent.record import Signer
from vault.records import subjects


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A consent that does not stand any more.

    Attributes:
        record: as it stands now, with the person's signed copy.
        receipt: of the withdrawal's entry.
    """

    record: SignedRecord
    receipt: str


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
        person = await subjects.read(writing.connection, subject_id)
        if person is None:
            raise UnknownError("this person has no such consent")
        if mandate is not None:
            await mandates.require_standing(writing, mandate)
        actor = None if mandate is None else mandate.actor
        record = await consents.withdraw(writing, person, consent_id, None, signer, actor=actor)
    # Durable and raised: from here on no query passes under it, and the person may be told so.
    return Withdrawn(record, writing.receipts[0])
