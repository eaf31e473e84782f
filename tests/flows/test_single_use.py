"""What serves once serves once: 24 uses at the same moment, on two workers, again and again.

`CREDITVAULT_RACES=200` repeats each race so often; without it there are as many as a usual run has time for.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from demo.browser import Browser, Page
from demo.cast import REDIRECT_URI
from demo.client import BodyClient, Pushed
from tests.flows.audit import check_uses, check_whole
from tests.flows.serving import Server, serving
from tests.flows.world import FIELDS, World
from vault.server.portal.fictitious import fictitious_identity

RACES = int(os.environ.get("CREDITVAULT_RACES", "10"))
PARALLEL = 24
PERSON = 2
CONSENTED = {
    "type": "consented_query",
    "purpose": "credit-granting",
    "fields": list(FIELDS),
    "mode": "view",
    "validity": 30,
    "max_uses": 3,
}


@dataclass
class Races:
    """Two workers, everybody who races at them, and what came of it."""

    world: World
    http: httpx.AsyncClient
    person: httpx.AsyncClient
    won: Counter[str]

    def __post_init__(self) -> None:
        self.bank = self.world.client(self.http, "bank")
        self.furnisher = self.world.client(self.http, "furnisher")

    async def race(
        self, name: str, good: int, bad: int, uses: Iterable[Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """All at once; returns the answer of the one that won."""
        answers = await asyncio.gather(*uses)
        # Beyond the limit of failed authentications what fails is 429; what is good is heard all the same.
        statuses = Counter(bad if answer.status_code == 429 else answer.status_code for answer in answers)
        assert statuses == {good: 1, bad: PARALLEL - 1}, (name, [answer.text for answer in answers])
        self.won[name] += 1
        return next(answer for answer in answers if answer.status_code == good)

    async def token(
        self,
        body: BodyClient,
        form: dict[str, str],
        *,
        assertion: str | None = None,
        proof: str | None = None,
    ) -> httpx.Response:
        """Asks the token endpoint with what is given, and the rest new."""
        authenticated = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or body.assertion(),
        }
        headers = {"DPoP": proof or body.proof("POST", "/oauth/token")}
        return await self.http.post("/oauth/token", data=form | authenticated, headers=headers)

    async def assertion(self) -> None:
        one = self.furnisher.assertion()
        await self.race(
            "assertion", 200, 400, (self.token(self.furnisher, OWN, assertion=one) for _ in range(PARALLEL))
        )

    async def proof(self) -> None:
        one = self.furnisher.proof("POST", "/oauth/token")
        await self.race(
            "proof", 200, 400, (self.token(self.furnisher, OWN, proof=one) for _ in range(PARALLEL))
        )

    async def proof_of_a_query(self) -> None:
        court = await self.world.statutory(self.http, 1)
        one = court.client.proof("POST", "/v1/queries", court.token)
        await self.race("proof of a query", 200, 401, (court.ask(proof=one) for _ in range(PARALLEL)))

    async def request_and_code(self) -> None:
        pushed = await self.bank.push(CONSENTED, REDIRECT_URI)
        page = await self.signed_in(pushed)
        sent = await self.race("request_uri", 303, 400, (self.decide(page) for _ in range(PARALLEL)))
        (code,) = parse_qs(urlsplit(sent.headers["location"]).query)["code"]
        await self.race("code", 200, 400, (self.exchange(pushed, code) for _ in range(PARALLEL)))

    async def signed_in(self, pushed: Pushed) -> Page:
        """The consent page, after a sign-in of just now: an old one would not do to grant."""
        number, _ = fictitious_identity(PERSON)
        async with Browser(str(self.http.base_url).rstrip("/")) as browser:
            page = await browser.open(pushed.url)
            page = await browser.send(page, page.form_with("number"), fill={"number": number})
            self.person.cookies = browser._http.cookies
        return page

    async def exchange(self, pushed: Pushed, code: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": pushed.verifier,
            "redirect_uri": REDIRECT_URI,
        }
        return await self.token(self.bank, form)

    async def decide(self, page: Page) -> httpx.Response:
        form = page.form_with("decision", "fields")
        sent: dict[str, list[str]] = {}
        for name, value in (*form.fields, *form.boxes, ("decision", "grant")):
            sent.setdefault(name, []).append(value)
        return await self.person.post(form.action, data=sent)

    async def last_use(self) -> None:
        grant = await self.world.consented(self.http, PERSON, 1)
        await self.race("last use", 200, 403, (grant.ask() for _ in range(PARALLEL)))


OWN = {
    "grant_type": "client_credentials",
    "authorization_details": json.dumps([{"type": "record_submission", "categories": ["FIN"]}]),
}


@asynccontextmanager
async def racing(world: World, server: Server) -> AsyncIterator[Races]:
    # Connections are let go before the server does: what serves once is not sent a second time.
    limits = httpx.Limits(max_connections=64, keepalive_expiry=1)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits, trust_env=False) as http,
        httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits, trust_env=False) as person,
    ):
        await world.enrol(http, [1, PERSON])
        yield Races(world, http, person, Counter())


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_of_24_uses_one_succeeds_however_often_it_is_tried(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        serving(world.settings, tmp_path / "server.log", workers=2) as server,
        racing(world, server) as races,
    ):
        kinds: tuple[Callable[[], Awaitable[None]], ...] = (
            races.assertion,
            races.proof,
            races.request_and_code,
            races.last_use,
            races.proof_of_a_query,
        )
        for _ in range(RACES):
            for kind in kinds:
                await kind()
        await check_uses(world.vault, await check_whole(world.vault))
    assert set(races.won.values()) == {RACES}
    assert len(races.won) == 6
    with capsys.disabled():
        print(f"\n{RACES} races of {PARALLEL} each, one won every time: {', '.join(races.won)}")  # noqa: T201 -- figures, with -s
