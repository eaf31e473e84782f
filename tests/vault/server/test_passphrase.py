"""A passphrase that no file holds is typed at a terminal, and nowhere else."""

import os
import re
import select
import subprocess
import sys

import pytest

from tests.conftest import PASSPHRASE
from tests.flows.serving import ROOT, environment
from tests.vault.server.commands import CREDITVAULT, CommandLine

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
