"""An ASGI application on a real loopback port, in the test's own process and loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


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
