"""kill -9 while a vault is made, and while a server recovers from an earlier kill: the next try succeeds."""

import signal
from pathlib import Path

import pytest

from tests.crash import killer
from tests.crash.commands import KILLER, killed, run
from tests.crash.forking import ForkedServer
from tests.crash.load import prepare
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import at_port, free_port, serving
from tests.flows.world import World, opened
from vault.server.settings import Settings


@pytest.mark.slow
@pytest.mark.parametrize("step", killer.RECOVERING)
async def test_killed_again_while_it_recovers(world: World, tmp_path: Path, step: str) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    try:
        await server.start([*KILLER, "after-commit", "4", str(armed), "serve"])
        async with server.http() as http:
            load = await prepare(world, http)
            armed.touch()
            await load.run()
        assert await server.ended() == -signal.SIGKILL
        # Armed from its first instruction: it dies while it raises what the first one could not.
        server.launch([*KILLER, step, "1", str(armed), "serve"])
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
    await killed(settings, step, 1, "migrate")
    again = await run(settings, "migrate")
    assert again.returncode == 0, again.stderr
    async with serving(settings, tmp_path / "server.log") as server, opened(settings, tmp_path) as world:
        async with server.http() as http:
            await world.enrol(http, [1])
            answer = await (await world.statutory(http, 1)).ask()
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json()], logged)
        await verify_published(world.vault, server.url)
