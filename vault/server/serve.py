"""Serving: one worker in this process, or several processes on one socket under a supervisor."""

import asyncio
import os
import socket
import sys
import tempfile

import structlog
import uvicorn
import uvloop

from vault.server import collecting
from vault.server.app import build_app
from vault.server.assembly import open_vault
from vault.server.database import check_schema, database_urls
from vault.server.listening import Server, listen
from vault.server.logging import configure
from vault.server.settings import SHARED_COUNTS, Settings
from vault.server.supervisor import Supervisor

_GRACE_SECONDS = 10
_events = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then ends in order.

    Raises:
        VaultError, CryptoError, AccessLogError: what keeps the server from starting, and what to do.
        OSError: the address cannot be listened on.
    """
    configure(settings.log_level)
    with database_urls(settings) as urls, listen(settings.host, settings.port) as listening:
        check_schema(urls.application)
        if settings.workers == 1:
            uvloop.run(_serve(settings, urls.application, listening))
            return
        # What keeps a worker from starting is said here, once, and not by each of them for ever.
        asyncio.run(_open_and_close(settings, urls.application))
        # The counts of a worker that died stay in the folder, so that no sum falls back.
        with tempfile.TemporaryDirectory(prefix="creditvault-counts-") as counts:
            supervisor = Supervisor(
                [sys.executable, "-m", "vault.server.cli", "serve", "--fd", str(listening.fileno())],
                settings.workers,
                descriptor=listening.fileno(),
                environment={
                    **os.environ,
                    **_as_environment(settings),
                    "CREDITVAULT_DATABASE_URL": urls.application,
                    SHARED_COUNTS: counts,
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
            # Without proxies named nobody's X-Forwarded-For is believed; scheme and host never come from it.
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=settings.proxies,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = Server(config)
        watching = asyncio.create_task(vault.token_keys.watch(vault.profile.keys, vault.protection))
        if supervised:
            server.end_with_supervisor()
        collecting.settle()
        _events.info("worker_started", pid=os.getpid(), host=settings.host, port=settings.port)
        try:
            await server.serve(sockets=[listening])
        finally:
            watching.cancel()
        _events.info("worker_stopped", pid=os.getpid())


async def _open_and_close(settings: Settings, database_url: str) -> None:
    async with open_vault(settings, database_url):
        pass


def _as_environment(settings: Settings) -> dict[str, str]:
    """The settings a worker cannot read from this process's environment, because options changed them."""
    return {
        "CREDITVAULT_HOST": settings.host,
        "CREDITVAULT_PORT": str(settings.port),
        "CREDITVAULT_WORKERS": "1",
        "CREDITVAULT_ISSUER": settings.issuer,
    }
