"""A process that serves goes on with the keys that were announced, and every worker does."""

import asyncio
import time
from pathlib import Path

import pytest

from consent.journal import Actor
from consent.oauth.token_keys import announce
from tests.flows.serving import at_port, free_port, serving
from tests.flows.world import opened
from tests.vault.server.commands import CommandLine
from vault.records.keys import TOKEN_SIGNING, KeysMissingError
from vault.server.assembly import Vault
from vault.server.settings import Settings

OPERATOR = Actor("operator:test", "operator")
_WITHIN = 120.0


async def test_an_announced_key_is_taken_up(vault: Vault) -> None:
    before = vault.profile.keys.public.keys()
    assert not await vault.token_keys.renew(vault.profile.keys, vault.protection)
    await vault.token_keys.make(2)
    async with vault.log.writing() as writing:
        await announce(writing, 2, OPERATOR)
    assert await vault.token_keys.renew(vault.profile.keys, vault.protection)
    assert vault.profile.keys.public.keys() > before
    assert not await vault.token_keys.renew(vault.profile.keys, vault.protection)


async def test_a_key_whose_seed_is_lost_is_named(vault: Vault) -> None:
    async with vault.log.writing() as writing:
        await announce(writing, 2, OPERATOR)
    with pytest.raises(KeysMissingError, match=TOKEN_SIGNING):
        await vault.token_keys.renew(vault.profile.keys, vault.protection)


def test_the_command(creditvault: CommandLine) -> None:
    assert [key["version"] for key in creditvault.good("oauth", "keys")] == [1]
    assert creditvault.good("oauth", "rotate-key", "--yes")["version"] == 2
    assert "wait for it" in creditvault.refused("oauth", "rotate-key", "--yes")
    listed = creditvault("oauth", "keys").out
    assert "signs" in listed
    assert "announced" in listed
    ran = creditvault("oauth", "rotate-key", "--yes", "--compromised")
    assert (ran.code, ran.out) == (0, "key 3 signs from now on; every process hears of it within seconds\n")
    assert creditvault("oauth", "keys").out.count("ended") == 2


@pytest.mark.slow
async def test_every_worker_hears_of_a_new_key(vault_settings: Settings, tmp_path: Path) -> None:
    settings = at_port(vault_settings, free_port())
    async with (
        opened(settings, tmp_path) as world,
        serving(settings, tmp_path / "server.log", workers=2) as server,
        server.http() as http,
    ):
        old = await world.statutory(http, 1)
        await world.vault.token_keys.make(2)
        async with world.log.writing() as writing:
            await announce(writing, 2, OPERATOR, compromised=True)
        deadline = time.monotonic() + _WITHIN
        # A connection stays with its worker, so each look makes a new one.
        looks = 0
        while looks < 12:
            async with server.http() as fresh:
                kids = [key["kid"] for key in (await fresh.get("/oauth/jwks")).json()["keys"]]
            looks = looks + 1 if len(kids) == 1 and kids != list(world.vault.profile.keys.public) else 0
            assert time.monotonic() < deadline, "a worker still has the old key"
            await asyncio.sleep(0.2)
        assert (await old.ask()).status_code == 401
        new = await world.statutory(http, 1)
        assert (await new.ask()).status_code == 200
