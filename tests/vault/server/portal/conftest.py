"""The whole application on a loopback port, since signing in makes the server call itself."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from consent import consents
from consent.record import NewConsent, Notice
from demo.cast import COURT_CASE, Cast, gather
from demo.client import BodyClient
from tests import prepared
from tests.loopback import asking, bound, serving
from tests.vault.people import ENROLLED, OTHER, enrol, person
from tests.vault.server.portal.reader import Page, read_page
from vault.server.app import build_app
from vault.server.assembly import Vault, open_vault
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

CASE = "LOAN-2026-00042"
FIELDS = ("FIN.type", "FIN.status")


@dataclass(frozen=True)
class Site:
    """A served vault with its cast."""

    url: str
    vault: Vault
    cast: Cast

    def browser(self) -> "Browser":
        return Browser(self)

    async def consent(self, n: int, body: str = "bank", **changes: Any) -> UUID:
        """A consent as if the person had granted it on the page."""
        values = {
            "body_id": self.cast[body].body_id,
            "purpose": "credit-granting",
            "fields": FIELDS,
            "mode": "view",
            "validity_days": 30,
            "data_life_days": 0,
            "notice": Notice("https://vault.example/notice", "1", bytes(32)),
            "language": "en",
            "max_uses": 3,
        }
        row = await person(self.vault, n)
        async with self.vault.log.writing() as writing:
            new = NewConsent(**{**values, **changes})
            return (await consents.grant(writing, row.person, new, self.vault.keeper)).consent_id

    async def court_asks(self, n: int, purpose: str = "court-enforcement") -> httpx.Response:
        """The court asks about a person under its authorization; any other purpose is refused."""
        court = self.cast["court"]
        number, _ = fictitious_identity(n)
        subject = {"scheme": "demo-id", "number": number}
        async with asking(self.url) as http:
            client = BodyClient(http, self.url, court.body_id, court.key)
            details = {
                "type": "statutory_query",
                "authorization": str(self.cast.authorization),
                "purpose": "court-enforcement",
                "case_reference": COURT_CASE,
                "officer": str(court.officer_id),
                "subject": subject,
                "fields": ["FIN.type"],
                "actions": ["read"],
            }
            token = await client.statutory_token(details)
            return await client.query(
                token,
                {
                    "subject": subject,
                    "purpose": purpose,
                    "fields": ["FIN.type"],
                    "officer": str(court.officer_id),
                    "case_reference": COURT_CASE,
                },
            )


class Browser:
    """One person's browser: cookies, redirects, forms, and no scripts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.http = asking(site.url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, url: str) -> Page:
        return await self._follow(await self.http.get(url))

    async def send(self, page: Page, form: int, values: Mapping[str, Any] | None = None) -> Page:
        chosen = page.forms[form]
        response = await self.http.post(chosen.action, data={**chosen.hidden, **(values or {})})
        return await self._follow(response)

    async def begin(self, return_to: str = "/") -> Page:
        """As far as the page of the identity provider."""
        page = await self.get(f"/sign-in?{urlencode({'return_to': return_to})}")
        assert "Who would you like to be?" in page.text, page.text
        return page

    async def sign_in(self, n: int, return_to: str = "/") -> Page:
        """Signs in as an invented person and follows where that leads."""
        return await self.send(await self.begin(return_to), 0, {"number": fictitious_identity(n)[0]})

    async def callback(self, n: int) -> str:
        """Where the provider sends the browser of that person, without going there."""
        page = await self.begin()
        chosen = page.forms[0]
        number = fictitious_identity(n)[0]
        response = await self.http.post(chosen.action, data={**chosen.hidden, "number": number})
        return response.headers["location"]

    async def me(self) -> dict[str, Any]:
        response = await self.http.get("/v1/me")
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())

    async def _follow(self, response: httpx.Response) -> Page:
        for _ in range(10):
            if not response.is_redirect:
                return read_page(response)
            target = response.url.join(response.headers["location"])
            if not str(target).startswith(self._site.url + "/"):
                return read_page(response)
            response = await self.http.get(target)
        raise AssertionError("redirects without end")


@pytest.fixture
async def site(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    """A vault that knows two invented persons, each with a credit contract."""
    port, url = bound()
    settings = vault_settings.model_copy(update={"issuer": url})
    assert settings.database_url is not None
    await prepared.copy(settings, cast=True)
    async with open_vault(settings, settings.database_url) as vault:
        cast = await gather(vault.log, tmp_path / "cast.json")
        await enrol(vault, cast["furnisher"].body_id, ENROLLED, OTHER)
        async with serving(build_app(vault), port):
            yield Site(url, vault, cast)
