"""Everything malformed gets a problem that says what to do, repeats nothing, and leaves the log as it was."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.flows.serving import serving
from tests.flows.world import World, contract
from vault.server.portal.fictitious import fictitious_identity

_MARK = "UNMISTAKABLE"


async def test_bad_queries(world: World, tmp_path: Path) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        number = fictitious_identity(1)[0]
        size = world.log.outside.read().size
        wrong = number[:-1] + ("0" if number[-1] != "0" else "1")
        changes: Any
        for changes in (
            {"subject": {"scheme": "demo-id", "number": wrong}},
            {"subject": {"scheme": "demo-id", "number": _MARK}},
            {"subject": {"scheme": "cn-ric", "number": number}},
            {"subject": {"scheme": "other", "number": number}},
            {"subject": number},
            {"subject": {"scheme": "demo-id"}},
            {"purpose": 7},
            {"purpose": _MARK},
            {"fields": []},
            {"fields": ["FIN"]},
            {"fields": [_MARK]},
            {"fields": ["FIN.type"] * 201},
            {"officer": _MARK},
            {"case_reference": ""},
            {"case_reference": "a\u0000b"},
            {"case_reference": "x" * 201},
            {_MARK: _MARK},
        ):
            _is_problem(await court.ask(**changes), 400, "invalid-request", number)
        for content, media_type, status, name in (
            (b"{", "application/json", 400, "invalid-request"),
            (b"[]", "application/json", 400, "invalid-request"),
            (b"\xff\xfe", "application/json", 400, "invalid-request"),
            (b"[" * 5000, "application/json", 400, "invalid-request"),
            (b"", "application/json", 400, "invalid-request"),
            (json.dumps(court.query).encode(), "text/plain", 415, "media-type"),
            (b"x" * 70_000, "application/json", 413, "too-large"),
        ):
            _is_problem(await _post(http, court, content, media_type), status, name, number)
        _is_problem(await _post(http, court, _chunks(), "application/json"), 413, "too-large", number)
        _is_problem(await court.ask(idempotency_key=""), 400, "invalid-request", number)
        _is_problem(await court.ask(idempotency_key="x" * 300), 400, "invalid-request", number)
        for method, path, status, name in (
            ("GET", "/v1/queries", 405, "method-not-allowed"),
            ("DELETE", "/v1/records", 405, "method-not-allowed"),
            ("GET", "/v1/nothing", 404, "not-found"),
            ("GET", "/log/tile/0/999", 404, "not-found"),
            ("GET", "/log/tile/9/000", 404, "not-found"),
            ("GET", "/log/tile/entries/x000/000", 404, "not-found"),
        ):
            _is_problem(await http.request(method, path), status, name, number)
        assert world.log.outside.read().size == size


async def test_bad_records(world: World, tmp_path: Path) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        good = contract(1)
        future = json.loads(contract(2)) | {
            "document": {"number": "D", "date": "2999-01-01", "sha256": "0" * 64}
        }
        unknown = json.loads(contract(3)) | {_MARK: 1}
        other = contract(1, type="housing")
        lines = [
            good,
            "{broken",
            json.dumps(future),
            json.dumps(unknown),
            other,
            good,
            contract(4, score="1"),
            "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
        ]
        answer = (await world.submit(http, lines)).json()
        assert (answer["enrolled"], answer["standing"], answer["rejected"]) == (1, 1, 6)
        assert [one["line"] for one in answer["rejects"]] == [2, 3, 4, 5, 7, 8]
        assert next(one["rule"] for one in answer["rejects"] if one["line"] == 5) == "7.1"
        assert _MARK not in json.dumps(answer["rejects"])
        again = (await world.submit(http, [good])).json()
        assert (again["enrolled"], again["standing"], again["rejected"]) == (0, 1, 0)
        refused = world.client(http, "bank")
        token = await _token(refused)
        assert token is None


async def _token(client: Any) -> str | None:
    """A body without the capacity to furnish obtains no token for it."""
    try:
        return str(await client.statutory_token({"type": "record_submission", "categories": ["FIN"]}))
    except Exception:  # noqa: BLE001 -- the error code is OAuth's business
        return None


async def _post(http: httpx.AsyncClient, grant: Any, content: Any, media_type: str) -> httpx.Response:
    headers = {**grant.client.credentials("/v1/queries", grant.token), "Content-Type": media_type}
    return await http.post("/v1/queries", content=content, headers=headers)


async def _chunks() -> AsyncIterator[bytes]:
    """A body without a declared length that never seems to end."""
    for _ in range(200):
        yield b" " * 1000


def _is_problem(response: httpx.Response, status: int, name: str, number: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["type"] == f"urn:creditvault:problem:{name}"
    assert body["detail"]
    assert number not in response.text
    assert _MARK not in response.text
