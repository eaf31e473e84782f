from uuid import UUID, uuid4

import pytest

from consent import consents
from consent.consents import Consent
from consent.errors import StateError, UnknownError
from tests.consent.registers import new_consent
from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.rights.conftest import Known
from vault.rights.own_consents import Withdrawn, withdraw


async def grant(known: Known, n: int = ENROLLED) -> UUID:
    row = await person(known.vault, n)
    async with known.vault.log.writing() as writing:
        new = new_consent(known.body_id)
        return (await consents.grant(writing, row.person, new, known.vault.keeper)).consent_id


async def take_back(known: Known, consent_id: UUID, n: int = ENROLLED) -> Withdrawn:
    row = await person(known.vault, n)
    return await withdraw(known.vault.log, known.vault.keeper.signer, row.person.subject_id, consent_id)


async def stored(known: Known, n: int = ENROLLED) -> Consent:
    row = await person(known.vault, n)
    async with known.vault.engine.connect() as connection:
        (consent,) = await consents.of_person(connection, row.person.subject_id)
    return consent


async def test_a_consent_is_withdrawn_with_a_receipt_and_a_signed_copy(known: Known) -> None:
    consent_id = await grant(known)
    done = await take_back(known, consent_id)
    consent = await stored(known)
    assert [event.event for event in consent.events] == ["granted", "withdrawn"]
    assert consent.events[-1].copy == done.record.copy
    assert "\nindex " in done.receipt


async def test_a_second_withdrawal_changes_nothing(known: Known) -> None:
    consent_id = await grant(known)
    await take_back(known, consent_id)
    with pytest.raises(StateError):
        await take_back(known, consent_id)
    assert len((await stored(known)).events) == 2


async def test_nobody_withdraws_for_another(known: Known) -> None:
    consent_id = await grant(known, OTHER)
    with pytest.raises(UnknownError):
        await take_back(known, consent_id)
    assert len((await stored(known, OTHER)).events) == 1


async def test_what_there_is_not_cannot_be_withdrawn(known: Known) -> None:
    with pytest.raises(UnknownError):
        await take_back(known, uuid4())
    with pytest.raises(UnknownError):
        await withdraw(known.vault.log, known.vault.keeper.signer, uuid4(), uuid4())
