"""Serving: one worker in this process, or several processes on one socket under a small supervisor.

python -m vault.server.serve FD      is one such process; the supervisor starts it
"""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import FrameType

import structlog
import uvicorn
import uvloop

from vault.server.app import build_app
from vault.server.assembly import open_vault
from vault.server.database import check_schema, database_urls
from vault.server.logging import configure
from vault.server.settings import Settings

_BACKLOG = 2048
_GRACE_SECONDS = 10
_RESTART_SECONDS = 1.0
_events = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps the server from starting, and what to do.
    """
    configure(settings.log_level)
    with database_urls(settings) as urls, _listen(settings) as listening:
        check_schema(urls.application)
        if settings.workers == 1:
            run_worker(settings, urls.application, listening)
            return 0
        environment = {
            **os.environ,
            **_as_environment(settings),
            "CREDITVAULT_DATABASE_URL": urls.application,
        }
        return _Supervisor(settings.workers, listening, environment).run()


def run_worker(settings: Settings, database_url: str, listening: socket.socket) -> None:
    """One worker: opens the vault and serves the socket until it is told to stop."""
    uvloop.run(_serve(settings, database_url, listening))


async def _serve(settings: Settings, database_url: str, listening: socket.socket) -> None:
    async with open_vault(settings, database_url) as vault:
        config = uvicorn.Config(
            build_app(vault),
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        # What is loaded now stays: without it, full collections walk all of it and cost 100 ms each.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        _events.info("worker_started", pid=os.getpid())
        await uvicorn.Server(config).serve(sockets=[listening])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"{settings.host}:{settings.port} cannot be listened on ({os.strerror(error.errno or 0)}): "
            "stop what uses it, or choose another with --port",
        ) from None
    listening.listen(_BACKLOG)
    return listening


def _as_environment(settings: Settings) -> dict[str, str]:
    """The settings a worker cannot read from this process's environment, because options changed them."""
    return {
        "CREDITVAULT_HOST": settings.host,
        "CREDITVAULT_PORT": str(settings.port),
        "CREDITVAULT_WORKERS": "1",
        "CREDITVAULT_HOME": str(settings.home),
        "CREDITVAULT_ISSUER": settings.issuer,
    }


class _Supervisor:
    """Keeps `count` workers alive on one socket; one that dies is replaced."""

    def __init__(self, count: int, listening: socket.socket, environment: Mapping[str, str]) -> None:
        self._listening = listening
        self._environment = environment
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopping = False
        self._count = count

    def run(self) -> int:
        """Runs until a signal, or until the workers cannot even start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._workers = [self._start() for _ in range(self._count)]
        while not self._stopping:
            time.sleep(0.1)
            for place, worker in enumerate(self._workers):
                code = worker.poll()
                if code is None or self._stopping:
                    continue
                _events.error("worker_died", pid=worker.pid, code=code)
                if code == 2:  # noqa: PLR2004 -- it said why: another start would end the same way
                    self._stop(signal.SIGTERM, None)
                    break
                time.sleep(_RESTART_SECONDS)
                self._workers[place] = self._start()
        codes = [self._wait(worker) for worker in self._workers]
        return max(
            (abs(code) for code in codes if code not in (0, -signal.SIGTERM, -signal.SIGINT)), default=0
        )

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listening.fileno()
        return subprocess.Popen(  # noqa: S603 -- our own module
            [sys.executable, "-m", "vault.server.serve", str(descriptor)],
            pass_fds=[descriptor],
            env=dict(self._environment),
        )

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.terminate()

    @staticmethod
    def _wait(worker: subprocess.Popen[bytes]) -> int:
        try:
            return worker.wait(_GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            worker.kill()
            return worker.wait()


def main() -> None:
    """One worker process on an inherited socket."""
    settings = Settings()
    configure(settings.log_level)
    if settings.database_url is None:
        sys.exit("a worker process is started by `creditvault serve`")
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        run_worker(settings, settings.database_url, listening)


if __name__ == "__main__":
    main()
