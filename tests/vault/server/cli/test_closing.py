"""`creditvault log close`: what an operator does, and what inspectors and the next commands see."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from access_log.cli import main as inspect
from access_log.lock import OutsideLock
from tests.conftest import ORIGIN
from tests.vault.server.commands import CommandLine

NEXT = "creditvault.test/log/next"
CLOSE = ("log", "close", "--new-origin", NEXT, "--yes")


def act(creditvault: CommandLine, code: str) -> None:
    creditvault.good(
        "basis", "add", "--code", code, "--title", "Act", "--article", "1",
        "--from", "2024-01-01", "--purpose", "court-enforcement", "--category", "FIN",
    )  # fmt: skip


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = inspect([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


def test_one_log_follows_the_other(
    creditvault: CommandLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old_key = str(creditvault.good("migrate")["log_key"])
    act(creditvault, "first")
    folder = tmp_path / "published"
    creditvault.good("log", "publish", str(folder))
    done = creditvault.good(*CLOSE, "--reason", "a log a year")
    assert (done["closed"], done["opened"], done["planned"]) == (ORIGIN, NEXT, True)
    assert (done["size"], done["held"], done["missing"], done["resumed"]) == (2, 2, 0, False)
    (new_key,) = done["keys"]
    assert new_key.startswith(NEXT + "+")
    assert creditvault.good(*CLOSE)["resumed"] is True
    assert f"set CREDITVAULT_LOG_ORIGIN={NEXT} and start again" in creditvault.refused("migrate")
    assert creditvault.good("log", "fsck")["sound"] is True
    creditvault.set(log_origin=NEXT)
    assert creditvault.good("migrate")["log_key"] == new_key
    act(creditvault, "second")
    report = creditvault.good("log", "fsck")
    assert (report["sound"], report["size"]) == (True, 2)
    assert creditvault("doctor").code == 0
    assert creditvault.good("log", "rebuild", "--dry-run")["changed"] is False
    creditvault.good("log", "publish", str(folder))
    creditvault.good("log", "publish", str(folder))
    closed = folder / "closed" / sha256(ORIGIN.encode()).hexdigest()
    for place, key, size in ((folder, new_key, 2), (closed, old_key, 2)):
        code, said = inspected(capsys, "verify", place, "--log-key", key, "--json")
        assert (code, json.loads(said)["size"]) == (0, size)
    keys = tmp_path / "log.keys"
    keys.write_text(f"{old_key}\n{new_key}\n")
    code, said = inspected(capsys, "follow-logs", folder, "--log-key", keys, "--json")
    assert code == 0
    (passage,) = json.loads(said)["passages"]
    assert (passage["closed"], passage["opened"], passage["size"]) == (ORIGIN, NEXT, 2)
    assert (passage["missing"], passage["reason"]) == (0, "a log a year")
    code, said = inspected(
        capsys, "follow-logs", folder, "--log-key", keys, "--checkpoint", closed / "checkpoint"
    )
    assert code == 0
    assert said.count("\n") == 1
    assert inspected(capsys, "follow-logs", folder, "--log-key", new_key)[0] == 1


def test_a_log_that_is_behind_is_closed_as_it_stands(creditvault: CommandLine) -> None:
    creditvault.good("migrate")
    act(creditvault, "first")
    lock = creditvault.settings.outside_lock_path
    held = OutsideLock(lock).read()
    act(creditvault, "second")
    creditvault.set(log_origin="creditvault.test/unknown")
    assert "the settings name 'creditvault.test/unknown'" in creditvault.refused("migrate")
    creditvault.set(log_origin=ORIGIN)
    assert held.size == 1
    text = creditvault.refused("log", "close", "--new-origin", "No Name", "--yes")
    assert "a name like vault.example/log/2027" in text
