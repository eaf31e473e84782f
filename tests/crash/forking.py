"""Programs of the product, as crash tests start and kill them: without the time that imports take."""

import asyncio
import atexit
import functools
import json
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from tests.crash.forker import LONGEST
from tests.flows.serving import ROOT, Server, environment
from vault.server.settings import Settings

_WITHIN = 120.0


class Forked:
    """A program that runs; what is asked of it is asked as of `subprocess.Popen`."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self.pid = int(told.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = int(self._told.recv(64))
            self._told.close()  # its number may be another's from here on
        return self.returncode


class ForkedServer(Server):
    """One server of one process."""

    def _begin(self, command: Sequence[str], output: IO[bytes]) -> Forked:
        return _fork(command, environment(self.settings), output, output)


async def forked(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with these settings to its end."""
    return await asyncio.to_thread(_run, environment(settings), command)


def _run(environment: Mapping[str, str], command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _fork(command, environment, out, err).wait(_WITHIN)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read().decode(), err.read().decode())


def _fork(command: Sequence[str], environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]) -> Forked:
    """Begins `python <file>`, `python -m <module>` or a script of Python's, with its arguments."""
    program = [*command[1:]] if command[0] == sys.executable else [*command]
    content = json.dumps([program, dict(environment), str(ROOT)]).encode()
    assert len(content) < LONGEST
    told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with telling:
        socket.send_fds(_forker(), [content], [telling.fileno(), out.fileno(), err.fileno()])
    return Forked(told)


@functools.cache
def _forker() -> socket.socket:
    """Who forks for this process, and ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forker", str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
