"""The keys of consents' copies over HTTP while they are rotated, and the rotation's entry."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from consent import consents
from consent.copies import verify_copy
from consent.journal import VAULT
from tests.vault.served import Served
from vault.records import announced
from vault.records.announced import LEAD, Announcement, announce
from vault.records.copy_keys import make_key
from vault.records.keys import CONSENT_SIGNING


async def rotate(served: Served, *, another: bool = False) -> Announcement:
    vault = served.world.vault
    return await announce(vault.log, partial(make_key, vault.keys), CONSENT_SIGNING, VAULT, another=another)


async def published(served: Served) -> dict[str, Any]:
    return dict((await served.http.get("/v1/consent-keys")).raise_for_status().json())


async def test_a_key_is_announced_once_and_its_entry_names_old_and_new(served: Served) -> None:
    (first,) = [key["kid"] for key in (await published(served))["keys"]]
    done = await rotate(served)
    second, former = [key["kid"] for key in (await published(served))["keys"]]
    assert (done.version, former) == (2, first)
    assert done.in_use_from is not None
    assert done.in_use_from > datetime.now(UTC) + LEAD - timedelta(minutes=1)
    assert done.entry is not None
    entry = await served.payload(done.entry)
    assert entry["event"] == "key.announced"
    assert entry["object"] == {
        "key": CONSENT_SIGNING,
        "version": 2,
        "in_use_from": done.in_use_from.isoformat(),
        "key_id": second,
        "former_key_id": first,
    }
    again = await rotate(served)
    assert (again.version, again.in_use_from, again.entry) == (2, done.in_use_from, None)
    third = await rotate(served, another=True)
    assert third.in_use_from is not None
    assert third.in_use_from >= done.in_use_from
    assert len({key["kid"] for key in (await published(served))["keys"]}) == 3


async def test_copies_from_before_and_after_a_rotation_verify_with_the_set_that_is_served(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = served.world.vault
    await served.enrol(1)
    person = await served.world.person(1)
    bank = await served.bank(1)
    before = await published(served)
    monkeypatch.setattr(announced, "LEAD", timedelta())
    await rotate(served)
    await vault.keys.announced.renew()
    async with vault.log.writing() as writing:
        await consents.withdraw(writing, person, bank.grant_id, None, vault.keeper.signer)
    async with vault.engine.connect() as connection:
        (consent,) = await consents.of_person(connection, person.subject_id)
    after = await published(served)
    granted, withdrawn = [verify_copy(event.copy, after) for event in consent.events]
    assert [len(each.record["event"]) for each in (granted, withdrawn)] == [1, 2]
    assert [key["kid"] for key in after["keys"]][1:] == [key["kid"] for key in before["keys"]]
