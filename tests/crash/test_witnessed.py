"""kill -9 between raise and release, where answers wait for a witness: it saw all that was released."""

import signal
from pathlib import Path

import pytest

from access_log.verifier_keys import VerifierKey
from tests.access_log.witness.served import policy_of, witness
from tests.crash import killer
from tests.crash.commands import KILLER
from tests.crash.forking import ForkedServer
from tests.crash.load import prepare
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.world import World


@pytest.mark.slow
@pytest.mark.parametrize("step", killer.WITNESSING)
async def test_killed_while_it_waits_for_a_witness(world: World, tmp_path: Path, step: str) -> None:
    armed = tmp_path / "armed"
    async with witness(tmp_path, "one", VerifierKey.parse(world.log.key.verifier_key())) as one:
        (tmp_path / "policy").write_text(policy_of("all", one))
        settings = world.settings.model_copy(
            update={"witness_policy": tmp_path / "policy", "witness_mode": "sync"}
        )
        server = ForkedServer(settings, tmp_path / "server.log")
        try:
            await server.start([*KILLER, step, "6", str(armed), "serve"])
            async with server.http() as http:
                load = await prepare(world, http)
                armed.touch()
                await load.run()
            assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
            seen = one.size()
            proven = [each for each in load.asked if each.proven]
            assert proven
            assert seen is not None
            assert all(each.index < seen for each in proven), "released before the witness had seen it"
            await server.start()
            async with server.http() as http:
                for grant in load.grants:
                    grant.client._http = http
                await load.repeat_keyed()
            logged = await check_whole(world.vault)
            check_answers(world.vault, [each.answer for each in load.asked if each.proven], logged)
            await check_uses(world.vault, logged)
            await verify_published(world.vault, server.url)
            assert one.size() == world.log.outside.read().size
        finally:
            server.kill()
