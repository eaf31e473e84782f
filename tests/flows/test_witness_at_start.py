"""A database and an outside lock of the same old night: what a witness cosigned since speaks against both."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from access_log.errors import OutsideLockError
from access_log.losses import Operator
from access_log.publishing import publish
from access_log.reimport import reimport
from access_log.sources import Directory
from tests.access_log.logs import append
from tests.faults.dumps import dump, restored
from tests.flows.serving import ROOT, free_port
from vault.server.assembly import Vault, open_log, open_vault
from vault.server.embedded import EmbeddedDatabase
from vault.server.jobs import ask_witnesses
from vault.server.settings import Settings

pytestmark = pytest.mark.slow
_PROGRAM = (sys.executable, "-m", "vault.server.cli", "witness")


def _command(*arguments: str) -> str:
    done = subprocess.run(
        [*_PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@dataclass
class RealWitness:
    """`creditvault witness serve` in a folder of its own."""

    folder: Path
    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def served(self) -> Iterator[None]:
        with (self.folder.parent / "witness.log").open("ab") as said:
            running = subprocess.Popen(
                [*_PROGRAM, "serve", str(self.folder), "--port", str(self.port)], cwd=ROOT, stderr=said
            )
            try:
                self._wait(running)
                yield
            finally:
                running.terminate()
                running.wait(timeout=30)

    def _wait(self, running: subprocess.Popen[bytes]) -> None:
        with httpx.Client(transport=httpx.HTTPTransport(retries=20), base_url=self.url) as http:
            while True:
                assert running.poll() is None, "the witness ended"
                try:
                    assert http.get("/healthz").status_code == httpx.codes.OK
                except httpx.ConnectError:
                    continue
                return


@pytest.fixture
def real(vault: Vault, tmp_path: Path) -> RealWitness:
    folder = tmp_path / "witness"
    init = _command("init", str(folder), "--name", "witness.example/w1", "--json")
    _command("add-log", str(folder), vault.log.key.verifier_key())
    key = next(word.strip('",') for word in init.split() if word.startswith('"witness.example/w1+'))
    return RealWitness(folder, free_port(), key)


@pytest.fixture
def settings(vault_settings: Settings, real: RealWitness, tmp_path: Path) -> Settings:
    policy = tmp_path / "policy"
    policy.write_text(f"witness one {real.key} {real.url}\nquorum one\n")
    return vault_settings.model_copy(update={"witness_policy": policy, "witness_timeout_seconds": 5.0})


@pytest.fixture
async def night(
    vault: Vault,
    settings: Settings,
    postgres: EmbeddedDatabase,
    database_name: str,
    tmp_path: Path,
) -> AsyncIterator[Settings]:
    """Settings of database and lock as they were one night; two entries have been added since."""
    await append(vault.log, 3)
    file = await asyncio.to_thread(dump, postgres, database_name, tmp_path / "nightly.dump")
    older = tmp_path / "older"
    older.mkdir(mode=0o700)
    for path in (settings.outside_lock_path, settings.endings_of(1, ""), settings.keyring_path):
        shutil.copy2(path, older / path.name)
    await append(vault.log, 2)
    with restored(postgres, file, settings) as back:
        yield back.model_copy(update={"home": older})


async def cosign(settings: Settings) -> None:
    """The witness cosigns the newest entries of the vault of these settings."""
    async with open_vault(settings, str(settings.database_url)) as vault:
        assert vault.witnessing is not None
        assert (await ask_witnesses(vault.log, vault.witnessing)).lacking is None


async def start(settings: Settings) -> None:
    async with open_vault(settings, str(settings.database_url)) as vault:
        assert vault.log.running


@pytest.mark.parametrize("mode", ["async", "sync"])
async def test_an_older_database_is_refused_until_it_is_brought_back(
    vault: Vault, real: RealWitness, settings: Settings, night: Settings, mode: str
) -> None:
    night = night.model_copy(update={"witness_mode": mode})
    published = real.folder.parent / "published"
    with real.served():
        await cosign(settings)
        await publish(vault.log, published)
        with pytest.raises(OutsideLockError, match=r"is behind the witness one: it holds 3.* 5 .*reimport"):
            await start(night)
        async with open_log(night, str(night.database_url)) as log:
            done = await reimport(log, Directory(published), actor=Operator("operator:x", "operator"))
        assert (done.first, done.end) == (3, 5)
        await start(night)


async def test_another_tree_is_refused(
    vault: Vault, real: RealWitness, settings: Settings, night: Settings
) -> None:
    """Somebody let the restored database go its own way, before the witness was asked."""
    async with open_vault(night.model_copy(update={"witness_policy": None}), str(night.database_url)) as own:
        await append(own.log, 2)
    with real.served():
        await cosign(settings)
        with pytest.raises(OutsideLockError, match="the witness one holds another tree of size 5"):
            await start(night)
        await start(settings)
    assert vault.log.outside.read().size == 5


async def test_a_witness_that_is_away_is_reported_and_not_waited_for(
    real: RealWitness, settings: Settings, night: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with real.served():
        await cosign(settings)
    await start(night)
    said = "".join(capfd.readouterr())
    assert "reference_not_compared" in said
    assert "the witness one was not compared" in said


async def test_one_that_cosigned_nothing_yet_holds_nothing_against_it(
    real: RealWitness, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with real.served():
        await start(settings)
    assert "the witness one was not compared: there is no checkpoint" in "".join(capfd.readouterr())
