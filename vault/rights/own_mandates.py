"""My representatives: whom I appoint, for what, and the end of that; and beginning to act for somebody."""

from contextlib import suppress
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Log, Writing
from consent import mandates
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor
from consent.mandates import Mandate, NewMandate
from consent.permit import Person
from vault.records import store, subjects
from vault.records.identities import Identities, Met


async def given_and_held(connection: AsyncConnection, own_id: UUID) -> tuple[list[Mandate], list[Mandate]]:
    """Every mandate a person gave, and every one they hold; of each of their identities the newest first."""
    ids = [row.person.subject_id for row in await store.identities(connection, own_id)]
    given = [one for each in ids for one in await mandates.of_person(connection, each)]
    return given, [one for each in ids for one in await mandates.of_representative(connection, each)]


async def appoint(
    log: Log, identities: Identities, person: Met, representative: Met, new: NewMandate
) -> tuple[Mandate, str]:
    """Appoints a representative; whichever of the two the vault does not know is made. With the receipt.

    Args:
        log: the log.
        identities: persons are found or made there.
        person: who appoints.
        representative: whom.
        new: for what.

    Raises:
        InvalidError: a part breaks a rule; nobody was made.
        StateError: too many mandates of this person stand.
        ProviderError: the key provider does not answer; nothing was written.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        giver = await identities.find_or_add(writing, person)
        given_to = await identities.find_or_add(writing, representative)
        if any(
            row.person == given_to
            for row in (await store.identities(writing.connection, giver.subject_id))[1:]
        ):
            raise InvalidError("Nobody represents themselves, under another number neither.")
        made = await mandates.give(writing, giver, given_to, new)
    # Durable and raised: from here on the representative may act.
    return made, writing.receipts[-1]


async def end(log: Log, own_id: UUID, mandate_id: UUID) -> str:
    """Ends a mandate that one gave or was given, for the next request already. Returns the receipt.

    Args:
        log: the log.
        own_id: the person who ends it, under any of their identities.
        mandate_id: which.

    Raises:
        UnknownError: they neither gave it nor were given it.
        StateError: it does not stand.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        await _end(writing, own_id, mandate_id)
    return writing.receipts[0]


async def _end(writing: Writing, own_id: UUID, mandate_id: UUID) -> None:
    rows = await store.identities(writing.connection, own_id)
    for row in rows:
        held = await mandates.find(writing.connection, row.person.subject_id, mandate_id)
        if held is not None:
            giver = await _known(writing.connection, held.subject_id)
            await mandates.end(writing, giver, mandate_id, held.actor)
            return
    own = Actor.subject(own_id)
    for row in rows:
        with suppress(UnknownError):
            await mandates.end(writing, row.person, mandate_id, own if row is rows[0] else own.elsewhere)
            return
    raise UnknownError("this person neither gave nor holds such a mandate")


async def begin(log: Log, own_id: UUID, mandate_id: UUID) -> Mandate:
    """Writes down in the person's stream that their representative begins to act for them.

    Only under the identity that was appointed (RULES 13.5).

    Raises:
        UnknownError: they were given no such mandate.
        StateError: it does not stand.
        AccessLogError: the log cannot append; nothing may be done under it.
    """
    async with log.writing() as writing:
        found = await mandates.find(writing.connection, own_id, mandate_id)
        if found is None:
            raise UnknownError("this person was given no such mandate")
        if not found.stands(writing.now):
            raise StateError("this mandate does not stand")
        mandates.use(writing, await _known(writing.connection, found.subject_id), found)
    return found


async def _known(connection: AsyncConnection, subject_id: UUID) -> Person:
    person = await subjects.read(connection, subject_id)
    if person is None:
        raise UnknownError("the vault does not know this person any more")
    return person
