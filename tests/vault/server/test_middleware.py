"""What every request passes, whatever the application behind it does."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from httpx import ASGITransport, AsyncClient
from prometheus_client import REGISTRY
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from access_log.errors import LogStateError, LogUnavailableError, OutsideLockError
from consent.oauth.errors import ProofInvalidError
from consent.oauth.profile import Profile
from consent.oauth.tokens import IssuerKeys
from tests.vault.served import problem
from vault import problems
from vault.crypto.errors import InvalidIdentifierError, ProviderUnavailableError, UnsealError
from vault.problems import add_problem_handlers
from vault.server import middleware
from vault.server.logging import configure
from vault.server.middleware import RequestBoundary

Written = Callable[[], list[dict[str, Any]]]
SECRET = "990000197109070012"
LIMIT = 1000


def application(limit: int = LIMIT) -> FastAPI:
    """Routes that do what they are told, behind the boundary and the handlers of the real application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    profile = Profile("https://vault.example", IssuerKeys.from_seeds([bytes(32)]), None)
    add_problem_handlers(app, profile.protection())

    @app.post("/read/{name}")
    async def read(request: Request, name: str) -> Response:
        return PlainTextResponse(str(len(await request.body())) + name)

    @app.post("/unread")
    async def unread() -> str:
        return "did not look"

    @app.get("/raise")
    async def fail(request: Request) -> Response:
        raise request.app.state.error

    @app.get("/own-headers")
    async def own_headers() -> Response:
        return PlainTextResponse("x", headers={"Cache-Control": "public, max-age=2"})

    @app.get("/breaks-off")
    async def breaks_off() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a part"
            raise RuntimeError(SECRET)

        return StreamingResponse(parts())

    @app.get("/request-id")
    async def request_id(request: Request) -> Response:
        return PlainTextResponse(str(request.state.request_id))

    app.add_middleware(
        RequestBoundary, max_body=limit, max_batch_body=10 * limit, batch_paths=["/read/batch"]
    )
    return app


@pytest.fixture
def app() -> FastAPI:
    return application()


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://vault.test") as client:
        yield client


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """What the operator's log says."""
    stream = StringIO()
    configure("info", stream)
    for module in (middleware, problems):  # their loggers remember an earlier configuration
        monkeypatch.setattr(module, "_events", structlog.get_logger())
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def told_to_raise(error: Exception, http: AsyncClient) -> None:
    transport = http._transport
    assert isinstance(transport, ASGITransport)
    transport.app.state.error = error  # type: ignore[attr-defined]  # it is our application


def counted(route: str, status: int) -> float:
    labels = {"route": route, "status": str(status)}
    return REGISTRY.get_sample_value("creditvault_http_requests_total", labels) or 0.0


def parts_of(content: bytes) -> AsyncIterator[bytes]:
    """A body without a declared length."""

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 100):
            yield content[at : at + 100]

    return parts()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("path", "most"), [("/read/one", LIMIT), ("/read/batch", 10 * LIMIT)])
async def test_a_body_up_to_the_limit(http: AsyncClient, path: str, most: int, declared: bool) -> None:  # noqa: FBT001 -- one of the cases
    for size, status in ((0, 200), (most, 200), (most + 1, 413), (3 * most, 413)):
        content = b"x" * size
        response = await http.post(path, content=content if declared else parts_of(content))
        if status == 200:
            assert response.text == str(size) + path.rpartition("/")[2]
        else:
            problem(response, 413, "too-large")
        assert UUID(response.headers["x-request-id"])


async def test_a_declared_length_beyond_the_limit_is_not_waited_for(http: AsyncClient) -> None:
    """The first bytes of the declaration are enough, also where the route would not read the body."""

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    for path in ("/read/one", "/unread", "/nowhere"):
        request = http.build_request("POST", path, content=never(), headers={"Content-Length": "1001"})
        problem(await http.send(request), 413, "too-large")


