"""A consent from the first page to the last copy, as the person and as the body see it."""

from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy import text

from consent.copies import verify_copy
from demo.cast import REDIRECT_URI
from tests.loopback import asking
from tests.vault.owner import as_owner, consents_granted_earlier
from tests.vault.people import ENROLLED, UNKNOWN, find
from tests.vault.server.portal.conftest import Browser, Site
from tests.vault.server.portal.reader import Page
from tests.vault.server.portal.test_consent_page import ASKED, Bank, returned
from vault.server.jobs import expire_consents

_ROOMS = ("access_log", "consent", "vault")
# All that the application can read: partitions are read through their table.
_TABLES = text(
    "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY(:rooms)"
    " AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT') ORDER BY 1"
)
# What authenticating and signing in leaves behind, decided or not; each row is removed when it has expired.
_PASSING = {"consent.client_assertion", "consent.dpop_proof", "consent.pushed_request"}
_PASSING |= {"vault.citizen_session", "vault.single_use"}


async def everything(site: Site) -> dict[str, list[Any]]:
    """All rows of all tables, but what passes."""
    async with site.vault.engine.connect() as connection:
        names = (await connection.execute(_TABLES, {"rooms": list(_ROOMS)})).scalars().all()
        return {
            name: sorted(map(repr, (await connection.execute(text(f"SELECT * FROM {name}"))).all()))
            for name in names
            if name not in _PASSING
        }


class Counting:
    """Counts what a person's browser sends."""

    def __init__(self, browser: Browser) -> None:
        self.requests = 0
        browser.http.event_hooks["request"].append(self._count)

    async def _count(self, _request: httpx.Request) -> None:
        self.requests += 1

    def taken(self) -> int:
        """How many since the last time."""
        requests, self.requests = self.requests, 0
        return requests


def withdrawal(page: Page) -> int:
    """The position of the form that withdraws."""
    return next(at for at, form in enumerate(page.forms) if form.action.endswith("/withdraw"))


async def grant(browser: Browser, url: str, **changes: Any) -> Mapping[str, str]:
    """Grants on the page of a person who is signed in; what the body then gets."""
    form = {"decision": "grant", "fields": ["FIN.type"], "validity": "7"} | changes
    page = await browser.send(await browser.get(url), 0, form)
    return returned(page)


async def test_withdrawing_takes_no_more_than_granting(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(ENROLLED)
        pushed = await Bank(site, http).push()
        counting = Counting(browser)
        await grant(browser, pushed.url)
        granting = counting.taken()
        page = await browser.get("/consents")
        page = await browser.send(page, withdrawal(page))
        withdrawing = counting.taken() - 1  # one shows that it is done; after a grant the body shows that
        assert "Your consent is withdrawn." in page.text
    assert withdrawing <= granting == 2


async def test_a_refusal_leaves_nothing_anywhere(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(UNKNOWN)
        before = await everything(site)
        pushed = await Bank(site, http).push()
        page = await browser.send(await browser.get(pushed.url), 0, {"decision": "refuse"})
        assert returned(page)["error"] == "access_denied"
        assert await everything(site) == before
        assert await find(site.vault, UNKNOWN) is None
        async with site.vault.engine.connect() as connection:
            left = await connection.scalar(text("SELECT count(*) FROM consent.pushed_request"))
    assert left == 0, "the request is gone, as if it had never been answered"


async def test_a_body_is_told_the_same_whoever_refuses_and_why(site: Site) -> None:
    """Somebody unknown, somebody known, somebody with a freeze: one answer, to the letter."""
    answers = []
    for n, frozen in ((UNKNOWN, False), (ENROLLED, False), (ENROLLED, True)):
        async with site.browser() as browser, asking(site.url) as http:
            await browser.sign_in(n)
            if frozen:
                page = await browser.get("/consents")
                await browser.send(page, page.form_to("/consents/freeze"))
            pushed = await Bank(site, http).push()
            page = await browser.send(await browser.get(pushed.url), 0, {"decision": "refuse"})
            told = returned(page)
            assert told.pop("state") == pushed.state
            answers.append((page.status, told))
    assert answers == [answers[0]] * 3
    assert set(answers[0][1]) == {"error", "error_description", "iss"}


async def test_a_copy_of_every_event_can_be_fetched_and_verified_by_anyone(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        await browser.sign_in(ENROLLED)
        await grant(browser, (await Bank(site, http).push()).url)
        page = await browser.get("/consents")
        page = await browser.send(page, withdrawal(page))
        links = [link for link in page.links if "/copies/" in link]
        copies = [(await browser.http.get(link)).text for link in links]
        (consent,) = (await browser.http.get("/v1/me/consents")).json()["consents"]
        assert copies == [event["copy_jws"] for event in consent["events"]]
        missing = await browser.http.get(links[0][:-1] + "9")
        keys = (await http.get("/v1/consent-keys")).json()
        schema = (await http.get("/v1/consent-record-schema")).json()
    assert missing.status_code == httpx.codes.NOT_FOUND
    states = [[event["event_state"] for event in verify_copy(copy, keys).record["event"]] for copy in copies]
    assert states == [["given"], ["given", "withdrawn"]]
    assert schema["$id"] == "urn:creditvault:schema:consent-record:1"


async def test_what_has_expired_is_asked_for_anew(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        bank = Bank(site, http)
        await browser.sign_in(ENROLLED)
        pushed = await bank.push()
        answer = await grant(browser, pushed.url)
        token = await bank.client.exchange(answer["code"], pushed.verifier, REDIRECT_URI)
        assert (await bank.query(token, ENROLLED)).status_code == httpx.codes.OK
        await as_owner(site.vault, *consents_granted_earlier(7))
        before = await bank.query(token, ENROLLED)
        assert await expire_consents(site.vault.log, site.vault.keeper.signer) == 1
        after = await bank.query(token, ENROLLED)
        for refused in (before, after):
            assert (refused.status_code, refused.json()["rule"]) == (403, "RULES 3.6")
        page = await browser.get("/consents")
        assert "Second Example Bank Expired" in page.text
        assert [form.action for form in page.forms if "/withdraw" in form.action] == []
        # Nothing of the first is carried over: the page asks for everything again, and nothing is ticked.
        renewal = await browser.get((await bank.push()).url)
        (form,) = renewal.forms
        assert (tuple(form.boxes["fields"]), form.ticked) == (ASKED, [])
        assert returned(await browser.send(renewal, 0, {"decision": "refuse"}))["error"] == "access_denied"
        assert (await bank.query(token, ENROLLED)).json()["rule"] == "RULES 3.6"
