"""Background jobs: each does its work, and the worker runs them from a real queue."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.vault.server.commands import CommandLine

_WITHIN = 150.0


def test_the_worker_runs_its_jobs_and_ends_in_order(creditvault: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = creditvault.start("worker", stderr=output, stdout=output, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _WITHIN
        while not _heartbeats(creditvault) or _jobs(creditvault):
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(_WITHIN) == 0
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events[0] == "jobs_started"
    assert events[-1] == "jobs_stopped"
    assert creditvault.good("log", "fsck")["sound"]


@pytest.mark.slow
def test_a_worker_without_its_queue_says_so(creditvault: CommandLine, tmp_path: Path) -> None:
    """The database goes away while it runs: after half a minute one line, and a code to restart on."""
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = creditvault.start("worker", stderr=output, stdout=output, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _WITHIN
        # A job that was cut off would say so at length, and rightly.
        while not _heartbeats(creditvault) or _jobs(creditvault):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        _lock_out(creditvault)
        assert worker.wait(_WITHIN) == 2
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    assert "Traceback" not in log.read_text()
    assert log.read_text().splitlines()[-1].startswith("creditvault: ")


def _scalar(command: CommandLine, statement: str) -> int:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    try:
        with engine.connect() as connection:
            return int(connection.scalar(text(statement)) or 0)
    finally:
        engine.dispose()


def _heartbeats(command: CommandLine) -> int:
    return _scalar(command, "SELECT count(*) FROM access_log.entry WHERE get_byte(entry, 1) = 255")


def _jobs(command: CommandLine) -> int:
    return _scalar(command, "SELECT count(*) FROM jobs.procrastinate_jobs")


def _lock_out(command: CommandLine) -> None:
    """Ends every connection of the application to this database, and lets none in again."""
    url = make_url(str(command.settings.owner_database_url))
    engine = create_engine(url.set(username="postgres", database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
    engine.dispose()
