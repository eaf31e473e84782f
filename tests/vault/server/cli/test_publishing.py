"""`creditvault log publish`: once, again, following, and what keeps it from publishing."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from access_log.checkpoint import VerifierKey
from access_log.sources import Directory
from access_log.verify import verify_log
from tests.crash import killer
from tests.vault.server.commands import ROOT, CommandLine

_WITHIN = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


def _act(creditvault: CommandLine, number: int) -> None:
    added = creditvault(
        "basis", "add", "--code", f"act-{number}", "--title", "Act", "--article", "1",
        "--from", "2024-01-01", "--purpose", "court-enforcement", "--category", "FIN",
    )  # fmt: skip
    assert added.code == 0


def _key(creditvault: CommandLine) -> VerifierKey:
    key = creditvault.good("migrate")["log_key"]
    return VerifierKey.parse(key)


def _size(key: VerifierKey, folder: Path) -> int:
    return verify_log(Directory(folder), [key]).checkpoint.size


def test_once_and_again(creditvault: CommandLine, folder: Path) -> None:
    _act(creditvault, 1)
    key = _key(creditvault)
    done = creditvault.good("log", "publish", str(folder))
    assert (done["size"], done["before"], done["written"]) == (1, None, 3)
    assert _size(key, folder) == 1
    _act(creditvault, 2)
    creditvault.set(publish_dir=folder)
    ran = creditvault("log", "publish")
    assert ran.code == 0
    assert ran.out == f"{folder}: 2 entries published, 3 files written, 0 were there\n"
    assert _size(key, folder) == 2


def test_without_a_folder_it_says_how_to_name_one(creditvault: CommandLine) -> None:
    assert "set CREDITVAULT_PUBLISH_DIR" in creditvault.refused("log", "publish")


def test_a_folder_that_is_none(creditvault: CommandLine) -> None:
    assert "cannot be used" in creditvault.refused("log", "publish", "/dev/null/log")


def test_entries_that_were_altered_are_found(creditvault: CommandLine, folder: Path) -> None:
    for number in range(3):
        _act(creditvault, number)
    assert creditvault.settings.owner_database_url is not None
    engine = create_engine(creditvault.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE access_log.entry DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE access_log.entry SET entry = set_byte(entry, 50, 1) WHERE index = 1"))
    engine.dispose()
    ran = creditvault("log", "publish", str(folder))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("NOT SOUND: entry 2: its chain value does not follow")
    found = creditvault("log", "publish", str(folder), "--json")
    assert found.code == 1
    assert (found.json()["sound"], found.json()["index"]) == (False, 2)
    assert not (folder / "checkpoint").exists()


def test_it_follows_the_log_until_it_is_stopped(creditvault: CommandLine, folder: Path) -> None:
    key = _key(creditvault)
    publisher = creditvault.start(
        "log", "publish", str(folder), "--follow", "--every", "0.1", "--json", stdout=subprocess.PIPE
    )
    assert publisher.stdout is not None
    told = 0
    try:
        for number in range(2):
            _act(creditvault, number)
            while told <= number:  # ends with an error, and this test with it, if the publisher dies
                told = json.loads(publisher.stdout.readline())["size"]
            assert _size(key, folder) == told
        publisher.send_signal(signal.SIGTERM)
        assert publisher.wait(_WITHIN) == 128 + signal.SIGTERM
    finally:
        if publisher.poll() is None:
            publisher.kill()
        publisher.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("step", killer.PUBLISHING)
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8])
def test_killed_while_it_publishes(creditvault: CommandLine, folder: Path, step: str, nth: int) -> None:
    """kill -9 of the real command: the older checkpoint or the newer one stands, and the next run ends it."""
    key = _key(creditvault)
    _act(creditvault, 0)
    creditvault.good("log", "publish", str(folder))
    for number in range(1, 4):
        _act(creditvault, number)
    armed = folder.parent / "armed"
    armed.touch()
    killed = subprocess.run(
        [
            sys.executable,
            str(Path(killer.__file__)),
            step,
            str(nth),
            str(armed),
            "log",
            "publish",
            str(folder),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=_WITHIN,
        check=False,
    )
    assert killed.returncode in {0, -signal.SIGKILL}, killed.stderr
    assert killed.returncode or nth > 1, f"{step} was never reached"
    assert _size(key, folder) in {1, 4}
    assert creditvault.good("log", "publish", str(folder))["size"] == 4
    assert _size(key, folder) == 4
    shutil.rmtree(folder)
    assert creditvault.good("log", "publish", str(folder))["size"] == 4
