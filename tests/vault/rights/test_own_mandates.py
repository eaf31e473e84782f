"""Acting under a mandate, asked again under the lock: what began before its end is not done after it."""

import pytest

from access_log.log import Log
from consent import freeze
from consent.errors import StateError, UnknownError
from consent.mandates import Mandate, NewMandate, Relation, Right
from consent.permit import Person
from tests.vault.people import ENROLLED, OTHER, met, person
from tests.vault.rights.conftest import Known
from tests.vault.rights.test_own_consents import grant, stored
from vault.rights import own_freeze, own_mandates
from vault.rights.own_consents import withdraw
from vault.rights.own_records import own_records


async def appointed(known: Known) -> tuple[Person, Person, Mandate]:
    """A person, their representative, and a mandate for everything."""
    one, other = await person(known.vault, ENROLLED), await person(known.vault, OTHER)
    giver, given_to = await met(known.vault, ENROLLED), await met(known.vault, OTHER)
    new = NewMandate(Relation.LAWYER, frozenset(Right), 30)
    vault = known.vault
    made, receipt = await own_mandates.appoint(vault.log, vault.identities, giver, given_to, new)
    assert "\nindex " in receipt
    return one.person, other.person, made


async def stays(log: Log, one: Person) -> bool:
    async with log.engine.connect() as connection:
        return not await freeze.stands(connection, one.subject_id)


async def test_what_is_begun_before_the_end_is_not_done_after_it(known: Known) -> None:
    vault, consent_id = known.vault, await grant(known)
    one, other, made = await appointed(known)
    await own_mandates.end(vault.log, other.subject_id, made.mandate_id)
    for act in (
        lambda: own_records(vault.log, vault.keys, one.subject_id, made),
        lambda: withdraw(vault.log, vault.keeper.signer, one.subject_id, consent_id, made),
        lambda: own_freeze.begin_for(vault.log, made),
        lambda: own_mandates.begin(vault.log, other.subject_id, made.mandate_id),
        lambda: own_mandates.end(vault.log, one.subject_id, made.mandate_id),
    ):
        with pytest.raises(StateError):
            await act()
    assert len((await stored(known)).events) == 1
    assert await stays(vault.log, one)


async def test_whoever_gives_a_mandate_does_not_hold_it(known: Known) -> None:
    one, other, made = await appointed(known)
    with pytest.raises(UnknownError):
        await own_mandates.begin(known.vault.log, one.subject_id, made.mandate_id)
    assert await own_mandates.begin(known.vault.log, other.subject_id, made.mandate_id) == made
