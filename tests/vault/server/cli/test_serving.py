"""The server from the command line: what keeps it from starting, how it ends, how workers are replaced."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, text

import vault.server.serve
from access_log.lock import OutsideLock, Raised
from tests.vault.server.commands import CommandLine
from vault.server.settings import Settings

_WITHIN = 30.0


@contextmanager
def _served(command: CommandLine, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`creditvault serve` on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command.set(port=port)
    with log.open("wb") as output:
        process = command.start("serve", *options, stderr=output, stdout=output, stdin=subprocess.DEVNULL)
    try:
        _wait(lambda: process.poll() is not None or _is_ready(port))
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


def _wait(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + _WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def _workers(process: subprocess.Popen[bytes]) -> set[int]:
    return {one.pid for one in psutil.Process(process.pid).children() if "--fd" in one.cmdline()}


def _events(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines()]


def test_it_serves_and_ends_in_order(creditvault: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with _served(creditvault, log) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(_WITHIN) == 0
    events = _events(log)  # every line of it is JSON
    assert events[0] == "worker_started"
    assert events[-1] == "worker_stopped"


def test_without_an_issuer_it_is_the_port_listened_on(creditvault: CommandLine, tmp_path: Path) -> None:
    with _served(creditvault, tmp_path / "server.log") as process:
        port = os.environ["CREDITVAULT_PORT"]
        metadata = httpx.get(
            f"http://127.0.0.1:{port}/.well-known/oauth-authorization-server", trust_env=False
        ).json()
        assert metadata["issuer"] == f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(_WITHIN) == 0


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(creditvault: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with _served(creditvault, log, "--workers", "2") as process:
        _wait(lambda: _events(log).count("worker_started") == 2)
        first = _workers(process)
        assert len(first) == 2
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        _wait(lambda: _events(log).count("worker_started") == 3)
        second = _workers(process)
        assert len(second) == 2
        assert victim not in second
        assert _is_ready(int(os.environ["CREDITVAULT_PORT"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(_WITHIN) == 0
        assert not any(psutil.pid_exists(pid) for pid in second)
    assert _events(log).count("worker_died") == 1


@pytest.mark.slow
def test_workers_end_with_a_supervisor_that_was_killed(creditvault: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with _served(creditvault, log, "--workers", "2") as process:
        _wait(lambda: _events(log).count("worker_started") == 2)
        workers = _workers(process)
        process.kill()
        process.wait()
        _wait(lambda: not any(psutil.pid_exists(pid) for pid in workers))
    assert _events(log).count("worker_stopped") == 2


@pytest.mark.slow
def test_the_embedded_database_starts_and_ends_with_the_server(
    vault_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "embedded"
    given = {"home": home, "database_url": None, "owner_database_url": None}
    command = CommandLine(vault_settings.model_copy(update=given), monkeypatch, capsys)
    command.good("migrate")
    log = tmp_path / "server.log"
    with _served(command, log) as process:
        postmaster = int((home / "postgresql/postmaster.pid").read_text().splitlines()[0])
        assert command.good("body", "list") == []  # a second process on the same database
        assert psutil.pid_exists(postmaster)
        process.send_signal(signal.SIGTERM)
        assert process.wait(_WITHIN) == 0
    assert not (home / "postgresql/postmaster.pid").exists()
    with command.start("doctor", stdout=subprocess.PIPE) as doctor:
        assert doctor.wait(_WITHIN) == 0  # what was closed in order opens again


@pytest.fixture
def quiet(creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A server in this process leaves the loggers of the tests alone."""
    monkeypatch.setattr(vault.server.serve, "configure", lambda _level: None)
    creditvault.set(port=_free_port())
    return creditvault


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_said(quiet: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = quiet.refused("serve", "--port", str(port))
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use)" in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_keeps_it_from_starting_is_one_line(quiet: CommandLine, workers: str, tmp_path: Path) -> None:
    """With several workers too: it is said once, before any of them is started."""
    serve = ("serve", "--workers", workers)
    settings = quiet.settings
    assert settings.passphrase_file is not None
    settings.passphrase_file.write_text("another")
    assert "the passphrase does not open the keyring" in quiet.refused(*serve)
    settings.passphrase_file.write_text("correct horse battery staple")
    settings.keyring_path.chmod(0o644)
    assert "chmod 600" in quiet.refused(*serve)
    settings.keyring_path.rename(tmp_path / "hidden")
    assert "the keyring" in quiet.refused(*serve)
    (tmp_path / "hidden").rename(settings.keyring_path)
    settings.keyring_path.chmod(0o600)
    lock = OutsideLock(settings.outside_lock_path)
    held = lock.read()
    lock.path.unlink()
    assert "the outside lock" in quiet.refused(*serve)
    lock.create(Raised(held.size + 1, bytes(32), held.note))
    assert "the database is behind the outside lock" in quiet.refused(*serve)
    quiet.set(database_url=f"postgresql+psycopg://app@/vault?host={tmp_path}")
    assert "start PostgreSQL" in quiet.refused(*serve)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE public.alembic_version SET version_num = '9999'", "ahead of this release"),
        ("DELETE FROM public.alembic_version", "run `creditvault migrate`"),
    ],
)
def test_another_schema_is_refused(quiet: CommandLine, statement: str, words: str) -> None:
    assert quiet.settings.owner_database_url is not None
    engine = create_engine(quiet.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    assert words in quiet.refused("serve")


def test_a_descriptor_that_is_no_socket_is_refused(quiet: CommandLine, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        copy = os.dup(file.fileno())
        assert "creditvault: " in quiet.refused("serve", "--fd", str(copy))
        os.close(copy)


def test_the_demo_is_told_its_options_and_its_code_is_ours(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, object]] = []

    def run(**options: object) -> int:
        told.append(options)
        return 1

    monkeypatch.setattr("demo.story.run", run)
    assert creditvault("demo", "--once", "--port", "8123").code == 1
    assert told == [{"once": True, "port": 8123}]
