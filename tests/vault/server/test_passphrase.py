"""A passphrase that no file holds is typed at a terminal, and nowhere else."""

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PASSPHRASE
from tests.flows.serving import ROOT, environment
from tests.vault.server.commands import CREDITVAULT, CommandLine
from vault.crypto import handover

_SECONDS = 60.0


def _typed(command: CommandLine, answer: str) -> tuple[int, str]:
    """Runs a command on a terminal of its own, answers what it asks; returns its code and what it showed."""
    settings = command.settings.model_copy(update={"passphrase_file": None})
    terminal, theirs = os.openpty()
    running = subprocess.Popen(
        [CREDITVAULT, "body", "list", "--json"],
        cwd=ROOT,
        env=environment(settings),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, asked = b"", False
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], _SECONDS)
            assert ready, shown
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # The command has ended, and its terminal with it.
                return running.wait(_SECONDS), shown.decode()
            if not asked and shown.endswith(b"keyring: "):
                asked = True
                os.write(terminal, f"{answer}\n".encode())
    finally:
        running.kill()
        running.wait()
        os.close(terminal)


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo-terminals as Linux has them")
def test_a_terminal_is_asked_once_and_echoes_nothing(creditvault: CommandLine) -> None:
    code, shown = _typed(creditvault, PASSPHRASE)
    assert code == 0, shown
    assert len(re.findall("Passphrase of", shown)) == 1
    assert PASSPHRASE not in shown
    code, shown = _typed(creditvault, "another")
    assert code == 2
    assert "the passphrase does not open the keyring" in shown


def test_where_there_is_no_terminal_nobody_is_asked(creditvault: CommandLine) -> None:
    creditvault.set(passphrase_file=None)
    assert "set CREDITVAULT_PASSPHRASE_FILE" in creditvault.refused("body", "list")


def test_it_is_changed(creditvault: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "LIFE", 0.01)
    new = tmp_path / "new"
    new.write_text("another passphrase\n")
    change = ("keys", "passphrase", "--yes", "--new-file", str(new))
    assert "others can read it" in creditvault.refused(*change)
    new.chmod(0o600)
    assert creditvault.good(*change) == {"keyring": str(creditvault.settings.keyring_path)}
    assert "the passphrase does not open the keyring" in creditvault.refused("body", "list")
    assert "the passphrase does not open the keyring" in creditvault.refused(*change)
    creditvault.set(passphrase_file=new)
    assert creditvault.good("body", "list") == []
    assert "choose another" in creditvault.refused(*change)
    assert "no new passphrase is given" in creditvault.refused("keys", "passphrase", "--yes")
    creditvault.set(key_provider="openbao")
    assert "has no keyring" in creditvault.refused(*change)