@pytest.mark.parametrize("declared", ["-1", "x", "", "1e9", "9" * 5000, "\u0661"])
async def test_a_length_that_is_none(http: AsyncClient, declared: str) -> None:
    """A server would refuse it; should one not, the body is counted as it comes."""
    request = http.build_request("POST", "/read/one", content=parts_of(b"x" * 2000))
    request.headers.raw.append((b"Content-Length", declared.encode()))
    request.headers = type(request.headers)([*request.headers.raw, (b"content-length", declared.encode())])
    problem(await http.send(request), 413, "too-large")


async def test_headers_are_added_and_none_replaced(http: AsyncClient) -> None:
    response = await http.get("/own-headers")
    assert response.headers.get_list("cache-control") == ["public, max-age=2"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_a_request_id_of_the_clients_is_not_taken_over(http: AsyncClient) -> None:
    response = await http.get("/request-id", headers={"X-Request-Id": SECRET})
    assert response.text == response.headers["x-request-id"] != SECRET
    assert UUID(response.text).version == 4


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ProofInvalidError("Make a new one."), 401, "unauthenticated"),
        (InvalidIdentifierError("demo-id", "check-digit", "one digit is wrong"), 400, "invalid-request"),
        (LogUnavailableError(SECRET), 503, "unavailable"),
        (LogStateError(SECRET), 503, "unavailable"),
        (OutsideLockError(SECRET), 503, "unavailable"),
        (ProviderUnavailableError(SECRET), 503, "unavailable"),
        (UnsealError(SECRET), 503, "unavailable"),
        (OperationalError("SELECT", {"number": SECRET}, Exception(SECRET)), 503, "unavailable"),
        (HTTPException(404, SECRET), 404, "not-found"),
        (HTTPException(418, SECRET), 400, "invalid-request"),
        (RuntimeError(SECRET), 500, "internal"),
        (KeyError(SECRET), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_every_error_is_a_problem_that_repeats_nothing(
    http: AsyncClient, written: Written, error: Exception, status: int, name: str
) -> None:
    told_to_raise(error, http)
    before = counted("/raise", status)
    response = await http.get("/raise")
    problem(response, status, name)
    assert SECRET not in response.text
    assert UUID(response.headers["x-request-id"])
    assert response.headers["cache-control"] == "no-store"
    assert counted("/raise", status) == before + 1
    lines = written()
    assert SECRET not in json.dumps(lines)
    assert (lines[-1]["event"], lines[-1]["status"]) == ("request_served", status)
    assert {line["request_id"] for line in lines} == {response.headers["x-request-id"]}
    if status >= 500:
        (told,) = [line for line in lines if "exception" in line]
        assert told["level"] in {"error", "critical"}
        assert told["frames"]


async def test_an_answer_that_breaks_off_is_counted_and_told(http: AsyncClient, written: Written) -> None:
    before = counted("/breaks-off", 200)
    response = await http.get("/breaks-off")
    assert response.status_code == 200
    assert counted("/breaks-off", 200) == before + 1
    lines = written()
    assert SECRET not in json.dumps(lines)
    assert [line["event"] for line in lines] == ["unforeseen_error", "request_served"]


async def test_paths_never_become_labels_or_lines(http: AsyncClient, written: Written) -> None:
    """A route is named by its pattern: what stands in its place may be anything."""
    before = counted("/read/{name}", 200)
    await http.post(f"/read/{SECRET}")
    await http.get(f"/{SECRET}?{SECRET}")
    assert counted("/read/{name}", 200) == before + 1
    assert SECRET not in json.dumps(written())
    assert [line["route"] for line in written()] == ["/read/{name}", "unknown"]


async def test_two_requests_do_not_share_what_is_logged(http: AsyncClient, written: Written) -> None:
    ids = [(await http.get("/request-id")).text for _ in range(3)]
    assert len(set(ids)) == 3
    assert [line["request_id"] for line in written()] == ids
