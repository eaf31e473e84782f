"""My consents: what a person granted, and taking it back as easily as it was given (PIPL 15)."""

from dataclasses import dataclass
from uuid import UUID

from access_log.log import Log
from consent import consents
from consent.consents import SignedRecord
from consent.errors import UnknownError
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


async def withdraw(log: Log, signer: Signer, subject_id: UUID, consent_id: UUID) -> Withdrawn:
    """Takes a consent back, for the next query already. No reason is asked for, and none is owed.

    Raises:
        UnknownError: the person has no such consent; whether somebody else has is not told.
        StateError: it was withdrawn before.
        AccessLogError: the log cannot append; the consent stands, or its withdrawal does and a retry finds
            it.
    """
    async with log.writing() as writing:
        person = await subjects.read(writing.connection, subject_id)
        if person is None:
            raise UnknownError("this person has no such consent")
        record = await consents.withdraw(writing, person, consent_id, None, signer)
    # Durable and raised: from here on no query passes under it, and the person may be told so.
    return Withdrawn(record, writing.receipts[0])
