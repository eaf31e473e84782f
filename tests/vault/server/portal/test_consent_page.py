"""The consent page in the code flow, as a body's own client drives it."""

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from starlette.requests import Request

from consent import consents
from consent.oauth.citizens import AskingBody, ConsentView, SignedIn
from demo.cast import REDIRECT_URI
from demo.client import BodyClient, Pushed
from tests.loopback import asking
from tests.vault.people import ENROLLED, UNKNOWN, find, person
from tests.vault.server.portal.conftest import CASE, Browser, Site
from tests.vault.server.portal.reader import Page, read_page
from vault.catalogue import load_catalogue
from vault.server.portal.consent_page import PlainConsentPage
from vault.server.portal.errors import NotSignedInError
from vault.server.portal.fictitious import fictitious_identity
from vault.server.portal.router import open_portal
from vault.server.portal.views import Views, headers
from vault.server.settings import Settings

ASKED = ("FIN.type", "FIN.amount_class", "FIN.status", "JUD.performance")
EVIL = "<script>alert(1)</script>"


class Bank:
    """The bank's client."""

    def __init__(self, site: Site, http: httpx.AsyncClient) -> None:
        bank = site.cast["bank"]
        self.client = BodyClient(http, site.url, bank.body_id, bank.key)
        self._officer = str(bank.officer_id)

    async def push(self) -> Pushed:
        details = {
            "type": "consented_query",
            "purpose": "credit-granting",
            "fields": list(ASKED),
            "mode": "view",
            "validity": 30,
            "max_uses": 20,
        }
        return await self.client.push(details, REDIRECT_URI)

    async def query(self, token: str, n: int) -> httpx.Response:
        asked = {
            "subject": {"scheme": "demo-id", "number": fictitious_identity(n)[0]},
            "purpose": "credit-granting",
            "fields": ["FIN.type"],
            "officer": self._officer,
            "case_reference": CASE,
        }
        return await self.client.query(token, asked)


async def asked(browser: Browser, pushed: Pushed, n: int) -> Page:
    """The consent page, after sign-in."""
    page = await browser.get(pushed.url)
    return await browser.send(page, 0, {"number": fictitious_identity(n)[0]})


def returned(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.response.headers["location"]).query))


async def test_the_page_says_who_asks_for_what_and_that_no_is_an_answer(site: Site) -> None:
    async with site.browser() as browser:
        page = await asked(browser, await Bank(site, browser.http).push(), ENROLLED)
    for words in (
        "Second Example Bank asks to see some of your records",
        "Saying no never counts against you",
        "Bank or other licensed lender",
        "privacy@bank.example",
        "Deciding on a credit the person applied for, and nothing else",
        "at most 20 times in all",
        "It may look, keep nothing",
        "at most 30, as asked for",
        "Bao Beispiel",
    ):
        assert words in page.text
    (form,) = page.forms
    assert tuple(form.boxes["fields"]) == ASKED
    assert form.ticked == [], "nothing is ticked for the person"
    assert form.buttons == [("decision", "refuse"), ("decision", "grant")]
    for field in ("Type of credit", "Class of amount", "Performance"):
        assert field in page.text
    policy = page.response.headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:8441;" in policy


