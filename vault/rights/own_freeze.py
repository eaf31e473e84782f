"""My freeze: nobody may ask with my consent until I end it."""

from uuid import UUID

from access_log.log import Log
from consent import freeze, mandates
from consent.errors import UnknownError
from consent.mandates import Mandate
from vault.records import subjects
from vault.records.identities import Identities, Met


async def begin(log: Log, identities: Identities, met: Met) -> str:
    """Freezes, for the next query already; a person the vault does not know is made. Returns the receipt.

    Raises:
        StateError: a freeze stands already.
        ProviderError: the key provider does not answer; nothing was written.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        person = await identities.find_or_add(writing, met)
        await freeze.begin(writing, person)
    # Durable and raised: from here on no query passes, and the person may be told so.
    return writing.receipts[-1]


async def begin_for(log: Log, mandate: Mandate) -> str:
    """The same by a representative. Returns the receipt.

    Raises:
        UnknownError: the vault does not know whom they act for any more.
        StateError: a freeze stands already, or the mandate does not.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        await mandates.require_standing(writing, mandate)
        person = await subjects.read(writing.connection, mandate.subject_id)
        if person is None:
            raise UnknownError("the vault does not know this person")
        await freeze.begin(writing, person, actor=mandate.actor)
    return writing.receipts[0]


async def end(log: Log, subject_id: UUID) -> str:
    """Ends the freeze, for the next query already. Returns the receipt.

    Raises:
        UnknownError: there is no such person any more.
        StateError: none stands.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        person = await subjects.read(writing.connection, subject_id)
        if person is None:
            raise UnknownError("the vault does not know this person")
        await freeze.end(writing, person)
    return writing.receipts[0]
