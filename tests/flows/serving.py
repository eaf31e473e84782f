"""The product's server as processes of its own: started, spoken to, killed, started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Protocol

import httpx
from structlog.testing import capture_logs

from tests.loopback import asking
from vault.server.app import build_app
from vault.server.assembly import Vault
from vault.server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SERVE = (str(Path(sys.executable).with_name("creditvault")), "serve")
_STARTS_WITHIN = 40.0
_STOPS_WITHIN = 20.0


class ServerFailedError(Exception):
    """The server did not become ready; the text is the end of its log."""


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def at_port(settings: Settings, port: int) -> Settings:
    """The same vault, served at this port of the loopback."""
    return settings.model_copy(update={"port": port, "issuer": f"http://127.0.0.1:{port}"})


def environment(settings: Settings) -> dict[str, str]:
    """The environment an operator would set for these settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set | {"port", "issuer"}}
    ours = {f"CREDITVAULT_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDITVAULT_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **ours}


class Process(Protocol):
    """A process that runs, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end."""


class Server:
    """One server: a process, or as many as it has workers.

    Args:
        settings: what it serves, and where.
        output: the file its standard output and error are appended to, over every start.
        workers: processes it serves with.
    """

    def __init__(self, settings: Settings, output: Path, *, workers: int = 1) -> None:
        self.settings = settings
        self.output = output
        self.url = settings.issuer
        self._workers = workers
        self._process: Process | None = None

    async def start(self, command: Sequence[str] = SERVE) -> None:
        """Starts it and waits until it can serve queries.

        Raises:
            ServerFailedError: it ended, or was not ready in time.
        """
        self.launch(command)
        await self.ready()

    async def ready(self) -> None:
        """Waits until it can serve queries.

        Raises:
            ServerFailedError: it ended, or was not ready in time.
        """
        async with self.http() as http:
            deadline = time.monotonic() + _STARTS_WITHIN
            while not await _ready(http):
                if self.exit_code() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise ServerFailedError(self.said()[-2000:])
                await asyncio.sleep(0.05)

    def launch(self, command: Sequence[str] = SERVE) -> None:
        """Starts it and waits for nothing."""
        with self.output.open("ab") as output:
            self._process = self._begin([*command, "--workers", str(self._workers)], output)

    def _begin(self, command: Sequence[str], output: IO[bytes]) -> Process:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a kill reaches every worker, and nobody else
        )

    @property
    def pid(self) -> int:
        """The process, or the parent of the workers."""
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    async def ended(self) -> int:
        """Waits for its end, which something else brings about."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, _STOPS_WITHIN)

    def kill(self) -> None:
        """kill -9, every worker included."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end."""
        self._signal(signal.SIGTERM)

    def said(self) -> str:
        """What it wrote so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def http(self) -> httpx.AsyncClient:
        """A client of this server, and of nothing else."""
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        return asking(self.url, limits=limits)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            # Its own session: the group is the server and its workers.
            os.killpg(process.pid, number)
            try:
                process.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(_STOPS_WITHIN)
                raise


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@asynccontextmanager
async def serving(settings: Settings, output: Path, *, workers: int = 1) -> AsyncIterator[Server]:
    """A running server; whatever became of it, nothing of it runs afterwards."""
    server = Server(settings, output, workers=workers)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def in_this_process(vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same application in this process, where a test can reach behind it."""
    transport = httpx.ASGITransport(build_app(vault), raise_app_exceptions=False)
    # Its log is kept from the terminal, where every error would come with a picture of its surroundings.
    with capture_logs():
        async with httpx.AsyncClient(transport=transport, base_url=vault.settings.issuer) as http:
            yield http
