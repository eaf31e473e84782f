"""A load generator that costs little: prepared requests over plain HTTP/1.1 connections."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of requests took.

    Attributes:
        rate: answers a second.
        p50: median latency in ms.
        p99: 99th percentile in ms.
        failed: answers other than 200.
    """

    rate: float
    p50: float
    p99: float
    failed: int


class _Connection(asyncio.Protocol):
    """Sends one request after the other; knows just enough of HTTP to find the end of an answer."""

    def __init__(self, requests: "_Queue", done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._buffer = b""
        self._started = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().index(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._requests.answered(time.perf_counter() - self._started, good=head[9:12] == b"200")
        self._buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        assert self._transport is not None
        request = self._requests.next()
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(request)


class _Queue:
    def __init__(self, requests: Sequence[bytes]) -> None:
        self._waiting = iter(requests)
        self.seconds: list[float] = []
        self.failed = 0

    def next(self) -> bytes | None:
        return next(self._waiting, None)

    def answered(self, seconds: float, *, good: bool) -> None:
        self.seconds.append(seconds)
        self.failed += not good


async def run(host: str, port: int, requests: Sequence[bytes], concurrency: int) -> Load:
    """Sends every request once over `concurrency` connections."""
    loop = asyncio.get_running_loop()
    queue = _Queue(requests)
    started = time.perf_counter()
    ends = []
    for _ in range(concurrency):
        done: asyncio.Future[None] = loop.create_future()
        ends.append(done)
        await loop.create_connection(lambda done=done: _Connection(queue, done), host, port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    rate = len(requests) / (time.perf_counter() - started)
    ordered = sorted(queue.seconds)
    return Load(
        rate=rate,
        p50=ordered[len(ordered) // 2] * 1000,
        p99=ordered[int(len(ordered) * 0.99)] * 1000,
        failed=queue.failed,
    )


def post(
    host: str, path: str, headers: dict[str, str], body: bytes, media_type: str = "application/json"
) -> bytes:
    """One prepared POST request."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {len(body)}",
        f"Content-Type: {media_type}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
