"""My freeze: nobody may ask with my consent until I end it.

It is the person's: who is known under several identities freezes with one of them for all, and ends it so.
"""

from uuid import UUID

from access_log.log import Log, Writing
from consent import freeze, mandates
from consent.errors import StateError, UnknownError
from consent.journal import Actor
from consent.mandates import Mandate
from vault.records import store
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
        position = await begin_all(writing, person.subject_id, Actor.subject(person.subject_id))
    # Durable and raised: from here on no query passes, and the person may be told so.
    return writing.receipts[position]


async def begin_for(log: Log, mandate: Mandate) -> str:
    """The same by a representative. Returns the receipt.

    Raises:
        UnknownError: the vault does not know whom they act for any more.
        StateError: a freeze stands already, or the mandate does not.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        await mandates.require_standing(writing, mandate)
        position = await begin_all(writing, mandate.subject_id, mandate.actor)
    return writing.receipts[position]


async def end(log: Log, subject_id: UUID) -> str:
    """Ends the freeze, for the next query already. Returns the receipt.

    Raises:
        UnknownError: there is no such person any more.
        StateError: none stands.
        AccessLogError: the log cannot append.
    """
    async with log.writing() as writing:
        position = await _write(writing, subject_id, Actor.subject(subject_id), begins=False)
    return writing.receipts[position]


async def begin_all(writing: Writing, subject_id: UUID, actor: Actor) -> int:
    """Freezes for every identity of a person; returns the position of the first entry.

    Raises:
        UnknownError: the vault does not know this person.
        StateError: a freeze stands already.
    """
    return await _write(writing, subject_id, actor, begins=True)


async def _write(writing: Writing, subject_id: UUID, actor: Actor, *, begins: bool) -> int:
    rows = await store.identities(writing.connection, subject_id)
    if not rows:
        raise UnknownError("the vault does not know this person")
    first = len(writing.events)
    for row in rows:
        person = row.person
        if await freeze.stands(writing.connection, person.subject_id) is begins:
            continue
        by = actor if row is rows[0] else actor.elsewhere
        await (freeze.begin if begins else freeze.end)(writing, person, actor=by)
    if len(writing.events) == first:
        raise StateError("it stands so already")
    return first
