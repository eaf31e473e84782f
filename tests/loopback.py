"""An ASGI application on a real loopback port, in the test's own process and loop."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: to read what the system trusts takes longer than most tests."""


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


def bound() -> tuple[socket.socket, str]:
    """A socket on a free loopback port, and the URL of whoever will serve there."""
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    return port, f"http://127.0.0.1:{port.getsockname()[1]}"


def asking(url: str, *, timeout: float = 30, **options: Any) -> httpx.AsyncClient:
    """A client of whoever serves there, by http alone."""
    return httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=_NO_TLS, **options)


@asynccontextmanager
async def serving(app: Any, port: socket.socket) -> AsyncIterator[None]:
    """The application, for as long as the block lasts."""
    server = _Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    task = asyncio.create_task(server.serve(sockets=[port]))
    try:
        await server.is_up.wait()
        yield
    finally:
        server.should_exit = True
        await task
