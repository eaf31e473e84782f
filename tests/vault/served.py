"""The whole application, served in the test's own process and loop: what a body's software meets."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from access_log import stored
from access_log.checkpoint import VerifierKey
from access_log.payload import Payload, check_opening
from access_log.receipt import VerifiedReceipt, verify_receipt
from demo.cast import COURT_CASE
from demo.client import BodyClient
from tests import prepared
from tests.flows.world import Grant, World, joined
from tests.loopback import asking, bound, serving
from vault.problems import TYPE
from vault.server.app import build_app
from vault.server.assembly import set_up
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

NDJSON = "application/x-ndjson"
JSON = "application/json"


@dataclass(frozen=True)
class Served:
    """A served vault with its cast, and a client of the same process."""

    world: World
    http: httpx.AsyncClient

    async def enrol(self, *persons: int) -> None:
        await self.world.enrol(self.http, persons)

    async def court(self, n: int, *fields: str) -> Grant:
        """The court may ask about person `n`, for these fields or the usual ones."""
        if not fields:
            return await self.world.statutory(self.http, n)
        client, player = self.world.client(self.http, "court"), self.world.cast["court"]
        query = {
            "subject": {"scheme": "demo-id", "number": fictitious_identity(n)[0]},
            "purpose": "court-enforcement",
            "fields": list(fields),
            "officer": str(player.officer_id),
            "case_reference": COURT_CASE,
        }
        authorization = self.world.cast.authorization
        details = {"type": "statutory_query", "authorization": str(authorization), "actions": ["read"]}
        return Grant(authorization, client, await client.statutory_token({**details, **query}), query)

    async def bank(self, n: int, max_uses: int = 3) -> Grant:
        """Person `n` has consented to the bank's questions."""
        return await self.world.consented(self.http, n, max_uses)

    async def furnisher(self, code: str = "furnisher", categories: Sequence[str] = ("FIN",)) -> "Furnishing":
        client = self.world.client(self.http, code)
        details = {"type": "record_submission", "categories": list(categories)}
        return Furnishing(self.http, client, await client.statutory_token(details))

    async def inspector(self, case_reference: str = "INSPECTION-7") -> "Inspecting":
        """The inspectorate's officer, in a case of theirs."""
        client = self.world.client(self.http, "inspectorate")
        officer = self.world.cast["inspectorate"].officer_id
        details = {"type": "inspection", "officer": str(officer), "case_reference": case_reference}
        return Inspecting(self.http, client, await client.statutory_token(details))

    async def size(self) -> int:
        """How many entries the log has."""
        log = self.world.log
        async with log.engine.connect() as connection:
            return len(await stored.entries(connection, log.number, 0, 1 << 40))

    def receipt(self, text: str) -> VerifiedReceipt:
        return verify_receipt(text, [VerifierKey.parse(self.world.log.key.verifier_key())])

    def opened(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What the receipt and the opening of an answer prove."""
        return dict(check_opening(self.receipt(answer["receipt"]).entry, answer["opening"]))

    async def payload(self, index: int) -> dict[str, Any]:
        """What the sealed payload of an entry says, as an inspector reads it."""
        log = self.world.log
        async with log.engine.connect() as connection:
            expiry_id, sealed = (
                await connection.execute(
                    text("SELECT expiry_id, sealed FROM access_log.payload WHERE index = :index"),
                    {"index": index},
                )
            ).one()
        opened = await log.sealer.open(index, expiry_id, sealed)
        assert opened is not None
        return dict(Payload.decode(opened).values())


@dataclass(frozen=True)
class Furnishing:
    """A furnisher with a token."""

    http: httpx.AsyncClient
    client: BodyClient
    token: str

    async def submit(
        self, content: Any, media_type: str = NDJSON, *, proof: str | None = None, query: str = ""
    ) -> httpx.Response:
        credentials = self.client.credentials("/v1/records", self.token, proof)
        headers = {"Content-Type": media_type, **credentials}
        return await self.http.post(f"/v1/records?{query}", content=content, headers=headers)

    async def quality(self) -> httpx.Response:
        path = "/v1/records/quality"
        credentials = self.client.credentials(path, self.token, self.client.proof("GET", path, self.token))
        return await self.http.get(path, headers=credentials)

    async def lines(self, *lines: str) -> dict[str, Any]:
        response = await self.submit("\n".join(lines).encode())
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())


@dataclass(frozen=True)
class Inspecting:
    """An inspector with a token."""

    http: httpx.AsyncClient
    client: BodyClient
    token: str

    async def use(self, what: str, *, proof: str | None = None, **asked: Any) -> httpx.Response:
        """One use: `what` is the path below `/v1/inspection/`."""
        path = f"/v1/inspection/{what}"
        credentials = self.client.credentials(path, self.token, proof)
        return await self.http.post(path, json=asked, headers=credentials)

    async def used(self, what: str, **asked: Any) -> dict[str, Any]:
        """The answer to a use that is allowed."""
        response = await self.use(what, **asked)
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())


async def post(http: httpx.AsyncClient, grant: Grant, content: Any, media_type: str = JSON) -> httpx.Response:
    """Sends any body to `/v1/queries` with good credentials."""
    headers = {**grant.client.credentials("/v1/queries", grant.token), "Content-Type": media_type}
    return await http.post("/v1/queries", content=content, headers=headers)


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The problem a response is, which must have every part of one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = json.loads(response.content)
    assert (found["type"], found["status"]) == (TYPE + name, status)
    assert found["title"]
    assert found["detail"]
    return dict(found)


@asynccontextmanager
async def site(settings: Settings, folder: Path) -> AsyncIterator[Served]:
    """Sets a vault up and serves it."""
    assert settings.database_url is not None
    await set_up(settings, settings.database_url)
    async with _served(settings, folder) as served:
        yield served


@asynccontextmanager
async def copied_site(settings: Settings, folder: Path) -> AsyncIterator[Served]:
    """Serves a copy of a vault that was set up before."""
    await prepared.copy(settings, cast=True)
    async with _served(settings, folder) as served:
        yield served


@asynccontextmanager
async def _served(settings: Settings, folder: Path) -> AsyncIterator[Served]:
    """Serves a vault that is set up."""
    port, url = bound()
    async with (
        joined(settings.model_copy(update={"issuer": url}), folder) as world,
        serving(build_app(world.vault), port),
        asking(url) as http,
    ):
        yield Served(world, http)
