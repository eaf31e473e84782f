"""The supervisor over real processes that do nothing but live and die."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from vault.server import supervisor
from vault.server.supervisor import Supervisor

_WITHIN = 20.0
_LIVE = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
(Path(sys.argv[1]) / str(os.getpid())).touch()
sys.stdin.read()
"""
_DEAF = _LIVE.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN").replace(
    "sys.stdin.read()", "import time; time.sleep(60)"
)


@asynccontextmanager
async def supervised(folder: Path, code: str = _LIVE, count: int = 2) -> AsyncIterator["asyncio.Task[None]"]:
    with socket.socket() as listening:
        keeper = Supervisor(
            [sys.executable, "-c", code, str(folder)],
            count,
            descriptor=listening.fileno(),
            environment=dict(os.environ),
        )
        task = asyncio.create_task(keeper.run())
        try:
            yield task
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, _WITHIN)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)


def started(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WITHIN):
        while not condition():  # noqa: ASYNC110 -- other processes set no events
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_all_end_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    async with supervised(tmp_path) as task:
        await until(lambda: len(started(tmp_path)) == 2)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(task, _WITHIN)
    assert not any(psutil.pid_exists(pid) for pid in started(tmp_path))


async def test_one_that_dies_is_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path):
        await until(lambda: len(started(tmp_path)) == 2)
        os.kill(started(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(started(tmp_path)) == 3)


async def test_one_that_cannot_start_is_tried_again_but_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", 0.3)
    code = _LIVE.replace("sys.stdin.read()", "sys.exit(2)")
    began = asyncio.get_running_loop().time()
    async with supervised(tmp_path, code, count=1):
        await until(lambda: len(started(tmp_path)) == 3)
        assert asyncio.get_running_loop().time() - began > 0.6


async def test_one_that_ended_by_the_same_signal_is_not_replaced(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group, and a worker may end before the supervisor has seen it."""
    async with supervised(tmp_path) as task:
        await until(lambda: len(started(tmp_path)) == 2)
        for pid in [*started(tmp_path), os.getpid()]:
            os.kill(pid, signal.SIGTERM)
        await asyncio.wait_for(task, _WITHIN)
    assert len(started(tmp_path)) == 2


async def test_one_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_GRACE_SECONDS", 0.3)
    async with supervised(tmp_path, _DEAF, count=1) as task:
        await until(lambda: len(started(tmp_path)) == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, _WITHIN)
    assert not any(psutil.pid_exists(pid) for pid in started(tmp_path))
