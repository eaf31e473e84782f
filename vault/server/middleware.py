"""What every request passes: a request id, a limit on its body, a count, and headers that keep it private."""

import time
from collections.abc import Iterable
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vault.problems import TOO_LARGE, internal, problem_response

REQUESTS = Counter("creditvault_http_requests", "Requests by route and status.", ["route", "status"])
SECONDS = Histogram(
    "creditvault_http_seconds",
    "Seconds to the end of the answer.",
    ["route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_MOST_DIGITS = 18
_NO_ANSWER = 499  # the client went away, or the server stopped
_events = structlog.get_logger()


class RequestBoundary:
    """Pure ASGI: no task and no queue of its own, since it stands on the path of every query.

    Args:
        app: what it wraps.
        max_body: largest body in bytes.
        max_batch_body: the same for `batch_paths`.
        batch_paths: paths that take batches.
    """

    def __init__(
        self, app: ASGIApp, *, max_body: int, max_batch_body: int, batch_paths: Iterable[str]
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._max_batch_body = max_batch_body
        self._batch_paths = frozenset(batch_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=str(request_id))
        limit = self._max_batch_body if scope["path"] in self._batch_paths else self._max_body
        started = time.perf_counter()
        answer = _Answer(send, request_id)
        try:
            if _declared_length(scope) > limit:
                too_large = problem_response(TOO_LARGE, f"The limit is {limit} bytes.")
                await too_large(scope, receive, answer.send)
            else:
                await self._app(scope, _limited(receive, limit), answer.send)
        except Exception as error:
            _events.critical("unforeseen_error", exc_info=error)
            if answer.status is not None:
                raise  # the server breaks the answer off, so that nobody takes it for whole
            await internal()(scope, receive, answer.send)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            status = answer.status or _NO_ANSWER
            seconds = time.perf_counter() - started
            REQUESTS.labels(route, status).inc()
            SECONDS.labels(route).observe(seconds)
            _events.info("request_served", route=route, status=status, ms=round(seconds * 1000, 1))


class _Answer:
    """One answer on its way out; `status` is None until it has begun."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: UUID) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Sends a part of it, with the headers every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            headers.extend(pair for pair in _HEADERS if pair[0] not in present)
            headers.append((b"x-request-id", str(self._request_id).encode()))
        await self._send(message)


def _limited(receive: Receive, limit: int) -> Receive:
    """Receives a body of at most `limit` bytes, whatever length was declared."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(TOO_LARGE.status)
        return message

    return receive_limited


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # What has more digits than any limit is not worth being read.
            return int(value[:_MOST_DIGITS]) if value.isdigit() else 0
    return 0
