"""The whole of a disaster: an older dump is restored, refused, and brought back from the published log."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from access_log.checkpoint import VerifierKey
from access_log.entry import EntryType
from access_log.payload import check_opening
from access_log.receipt import verify_receipt
from tests.crash import killer
from tests.faults.dumps import dump, restored
from tests.flows.audit import verify_published
from tests.flows.serving import ROOT, SERVE, Server, at_port, environment, free_port, serving
from tests.flows.world import opened
from vault.server.embedded import EmbeddedDatabase
from vault.server.settings import Settings

pytestmark = pytest.mark.slow
Ran = subprocess.CompletedProcess[str]
_REFUSED = 2


@dataclass(frozen=True)
class Disaster:
    """What is left: settings that name the restored dump, the published log, and what was answered since."""

    settings: Settings
    published: Path
    answers: list[Any]
    dumped: int
    raised: int
    roots: int

    def run(self, *arguments: str, program: Sequence[str] = (SERVE[0],)) -> Ran:
        return run(self.settings, *program, *arguments)


def run(settings: Settings, *command: str) -> Ran:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@asynccontextmanager
async def disaster(
    settings: Settings, folder: Path, postgres: EmbeddedDatabase, name: str
) -> AsyncIterator[Disaster]:
    settings = at_port(settings, free_port())
    async with (
        opened(settings, folder) as world,
        serving(settings, folder / "server.log") as server,
        server.http() as http,
    ):
        await world.enrol(http, [1, 2])
        court = await world.statutory(http, 1)
        assert (await court.ask()).status_code == 200
        file = await asyncio.to_thread(dump, postgres, name, folder / "nightly.dump")
        dumped = world.log.outside.read().size
        answers = [(await court.ask()).json() for _ in range(5)]
        bank = await world.consented(http, 2, 3)
        answers.append((await bank.ask()).json())
        await world.enrol(http, [3])
        roots = await world.vault.roots.catch_up()
    raised = world.log.outside.read().size
    with restored(postgres, file, settings) as older:
        published = folder / "published"
        done = await asyncio.to_thread(run, settings, SERVE[0], "log", "publish", str(published))
        assert done.returncode == 0, done.stderr
        yield Disaster(older, published, answers, dumped, raised, roots)


async def test_a_restored_dump_is_refused_then_brought_back_and_serves(
    vault_settings: Settings, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    async with disaster(vault_settings, tmp_path, postgres, database_name) as left:
        server = Server(left.settings, tmp_path / "older.log")
        server.launch()
        assert await server.ended() == _REFUSED
        (said,) = [line for line in server.said().splitlines() if line.startswith("creditvault:")]
        assert "`creditvault log reimport`" in said

        done = left.run("log", "reimport", str(left.published), "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["first"], report["imported"]) == (left.dumped, left.raised - left.dumped)
        assert report["declared"] == left.raised

        assert report["roots"] == left.roots > 0

        examined = left.run("log", "fsck", "--json")
        assert examined.returncode == 0, examined.stdout
        assert json.loads(examined.stdout)["lost"] == left.raised - left.dumped

        async with (
            serving(left.settings, tmp_path / "older.log") as back,
            opened(left.settings, tmp_path) as world,
        ):
            async with back.http() as http:
                answer = (await (await world.statutory(http, 1)).ask()).json()
                assert answer["records"]
                # Person 3 was enrolled after the dump: the vault knows nobody of that name any more.
                assert not (await (await world.statutory(http, 3)).ask()).json()["records"]
            keys = [VerifierKey.parse(world.log.key.verifier_key())]
            for each in [*left.answers, answer]:
                receipt = verify_receipt(each["receipt"], keys)
                assert receipt.entry.type is EntryType.QUERY_PERMITTED
                assert check_opening(receipt.entry, each["opening"])
            await verify_published(world.vault, back.url)


_STEPS = (
    "after-entries",
    "before-commit",
    "after-commit",
    "before-sign",
    "between-lock-write-and-sync",
    "after-raise",
)


@pytest.mark.parametrize("step", _STEPS)
async def test_killed_at_any_step_it_is_repeated(
    vault_settings: Settings, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str, step: str
) -> None:
    async with disaster(vault_settings, tmp_path, postgres, database_name) as left:
        armed = tmp_path / "armed"
        armed.touch()
        program = (sys.executable, str(Path(killer.__file__)), step, "1", str(armed))
        killed = left.run("log", "reimport", str(left.published), program=program)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        again = left.run("log", "reimport", str(left.published), "--json")
        assert again.returncode == 0, again.stderr
        examined = left.run("log", "fsck", "--json")
        assert examined.returncode == 0, examined.stdout
        report = json.loads(examined.stdout)
        assert (report["size"], report["raised"]) == (left.raised + 1, left.raised + 1)
        assert report["lost"] == left.raised - left.dumped
