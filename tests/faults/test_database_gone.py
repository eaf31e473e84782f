"""PostgreSQL itself is killed under load and comes back: 503 meanwhile, no restart, nothing lost."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.crash.load import Load, prepare, until
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import serving
from tests.flows.world import World
from vault.server.database import migrate
from vault.server.embedded import DATABASE, OWNER, EmbeddedDatabase

_ENOUGH = 40
_WITHIN = 30.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedDatabase]:
    """A PostgreSQL of this test's own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="creditvault-test-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedDatabase(Path(folder) / "postgresql")
        migrate(server.url(OWNER))
        yield server
        server.stop()


@pytest.fixture
def database_name() -> str:
    """The migrated database itself: nobody else uses this server."""
    return DATABASE


def _kill(postgres: EmbeddedDatabase) -> None:
    """Ends it as a power cut would: no checkpoint, no word to its clients."""
    postmaster = psutil.Process(postgres._server.get_pid())
    processes = [postmaster, *postmaster.children(recursive=True)]
    os.kill(postmaster.pid, signal.SIGQUIT)  # ours, started by the fixture; `immediate` shutdown
    _, alive = psutil.wait_procs(processes, timeout=_WITHIN)
    assert not alive


@pytest.mark.slow
async def test_the_database_is_killed_and_comes_back(
    world: World, tmp_path: Path, postgres: EmbeddedDatabase
) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        load = await prepare(world, http)
        async with load.going():
            await until(lambda: load.statuses()[httpx.codes.OK] >= _ENOUGH)
            await asyncio.to_thread(_kill, postgres)
            await until(lambda: load.statuses()[httpx.codes.SERVICE_UNAVAILABLE] >= _ENOUGH)
            assert (await http.get("/healthz")).status_code == httpx.codes.OK
            assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
            await asyncio.to_thread(postgres._server.ensure_postgres_running)
            before = load.statuses()[httpx.codes.OK]
            await until(lambda: load.statuses()[httpx.codes.OK] >= before + _ENOUGH)
        assert load.statuses().keys() == {
            httpx.codes.OK,
            httpx.codes.FORBIDDEN,
            httpx.codes.SERVICE_UNAVAILABLE,
        }
        await world.vault.engine.dispose()  # this process was not told either
        await _audit(world, load)
        await load.repeat_keyed()
        await _audit(world, load)
        await verify_published(world.vault, server.url)


async def _audit(world: World, load: Load) -> None:
    logged = await check_whole(world.vault)
    check_answers(world.vault, [one.answer for one in load.asked if one.proven], logged)
    standing = await check_uses(world.vault, logged)
    answered = load.permitted_entries()
    for grant in load.grants:
        assert answered[grant.grant_id] <= standing[grant.grant_id]
        assert grant.max_uses is None or standing[grant.grant_id] <= grant.max_uses
