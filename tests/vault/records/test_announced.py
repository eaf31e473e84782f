"""Keys that are announced ahead: what was signed verifies for good, and nobody signs unpublished."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.payload import JSON
from consent.copies import CopySigner, verify_copy
from consent.errors import CopyError
from consent.journal import VAULT
from vault.records import announced
from vault.records.announced import LEAD, Announced, Announcement, announce, newest_in_use
from vault.records.copy_keys import CopyKeys, make_key
from vault.records.keys import CONSENT_SIGNING
from vault.server.announced_keys import PAUSE
from vault.server.assembly import Vault, open_vault

START = datetime(2026, 1, 1, tzinfo=UTC)
CACHED = timedelta(seconds=60)
"""How long a cache may hold /v1/consent-keys."""
COPY = b'{"record_id": "1"}'


async def rotate(vault: Vault, *, another: bool = False) -> Announcement:
    return await announce(vault.log, partial(make_key, vault.keys), CONSENT_SIGNING, VAULT, another=another)


def test_whoever_must_know_a_key_does_before_it_is_used() -> None:
    assert CACHED + 2 * timedelta(seconds=PAUSE) < LEAD


@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(-10, 10**7))
def test_one_version_is_in_use_and_none_before_its_time(pauses: list[int], at: int) -> None:
    versions, moment = [Announced(1, None)], START
    for version, pause in enumerate(pauses, start=2):
        moment += timedelta(seconds=pause)
        versions.append(Announced(version, moment))
    now = START + timedelta(seconds=at)
    found = newest_in_use(versions, now)
    assert found.in_use_from is None or found.in_use_from <= now
    assert all(one.in_use_from is not None and one.in_use_from > now for one in versions[found.version :])


async def test_each_process_publishes_a_key_at_once_and_signs_with_it_in_time(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vault.settings.database_url is not None
    async with open_vault(vault.settings, vault.settings.database_url) as other:
        copies = [vault.keeper.signer.sign(COPY)]
        await rotate(vault)
        ahead = await CopyKeys(other.keys.announced).published()
        assert len(ahead["keys"]) == 2
        # Announced, and not in use yet: both sign with the first.
        assert [one.keeper.signer.sign(COPY) for one in (vault, other)] == copies * 2
        monkeypatch.setattr(announced, "LEAD", timedelta())
        await rotate(vault, another=True)
    async with open_vault(vault.settings, vault.settings.database_url) as later:
        # The third waits for the second, which it follows.
        assert later.keeper.signer.sign(COPY) == copies[0]


async def test_copies_of_every_former_key_verify_and_those_of_an_unpublished_one_do_not(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vault.settings.database_url is not None
    monkeypatch.setattr(announced, "LEAD", timedelta())
    copies = [vault.keeper.signer.sign(COPY)]
    async with open_vault(vault.settings, vault.settings.database_url) as behind:
        for _ in range(17):  # More than a key set of a body may have.
            await rotate(vault)
            await vault.keys.announced.renew()
            copies.append(vault.keeper.signer.sign(COPY))
        # It has not heard of any, and goes on with what is published still.
        copies.append(behind.keeper.signer.sign(COPY))
        keys = await CopyKeys(behind.keys.announced).published()
        assert behind.keeper.signer.sign(COPY) == copies[-2]
    assert len(set(copies)) == 18
    for copy in copies:
        assert verify_copy(copy, keys).record == {"record_id": "1"}
    await vault.keys.make_system_versions([CONSENT_SIGNING], 19)
    unpublished = CopySigner(await vault.keys.system_version(CONSENT_SIGNING, 19)).sign(COPY)
    with pytest.raises(CopyError):
        verify_copy(unpublished, keys)


async def test_two_who_announce_at_once_announce_one(vault: Vault) -> None:
    async def meanwhile(version: int) -> dict[str, JSON]:
        await rotate(vault)
        return await make_key(vault.keys, version)

    first = await announce(vault.log, meanwhile, CONSENT_SIGNING, VAULT)
    assert (first.version, first.entry) == (2, None)
    assert len((await CopyKeys(vault.keys.announced).published())["keys"]) == 2
