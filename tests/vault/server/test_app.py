"""The application as a whole: its description, its health, its numbers."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.vault.served import Served, problem
from vault.problems import ALL

pytestmark = pytest.mark.asyncio(loop_scope="module")

Document = dict[str, Any]
_OPEN = ("/v1/bodies", "/v1/catalogue", "/v1/consent-keys", "/v1/consent-record-schema", "/v1/registers")
"""Routes of the API that need no token; registrars sign what they hand in."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(shared: Served) -> Document:
    response = await shared.http.get("/openapi.json")
    assert response.status_code == 200
    return dict(response.json())


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def validate(document: Document, schema: object, value: object) -> None:
    """Holds a value against a schema of the document, which references resolve against."""
    jsonschema_rs.validate({**document, "allOf": [schema]}, value)


# ── The description ──────────────────────────────────────────────────────────────────────────────


async def test_every_reference_leads_somewhere(document: Document) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        at: Any = document
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]
        assert isinstance(at, dict)


async def test_nothing_is_described_that_is_never_used(document: Document) -> None:
    used = {reference.rpartition("/")[2] for reference in references(document)}
    assert set(document["components"]["schemas"]) == used


async def test_every_operation_is_told_apart_and_tagged(document: Document) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for _, path, operation in operations(document):
        assert set(operation["tags"]) <= tags, path
        assert operation["summary"], path


async def test_every_protected_operation_names_what_it_needs(document: Document) -> None:
    for _, path, operation in operations(document):
        if path.startswith("/v1/") and not path.startswith(_OPEN):
            (requirement,) = operation["security"]
            assert set(requirement) <= set(document["components"]["securitySchemes"]), path
            assert "401" in operation["responses"]


async def test_who_asks_is_answered_before_what_they_sent(shared: Served, document: Document) -> None:
    """Nobody without credentials learns how a request of those who have them must look."""
    protected = [
        (method, path, operation)
        for method, path, operation in operations(document)
        if operation.get("security")
    ]
    assert {path.split("/")[2] for _, path, _ in protected} == {
        "queries", "records", "inspection", "desk", "me",
    }  # fmt: skip
    too_much = "9" * 400  # as an index, an identifier, a truth value and a log's name alike
    for method, path, operation in protected:
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        url = re.sub(r"{\w+}", too_much, path) + "?" + "&".join(f"{name}={too_much}" for name in names)
        for media_type, content in (
            ("application/json", b""),
            ("application/json", b"{"),
            ("application/json", b"[7]"),
            ("application/json", b"\xff"),
            ("text/plain", b"{}"),
        ):
            headers = {"Content-Type": media_type}
            response = await shared.http.request(method, url, content=content, headers=headers)
            assert response.status_code == 401, (method, url, media_type, content)
            assert response.headers["www-authenticate"]


async def test_problems_are_described_as_they_are_sent(document: Document) -> None:
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and not path.startswith("/oauth"):
                assert list(response["content"]) == ["application/problem+json"], path
        assert "HTTPValidationError" not in json.dumps(operation)


async def test_every_operation_of_the_api_has_examples_that_are_valid(document: Document) -> None:
    for method, path, operation in operations(document):
        if not path.startswith("/v1/"):
            continue
        answered = operation["responses"]["200"]["content"]
        contents = [content for media_type, content in answered.items() if media_type.endswith("json")]
        if "requestBody" in operation:
            contents.append(operation["requestBody"]["content"]["application/json"])
        for content in contents:
            found = list(examples(document, content))
            assert found, (method, path)
            for example in found:
                validate(document, content["schema"], example)


def examples(document: Document, content: Document) -> Iterator[object]:
    if "example" in content:
        yield content["example"]
    yield from content.get("examples", {}).values()
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("examples", ())


async def test_the_answers_are_as_described(shared: Served, document: Document) -> None:
    court = await shared.court(1)
    described = document["paths"]["/v1/queries"]["post"]["responses"]
    for response in (
        await court.ask(),
        await court.ask(purpose="credit-granting"),
        await court.ask(purpose=7),
        await shared.http.post("/v1/queries"),
    ):
        (content,) = described[str(response.status_code)]["content"].items()
        assert response.headers["content-type"] == content[0]
        validate(document, content[1]["schema"], response.json())
    furnisher = await shared.furnisher()
    answer = await furnisher.lines("{")
    schema = document["paths"]["/v1/records"]["post"]["responses"]["200"]["content"]["application/json"]
    validate(document, schema["schema"], answer)


async def test_every_problem_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "problems.md").read_text()
    assert [one.name for one in ALL if one.name not in page] == []


async def test_there_are_no_interactive_pages(shared: Served) -> None:
    """They would load scripts from elsewhere."""
    for path in ("/docs", "/redoc"):
        problem(await shared.http.get(path), 404, "not-found")


# ── Health and numbers ───────────────────────────────────────────────────────────────────────────


async def test_it_lives_and_is_ready(shared: Served) -> None:
    for path in ("/healthz", "/readyz"):
        response = await shared.http.get(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")


async def test_it_is_not_ready_while_the_log_is_halted(shared: Served) -> None:
    court, log = await shared.court(1), shared.world.log
    away = log.outside.path.rename(log.outside.path.with_suffix(".away"))
    problem(await court.ask(), 503, "unavailable")
    response = await shared.http.get("/readyz")
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "5"
    assert (await shared.http.get("/healthz")).status_code == 200
    problem(await court.ask(), 503, "unavailable")
    problem(await shared.http.get("/log/checkpoint"), 503, "unavailable")
    away.rename(log.outside.path)
    # No query is sent to it: asking is what brings it back, once the pause after the last try is over.
    async with asyncio.timeout(30):
        running = log.running
        while (await shared.http.get("/readyz")).status_code != 200:
            assert not running, "it ran already when it was asked"
            running = log.running
    assert (await court.ask()).status_code == 200


async def test_it_is_not_ready_without_keys(shared: Served) -> None:
    court, path = await shared.court(1), shared.world.settings.keyring_path
    before = await shared.size()
    away = path.rename(path.with_suffix(".away"))
    problem(await court.ask(), 503, "unavailable")
    problem(await shared.http.get("/readyz"), 503, "unavailable")
    away.rename(path)
    assert await shared.size() == before
    assert (await court.ask()).status_code == 200
    assert (await shared.http.get("/readyz")).status_code == 200


async def test_numbers_count_routes_and_name_nobody(shared: Served) -> None:
    def counts(text: str) -> dict[tuple[str, str], float]:
        return {
            (sample.labels["route"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "creditvault_http_requests_total"
        }

    court = await shared.court(1)
    before = counts((await shared.http.get("/metrics")).text)
    await court.ask()
    await court.ask(purpose="credit-granting")
    await shared.http.get("/log/tile/entries/000.p/1")
    await shared.http.get(f"/log/tile/{court.query['subject']['number']}")
    response = await shared.http.get("/metrics")
    after = counts(response.text)
    for place in (
        ("/v1/queries", "200"),
        ("/v1/queries", "403"),
        ("/log/tile/{path:path}", "200"),
        ("/log/tile/{path:path}", "404"),
    ):
        assert after[place] == before.get(place, 0) + 1
    assert response.headers["content-type"].startswith("text/plain")
    assert re.search(r'creditvault_furnished_records_total{became="enrolled"} [3-9]', response.text)
    assert 'creditvault_expiring_soon{kind="authorization"} 0.0' in response.text
    for value in (court.query["subject"]["number"], str(shared.world.cast["court"].body_id)):
        assert value not in response.text
