"""The whole demo, as `make demo` runs it: the story's every claim is checked by the story itself."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.flows.serving import free_port

_CREDITVAULT = Path(sys.executable).with_name("creditvault")
_LINES = (
    "germancredit.csv: 1,000 real cases read",
    "foreign_worker",
    "personal_status_and_sex",
    "granted that, and was sent back with a code",
    "proposed by Registrar One and approved by Registrar Two",
    "No token: 401",
    "without proof of its key: 401",
    "sent once more with its proof: 401",
    "refused by RULES 5.1",
    "refused by RULES 6.2",
    "refused by RULES 4.3",
    "refused by RULES 3.5",
    "refused by RULES 1.1",
    "twelve months of display are over: the court gets an empty list",
    "Somebody the vault has never heard of: the same empty list",
    "The page at /accesses says the same",
    "chain, tree and checkpoint are good",
    "An entry is altered: `python -m access_log verify` names entry",
    "An entry is deleted: `python -m access_log verify` names entry",
    "`creditvault log fsck` names entry",
    "`creditvault log fsck` finds everything in order",
    "The story is told",
)


@pytest.fixture
def home() -> Iterator[Path]:
    # Not below pytest's own folder: as root the database's own user must be able to reach it.
    with tempfile.TemporaryDirectory(prefix="creditvault-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


class Demo:
    """One demo, as a process whose words are read while it speaks."""

    def __init__(self, home: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            # Two test workers begin theirs at one moment: both would find the usual port free.
            [str(_CREDITVAULT), "demo", "--port", str(free_port()), *options],
            # A real vault's settings in the same shell must not reach the demo.
            env={**os.environ, "CREDITVAULT_HOME": str(home), "CREDITVAULT_KEYRING": "/nowhere/keyring"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.pid = self._process.pid
        self.told = ""

    def until(self, words: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told += line
            if words in line:
                return
        pytest.fail(f"the demo ended before it said {words!r}:\n{self.told}")

    def end(self, number: signal.Signals | None = None) -> int:
        """Its exit code, after a signal or by itself."""
        assert self._process.stdout is not None
        if number is not None:
            self._process.send_signal(number)
        with self._process.stdout as rest:
            self.told += rest.read()
        return self._process.wait()


def _kill(pid_file: Path) -> None:
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)


def _left_over(home: Path) -> list[psutil.Process]:
    """Processes that still work on this folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd", "status"])
        if str(home) in " ".join([*(process.info["cmdline"] or []), process.info["cwd"] or ""])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def test_the_story_holds(home: Path) -> None:
    demo = Demo(home, "--once")
    assert demo.end() == 0, demo.told
    assert [line for line in _LINES if line not in demo.told] == []
    assert _left_over(home) == []


@pytest.mark.slow
def test_it_holds_again_and_ends_by_itself_without_a_terminal(home: Path) -> None:
    assert Demo(home, "--once").end() == 0
    again = Demo(home)
    assert again.end() == 0, again.told
    assert "1,000 records stand already from an earlier demo, 0 are new" in again.told
    assert _left_over(home) == []


@pytest.mark.slow
def test_it_recovers_from_kill_9_of_the_demo_the_server_and_the_database(home: Path) -> None:
    demo = Demo(home, "--once")
    demo.until("5. ")
    demo.end(signal.SIGKILL)
    server = psutil.Process(int((home / "server.pid").read_text()))
    assert server.is_running(), "the next demo has to find something"

    after_the_demo = Demo(home, "--once")
    after_the_demo.until("its server was still running, and has been ended")
    after_the_demo.until("2. ")
    assert server not in _left_over(home)
    _kill(home / "server.pid")
    assert after_the_demo.end() == 1
    assert "The demo FAILED" in after_the_demo.told

    after_the_server = Demo(home, "--once")
    after_the_server.until("2. ")
    _kill(home / "postgresql" / "postmaster.pid")
    assert after_the_server.end() == 1
    assert "The demo FAILED" in after_the_server.told

    at_last = Demo(home, "--once")
    assert at_last.end() == 0, at_last.told
    assert _left_over(home) == []


@pytest.mark.slow
def test_what_was_altered_when_it_was_cut_off_is_put_back(home: Path) -> None:
    demo = Demo(home, "--once")
    demo.until("7. ")
    while not (home / "tampered.json").exists():
        assert psutil.pid_exists(demo.pid)
    demo.end(signal.SIGKILL)

    again = Demo(home, "--once")
    assert again.end() == 0, again.told
    assert "what it had changed is restored" in again.told


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(home: Path, number: signal.Signals) -> None:
    demo = Demo(home, "--once")
    demo.until("1. ")
    assert demo.end(number) == 128 + number
    assert _left_over(home) == []


@pytest.mark.slow
def test_two_do_not_share_a_folder(home: Path) -> None:
    first = Demo(home, "--once")
    first.until("1. ")
    second = Demo(home, "--once")
    assert second.end() == 2, second.told
    assert "another demo runs on" in second.told
    assert first.end() == 0, first.told


@pytest.mark.slow
def test_a_taken_port_is_named(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = Demo(home, "--once", "--port", str(port))
        assert demo.end() == 2, demo.told
    assert f"port {port} is taken" in demo.told
    assert _left_over(home) == []
