"""Serving: one worker in this process, or several processes on one socket under a supervisor."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop

from vault.server.app import build_app
from vault.server.assembly import open_vault
from vault.server.database import check_schema, database_urls
from vault.server.logging import configure
from vault.server.settings import Settings
from vault.server.supervisor import Supervisor

_BACKLOG = 2048
_GRACE_SECONDS = 10
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STANDARD_INPUT = 0
_events = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then ends in order.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps the server from starting, and what to do.
        OSError: the address cannot be listened on.
    """
    configure(settings.log_level)
    with database_urls(settings) as urls, _listen(settings) as listening:
        check_schema(urls.application)
        if settings.workers == 1:
            uvloop.run(_serve(settings, urls.application, listening))
            return
        # What keeps a worker from starting is said here, once, and not by each of them for ever.
        asyncio.run(_open_and_close(settings, urls.application))
        supervisor = Supervisor(
            [sys.executable, "-m", "vault.server.cli", "serve", "--fd", str(listening.fileno())],
            settings.workers,
            descriptor=listening.fileno(),
            environment={
                **os.environ,
                **_as_environment(settings),
                "CREDITVAULT_DATABASE_URL": urls.application,
            },
        )
        asyncio.run(supervisor.run())


def serve_inherited(settings: Settings, descriptor: int) -> None:
    """Serves a socket inherited from a supervisor, for as long as that one holds our standard input open.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps the server from starting, and what to do.
        OSError: the descriptor is no socket.
    """
    configure(settings.log_level)
    with database_urls(settings) as urls, socket.socket(fileno=descriptor) as listening:
        uvloop.run(_serve(settings, urls.application, listening, supervised=True))


class _Server(uvicorn.Server):
    """Returns on a signal instead of dying of it, so that vault and database are closed after it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Lets signals end the server."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def end_with_supervisor(self) -> None:
        """Ends the server once the supervisor's end of our standard input is closed, however it ended."""

        def read() -> None:
            if not os.read(_STANDARD_INPUT, 1):
                asyncio.get_running_loop().remove_reader(_STANDARD_INPUT)
                self.should_exit = True

        asyncio.get_running_loop().add_reader(_STANDARD_INPUT, read)


async def _serve(
    settings: Settings, database_url: str, listening: socket.socket, *, supervised: bool = False
) -> None:
    async with open_vault(settings, database_url) as vault:
        config = uvicorn.Config(
            build_app(vault),
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config)
        if supervised:
            server.end_with_supervisor()
        # What is loaded now stays: without it, full collections walk all of it and cost 100 ms each.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        _events.info("worker_started", pid=os.getpid(), host=settings.host, port=settings.port)
        await server.serve(sockets=[listening])
        _events.info("worker_stopped", pid=os.getpid())


async def _open_and_close(settings: Settings, database_url: str) -> None:
    async with open_vault(settings, database_url):
        pass


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}): "
            "stop what uses it, or choose another with --host and --port",
        ) from None
    return listening


def _as_environment(settings: Settings) -> dict[str, str]:
    """The settings a worker cannot read from this process's environment, because options changed them."""
    return {
        "CREDITVAULT_HOST": settings.host,
        "CREDITVAULT_PORT": str(settings.port),
        "CREDITVAULT_WORKERS": "1",
        "CREDITVAULT_ISSUER": settings.issuer,
    }
