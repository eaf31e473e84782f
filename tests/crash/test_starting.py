"""kill -9 while a vault is made, and while a server recovers from an earlier kill: the next try succeeds."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash import killer
from tests.crash.load import prepare
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import ROOT, Server, at_port, environment, free_port, serving
from tests.flows.world import World, opened
from vault.server.settings import Settings

_KILLER = (sys.executable, str(Path(killer.__file__)))
_CREDITVAULT = (sys.executable, "-m", "vault.server.cli")


@pytest.mark.slow
@pytest.mark.parametrize("step", killer.RECOVERING)
async def test_killed_again_while_it_recovers(world: World, tmp_path: Path, step: str) -> None:
    server = Server(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    try:
        await server.start([*_KILLER, "after-commit", "4", str(armed), "serve"])
        async with server.http() as http:
            load = await prepare(world, http)
            armed.touch()
            await load.run()
        assert await server.ended() == -signal.SIGKILL
        # Armed from its first instruction: it dies while it raises what the first one could not.
        server.launch([*_KILLER, step, "1", str(armed), "serve"])
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        await server.start()
        logged = await check_whole(world.vault)
        check_answers(world.vault, [one.answer for one in load.asked if one.proven], logged)
        await check_uses(world.vault, logged)
        await verify_published(world.vault, server.url)
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("step", killer.SETTING_UP)
async def test_killed_while_a_vault_is_made(vault_settings: Settings, tmp_path: Path, step: str) -> None:
    settings = at_port(vault_settings, free_port())
    armed = tmp_path / "armed"
    armed.touch()
    killed = await _run(settings, *_KILLER, step, "1", str(armed), "migrate")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = await _run(settings, *_CREDITVAULT, "migrate")
    assert again.returncode == 0, again.stderr
    async with serving(settings, tmp_path / "server.log") as server, opened(settings, tmp_path) as world:
        async with server.http() as http:
            await world.enrol(http, [1])
            answer = await (await world.statutory(http, 1)).ask()
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json()], logged)
        await verify_published(world.vault, server.url)


async def _run(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
