"""A vault moves through every key provider in turn while it answers; and what its settings must name."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests import prepared
from tests.flows.serving import environment
from tests.flows.world import contract
from tests.openbao import OpenBao
from tests.softhsm import SoftToken
from tests.vault.served import Served, site
from tests.vault.server.commands import CREDITVAULT, CommandLine
from vault.crypto.openbao import transit_name
from vault.server.database import application_engine
from vault.server.settings import Settings

_PREFIX = "creditvault-moving"
_LEGS = [("openbao", "file"), ("pkcs11", "openbao"), ("file", "pkcs11")]


@pytest.fixture
async def settings(vault_settings: Settings, openbao: OpenBao, soft_token: SoftToken) -> Settings:
    """Those of a vault with its keys in a file, which name the key server and the token, too."""
    await prepared.copy(vault_settings, cast=True)
    held = {**openbao.settings(_PREFIX), **soft_token.settings(_PREFIX)}
    return vault_settings.model_copy(update={**held, "key_provider": "file", "key_cache_seconds": 0.2})


def _named(settings: Settings, new: str, former: str | None) -> Settings:
    return settings.model_copy(update={"key_provider": new, "former_key_provider": former})


async def _shown(served: Served, n: int) -> list[dict[str, Any]]:
    answer = await (await served.court(n)).ask()
    assert answer.status_code == httpx.codes.OK, answer.text
    return list(answer.json()["records"])


def _moved(settings: Settings) -> dict[str, Any]:
    """What the command says, in a process of its own: the server prints to this one's output."""
    ran = subprocess.run(
        [CREDITVAULT, "keys", "move", "--all", "--yes", "--json"],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode in {0, 1}, ran.stderr
    return dict(json.loads(ran.stdout))


async def _move(served: Served, settings: Settings, n: int) -> dict[str, Any]:
    """Moves the vault while it is asked about somebody, and is brought somebody new."""
    court = await served.court(1)
    shown = (await court.ask()).json()["records"]
    moving = asyncio.create_task(asyncio.to_thread(_moved, settings))
    asked = 0
    while not moving.done():
        answer = await court.ask()
        assert (answer.status_code, answer.json()["records"]) == (httpx.codes.OK, shown)
        asked += 1
        if asked == 3:
            await served.enrol(n)
    assert asked > 3
    moved = await moving
    # Unless somebody brought a month while months were moved.
    return moved if moved["former_may_go"] else await asyncio.to_thread(_moved, settings)


async def _nothing_is_begun(command: CommandLine, both: Settings) -> None:
    """What is refused before a move: a provider too few, and a process that knows the former alone."""
    command.set(key_provider=both.key_provider, former_key_provider=None)
    for refused in ("keys list", "migrate"):
        said = await asyncio.to_thread(command.refused, *refused.split())
        assert f"set CREDITVAULT_KEY_PROVIDER={both.former_key_provider}" in said
    command.set(former_key_provider=both.former_key_provider)
    assert "run `creditvault keys move` first" in await asyncio.to_thread(
        command.refused, "keys", "rotate", "--yes"
    )
    before = _named(both, str(both.former_key_provider), None)
    stranger = application_engine(str(both.database_url), before)
    async with stranger.connect() as connection:
        await connection.execute(text("SELECT 1"))
        said = await asyncio.to_thread(command.refused, "keys", "move", "--yes")
        assert "restart every server and worker" in said
    await stranger.dispose()


@pytest.mark.slow
async def test_a_vault_moves_through_every_key_provider_while_it_answers(
    settings: Settings,
    openbao: OpenBao,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with site(settings, tmp_path) as served:
        await served.enrol(1, 2)
        shown = [await _shown(served, n) for n in (1, 2)]
    assert all(shown)
    command = CommandLine(settings, monkeypatch, capsys)
    for version, (new, former) in enumerate(_LEGS, start=2):
        both = _named(settings, new, former)
        async with site(both, tmp_path) as served:
            if version == 2:
                await _nothing_is_begun(command, both)
            moved = await _move(served, both, version + 10)
            assert moved["former_may_go"]
            assert [one["version"] for one in moved["rotations"]] == [version, version]
            assert moved["looked"]["persons"] == version + 1
        command.set(key_provider=new, former_key_provider=None)
        async with site(_named(settings, new, None), tmp_path) as served:
            assert [await _shown(served, n) for n in (1, 2)] == shown
            assert await _shown(served, version + 10)
            again = await (await served.furnisher()).lines(contract(version + 10, f"other-{version}"))
            assert again["enrolled"] == 1
            async with served.world.vault.engine.connect() as connection:
                persons = await connection.scalar(text("SELECT count(*) FROM vault.subject"))
            assert persons == version + 1
        listed = await asyncio.to_thread(command.good, "keys", "list")
        in_use = {(one["key"], one["provider"]) for one in listed if one["state"] == "in use"}
        assert {("root", new), ("index", new)} <= in_use

    # What the key server has left is destroyed in a step of its own, with its settings named for it.
    destroying = ("keys", "destroy", "root", "2", "--backups-too", "--yes")
    said = await asyncio.to_thread(command.refused, *destroying)
    assert "set CREDITVAULT_FORMER_KEY_PROVIDER=openbao for this command" in said
    command.set(former_key_provider="openbao")
    await asyncio.to_thread(command.good, *destroying)
    left = openbao.ask("LIST", "transit/keys")["data"]["keys"]
    for name in [one for one in left if one.startswith(f"{_PREFIX}-expiry") or one == f"{_PREFIX}-root"]:
        assert openbao.ask("GET", f"transit/keys/{name}")["data"]["deletion_allowed"], name
    assert transit_name(_PREFIX, "root") in left
