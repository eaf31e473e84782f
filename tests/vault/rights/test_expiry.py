"""The end of consents by time: written down once, with a copy, and never what ends them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from jsonschema_rs import Draft202012Validator

from consent import consents
from consent.copies import verify_copy
from consent.errors import StateError
from consent.record import SCHEMA
from tests.vault.owner import as_owner, consents_granted_earlier
from tests.vault.people import ENROLLED, OTHER, person
from tests.vault.rights.conftest import Known
from tests.vault.rights.test_own_consents import grant, stored, take_back
from vault.records.copy_keys import CopyKeys
from vault.rights.expiry import expire_due


async def move_back(known: Known) -> None:
    """Lets every consent of 30 days have been granted 40 days ago."""
    await as_owner(known.vault, *consents_granted_earlier(40))


async def expire(known: Known) -> int:
    return await expire_due(known.vault.log, known.vault.keeper.signer)


async def test_an_end_that_has_come_is_written_down_once_with_a_copy(known: Known) -> None:
    await grant(known)
    await move_back(known)
    standing = await grant(known, OTHER)
    assert await expire(known) == 1
    assert await expire(known) == 0
    consent = await stored(known)
    assert [event.event for event in consent.events] == ["granted", "expired"]
    assert consent.state(datetime.now(UTC)) == "expired"
    keys = await CopyKeys(known.vault.keys.announced).published()
    record = verify_copy(consent.events[-1].copy, keys).record
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(record)
    given, expired = record["event"]
    assert (given["event_state"], given["entity_id"].partition(":")[0]) == ("given", "subject")
    assert (expired["event_state"], expired["event_type"], expired["entity_id"]) == (
        "expired",
        "implicit",
        "creditvault",
    )
    assert consent.events[0].copy != consent.events[1].copy, "the first copy stays as it was"
    other = await stored(known, OTHER)
    assert (other.consent_id, len(other.events)) == (standing, 1)


async def test_what_was_withdrawn_does_not_expire_and_what_expired_is_not_withdrawn(known: Known) -> None:
    first = await grant(known)
    await move_back(known)
    await take_back(known, first)
    assert await expire(known) == 0
    second = await grant(known, OTHER)
    await move_back(known)
    assert await expire(known) == 1
    with pytest.raises(StateError):
        await take_back(known, second, OTHER)


async def test_nothing_expires_before_its_time(known: Known) -> None:
    consent_id = await grant(known)
    row = await person(known.vault, ENROLLED)
    async with known.vault.log.writing() as writing:
        with pytest.raises(StateError):
            await consents.expire(writing, row.person, consent_id, known.vault.keeper.signer)
        assert await consents.due(writing.connection, writing.now + timedelta(days=29), 10) == []
        assert await consents.due(writing.connection, writing.now + timedelta(days=30), 10) == [
            (row.person.subject_id, consent_id)
        ]


async def test_more_than_one_transaction_holds(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.rights.expiry._AT_ONCE", 2)
    for _ in range(5):
        await grant(known)
    await move_back(known)
    assert await expire(known) == 5