async def test_granting_some_fields_lets_the_body_see_those_until_withdrawn(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        bank = Bank(site, http)
        pushed = await bank.push()
        page = await asked(browser, pushed, ENROLLED)
        page = await browser.send(page, 0, {"decision": "grant", "fields": ["FIN.type"], "validity": "7"})
        answer = returned(page)
        assert answer["state"] == pushed.state
        token = await bank.client.exchange(answer["code"], pushed.verifier, REDIRECT_URI)
        permitted = await bank.query(token, ENROLLED)
        assert permitted.json()["records"][0]["fields"] == {"type": "vehicle"}
        page = await browser.get("/accesses")
        assert "Your consent of" in page.text
        (consent,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
        assert (consent["fields"], consent["uses"]) == (["FIN.type"], 1)
        page = await browser.get("/consents")
        await browser.send(page, page.form_to(f"/consents/{consent['consent_id']}"))
        refused = await bank.query(token, ENROLLED)
        assert (refused.status_code, refused.json()["rule"]) == (403, "RULES 3.5")
        page = await browser.get("/accesses")
        assert "Nothing was shown. Your consent did not stand: it was withdrawn" in page.text


async def test_whoever_was_unknown_consents_like_everybody_and_is_known_then(site: Site) -> None:
    async with site.browser() as browser:
        pushed = await Bank(site, browser.http).push()
        page = await asked(browser, pushed, UNKNOWN)
        assert await find(site.vault, UNKNOWN) is None
        page = await browser.send(page, 0, {"decision": "grant", "fields": list(ASKED)})
        assert returned(page).keys() == {"code", "state", "iss"}
        row = await person(site.vault, UNKNOWN)
        page = await browser.get("/accesses?show=everything")
        assert "You gave Second Example Bank your consent" in page.text
        assert "This vault recorded who you are: Identity" in page.text
        # Their number, which they signed in with, and nothing else.
        assert fictitious_identity(UNKNOWN)[0] in (await browser.get("/records")).text
    async with site.vault.engine.connect() as connection:
        (consent,) = await consents.of_person(connection, row.person.subject_id)
    assert consent.fields == ASKED


async def test_refusing_leaves_nothing_behind_and_makes_nobody_known(site: Site) -> None:
    async with site.vault.log.writing() as writing:
        size = writing.head.size
    async with site.browser() as browser:
        page = await asked(browser, await Bank(site, browser.http).push(), UNKNOWN)
        page = await browser.send(page, 0, {"decision": "refuse"})
        assert returned(page)["error"] == "access_denied"
    assert await find(site.vault, UNKNOWN) is None
    async with site.vault.log.writing() as writing:
        assert writing.head.size == size


async def test_a_form_without_the_sessions_token_grants_nothing(site: Site) -> None:
    async with site.browser() as browser:
        page = await asked(browser, await Bank(site, browser.http).push(), ENROLLED)
        grant = {"decision": "grant", "fields": ["FIN.type"]}
        forged = await browser.send(page, 0, {**grant, "csrf": "0" * 64})
        assert forged.status == httpx.codes.BAD_REQUEST
        assert "This form did not come from your own page" in forged.text
        assert (await browser.http.get("/v1/me/consents")).json() == {"consents": []}
        assert "code" in returned(await browser.send(page, 0, grant)), "the request still stands"


async def test_a_mistake_is_told_on_the_page_and_grants_nothing(site: Site) -> None:
    async with site.browser() as browser:
        page = await asked(browser, await Bank(site, browser.http).push(), ENROLLED)
        for mistake in ({}, {"fields": ["TAX.breach"]}, {"fields": ["FIN.type"], "validity": "31"}):
            page = await browser.send(page, 0, {"decision": "grant", **mistake})
            assert page.status == httpx.codes.BAD_REQUEST
            assert "Choose at least one field" in page.text
            assert len(page.forms) == 1


async def test_the_notice_in_the_consent_record_is_the_one_that_is_served(site: Site) -> None:
    async with site.browser() as browser:
        page = await asked(browser, await Bank(site, browser.http).push(), ENROLLED)
        (link,) = [one for one in page.links if one.startswith("/privacy/notice")]
        served = (await browser.http.get(link)).content
        await browser.send(page, 0, {"decision": "grant", "fields": ["FIN.type"]})
    row = await person(site.vault, ENROLLED)
    async with site.vault.engine.connect() as connection:
        (consent,) = await consents.of_person(connection, row.person.subject_id)
    record = consent.events[0].record
    assert hashlib.sha256(served).hexdigest() in record
    assert f"{site.url}/privacy/notice" in record


def view(**changes: Any) -> ConsentView:
    values: dict[str, Any] = {
        "action": "/oauth/authorize",
        "client_id": "client",
        "request_uri": "urn:request",
        "csrf": "token",
        "display_name": "Ada Example",
        "body": AskingBody("A Bank", "bank", "91999999MA00000079", "1 Street", "privacy@bank.example"),
        "purpose": "credit-granting",
        "fields": ASKED,
        "mode": "view",
        "validity": 30,
        "frequency": None,
        "max_uses": 1,
        "data_from": None,
        "data_until": None,
        "redirect_origin": "https://bank.example",
    }
    return ConsentView(**{**values, **changes})


def shown(asked: ConsentView) -> Page:
    page = PlainConsentPage(Views(Settings(), load_catalogue("cn")), Settings())
    response = page.ask(Request({"type": "http"}), asked)
    content = bytes(response.body)
    return read_page(httpx.Response(response.status_code, headers=response.headers.items(), content=content))


def test_nothing_a_body_says_of_itself_is_markup() -> None:
    body = AskingBody(EVIL, EVIL, EVIL, EVIL, EVIL)
    page = shown(
        view(
            body=body, display_name=EVIL, purpose=EVIL, client_id='"' + EVIL, request_uri=EVIL, fields=(EVIL,)
        )
    )
    assert EVIL in page.text
    assert EVIL not in page.response.text


@pytest.mark.parametrize(
    "origin",
    ["https://a.example; script-src *", "https://a.example 'unsafe-inline'", "javascript:", "https://a,b"],
)
def test_no_redirect_uri_widens_the_policy(origin: str) -> None:
    assert "form-action 'self';" in headers(origin)["Content-Security-Policy"]


@pytest.mark.parametrize("origin", ["https://bank.example", "http://127.0.0.1:8441", "http://[::1]:80"])
def test_the_way_back_to_the_body_is_open(origin: str) -> None:
    assert f"form-action 'self' {origin};" in headers(origin)["Content-Security-Policy"]


async def test_only_sessions_of_this_portal_stand_for_a_person(site: Site) -> None:
    citizens = open_portal(site.vault).citizens
    async with site.vault.log.writing() as writing:
        with pytest.raises(NotSignedInError):
            await citizens.person(writing, SignedIn(None, "token", "somebody"))
