"""Backup and restore as docs/operations.md describes them, by its own commands, onto a server of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests import prepared
from tests.conftest import fresh_database, settings_in
from tests.docs.pages import ROOT, blocks
from tests.faults.dumps import BINARIES
from tests.flows.serving import environment
from tests.vault.served import Served, copied_site, site
from vault.server.embedded import EmbeddedDatabase
from vault.server.settings import Settings

pytestmark = pytest.mark.slow
Ran = subprocess.CompletedProcess[str]


def _documented(first: str) -> str:
    """The commands of the page whose block has this in it."""
    (found,) = [block for block in blocks(ROOT / "docs/operations.md", "sh") if first in block]
    return found


BACKUP, RESTORE = _documented("pg_dump"), _documented("pg_restore")


@pytest.fixture
def elsewhere() -> Iterator[EmbeddedDatabase]:
    """Another server, on which there is nothing yet but the two roles and empty databases."""
    # Not below pytest's folder: another run closes that to the user this server runs as.
    with tempfile.TemporaryDirectory(prefix="creditvault-test-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedDatabase(Path(folder) / "postgresql")
        yield server
        prepared.administrator(server.url("postgres")).dispose()
        server.stop()


def _run(commands: str, settings: Settings, postgres: EmbeddedDatabase, name: str, backups: Path) -> Ran:
    """Runs what the page says, its paths and its database replaced by those of this test."""
    for documented, here in (
        ("/srv/backup", backups),
        ("/var/lib/creditvault-lock/", f"{settings.outside_lock_path.parent}/"),
        ("/var/lib/creditvault/", f"{settings.home}/"),
    ):
        assert documented in commands
        commands = commands.replace(documented, str(here))
    url = make_url(postgres.url("postgres", name))
    programs = [str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]]
    return subprocess.run(
        ["/bin/sh", "-c", commands.replace("--dbname=creditvault", f"--dbname={name}")],
        env={
            **environment(settings),
            "PATH": ":".join(programs),
            "PGHOST": str(url.query.get("host", url.host)),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _settings(folder: Path, postgres: EmbeddedDatabase, name: str) -> Settings:
    folder.mkdir()
    return settings_in(folder, postgres, name)


async def _asks(served: Served, n: int) -> httpx.Response:
    response = await (await served.court(n)).ask()
    assert response.status_code == httpx.codes.OK, response.text
    assert len(response.json()["records"]) == 1
    return response


async def test_everything_is_lost_but_a_backup_and_the_passphrase(
    postgres: EmbeddedDatabase, elsewhere: EmbeddedDatabase, tmp_path: Path
) -> None:
    backups, cast = tmp_path / "backups", tmp_path / "cast"
    with fresh_database(postgres) as name:
        settings = _settings(tmp_path / "here", postgres, name)
        async with copied_site(settings, settings.home) as served:
            await served.enrol(1, 2)
            before = await _asks(served, 1)
            ran = await asyncio.to_thread(_run, BACKUP, settings, postgres, name, backups)
            assert ran.returncode == 0, ran.stderr
            after = await _asks(served, 2)
        survived = settings.outside_lock_path.read_bytes()
        cast.mkdir()
        shutil.copy(settings.home / "cast.json", cast)
    (backup,) = backups.iterdir()
    files = {path.name: path.stat().st_mode & 0o077 for path in backup.iterdir()}
    assert files == dict.fromkeys(("database.dump", "keyring", "outside.lock", "outside.lock.endings"), 0)

    with fresh_database(elsewhere) as name:  # The lock survived: it says what the backup lacks.
        there = _settings(tmp_path / "there", elsewhere, name)
        there.outside_lock_path.write_bytes(survived)
        ran = await asyncio.to_thread(_run, RESTORE, there, elsewhere, name, backups)
        assert ran.returncode == 2
        assert "the database is behind the outside lock" in ran.stderr
        assert "`creditvault log reimport`" in ran.stderr
        assert there.outside_lock_path.read_bytes() == survived

    with fresh_database(elsewhere) as name:  # It did not: its copy is older than the dump, and is accepted.
        there = _settings(tmp_path / "again", elsewhere, name)
        ran = await asyncio.to_thread(_run, RESTORE, there, elsewhere, name, backups)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.rstrip().endswith("sound")
        async with site(there, cast) as served:
            assert served.opened(before.json())["decision"] == "permitted"
            again = served.receipt((await _asks(served, 1)).json()["receipt"])
            # What was answered after the backup is not in it: its number is given anew.
            assert again.index == served.receipt(after.json()["receipt"]).index
