"""How this package's servers listen, and how they end."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

_BACKLOG = 2048
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STANDARD_INPUT = 0


class Server(uvicorn.Server):
    """Returns on a signal instead of dying of it, so that what is open is closed after it."""

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


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address cannot be listened on; the text says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"{host}:{port} cannot be listened on ({error.strerror}): "
            "stop what uses it, or choose another with --host and --port",
        ) from None
    return listening
