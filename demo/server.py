"""The real server, `creditvault serve`, as a process of its own: started, watched, stopped, and found again.

A demo that was killed leaves its server behind. The server holds a lock for as long as it lives, so that the
next demo knows whether the process id beside it still is that server, and may end it.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from demo.home import SetUpError
from demo.narrator import StoryError

HOST = "127.0.0.1"
USUAL_PORT = 8440
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_STEP = 0.05
_LISTENS = b'"worker_started"'
# The shell writes its own process id and then becomes the server, so that the file is never wrong.
_NAMED = 'echo $$ > "$0"; exec "$@"'


def command(*arguments: str) -> list[str]:
    """A command of the `creditvault` that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("creditvault")), *arguments]


class ServerProcess:
    """One server of one demo folder.

    Args:
        home: the demo's folder; it keeps the server's log, its process id and the lock it lives by.
    """

    def __init__(self, home: Path) -> None:
        self.log = home / "server.log"
        self._pid_file = home / "server.pid"
        self._lock_file = home / "server.lock"
        self._process: subprocess.Popen[bytes] | None = None

    def end_left_over(self) -> bool:
        """Ends the server that an earlier, killed demo left behind; returns whether there was one.

        Raises:
            SetUpError: it does not end.
        """
        descriptor = self._open_lock()
        try:
            if _lock(descriptor):
                return False
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(self._pid_file.read_text()), number)
                deadline = time.monotonic() + _STOP_SECONDS
                while time.monotonic() < deadline:
                    if _lock(descriptor):
                        return True
                    time.sleep(_STEP)
        finally:
            os.close(descriptor)
        raise SetUpError(f"a server of an earlier demo still runs and cannot be ended; see {self._pid_file}.")

    def start(self) -> None:
        """Starts the server, with the settings in this process's environment; it is not ready yet."""
        descriptor = self._open_lock()
        try:
            _lock(descriptor)
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _NAMED, str(self._pid_file), *command("serve")],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(descriptor,),
                    # Ctrl-C is for the demo, which then ends its server in order.
                    start_new_session=True,
                )
        finally:
            os.close(descriptor)

    async def wait_until_ready(self, base: str) -> None:
        """Waits until queries can be served.

        Raises:
            StoryError: the server ended, or is not ready in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        async with httpx.AsyncClient(timeout=_START_SECONDS, trust_env=False) as http:
            while time.monotonic() < deadline:
                self.check()
                # Ours listens once it says so: until then whoever answers there is somebody else's.
                if _LISTENS not in self.log.read_bytes():
                    await asyncio.sleep(_STEP)
                    continue
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{base}/readyz")).is_success:
                        return
                await asyncio.sleep(_STEP)
        raise StoryError(f"the server is not ready after {_START_SECONDS:.0f} s; its log is {self.log}.")

    def check(self) -> None:
        """Whether it still runs.

        Raises:
            StoryError: it ended.
        """
        if self._process is not None and self._process.poll() is not None:
            raise StoryError(
                f"the server ended by itself (exit code {self._process.returncode}); its log is {self.log}."
            )

    def stop(self) -> None:
        """Ends the server, gently first."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _open_lock(self) -> int:
        return os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)


def choose_port(asked: int | None) -> int:
    """The port asked for, else the usual one, else any that is free.

    Raises:
        SetUpError: the port asked for is taken.
    """
    if asked is not None:
        if not _free(asked):
            raise SetUpError(f"port {asked} is taken: name another one, or leave --port out.")
        return asked
    if _free(USUAL_PORT):
        return USUAL_PORT
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
