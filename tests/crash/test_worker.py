"""kill -9 of one worker of two under load: the other goes on, a new one joins, what was lost is repeated."""

import os
import signal
from pathlib import Path

import psutil

from tests.crash.load import prepare, until
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import Server, serving
from tests.flows.world import World

_ENOUGH = 60


def _workers(server: Server) -> set[int]:
    return {child.pid for child in psutil.Process(server.pid).children()}


async def test_a_worker_is_killed_and_replaced(world: World, tmp_path: Path) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server, server.http() as http:
        load = await prepare(world, http)
        before = _workers(server)
        async with load.going():
            await until(lambda: load.statuses().total() >= _ENOUGH)
            victim = min(before)
            os.kill(victim, signal.SIGKILL)  # ours: a child of the server this test started
        await until(lambda: len(_workers(server) - {victim}) == len(before))
        await load.repeat_keyed()
        await load.run(most=len(load.asked) + _ENOUGH)
        logged = await check_whole(world.vault)
        check_answers(world.vault, [one.answer for one in load.asked if one.proven], logged)
        standing = await check_uses(world.vault, logged)
        answered = load.permitted_entries()
        for grant in load.grants:
            assert answered[grant.grant_id] <= standing[grant.grant_id]
            assert grant.max_uses is None or standing[grant.grant_id] <= grant.max_uses
        await verify_published(world.vault, server.url)
