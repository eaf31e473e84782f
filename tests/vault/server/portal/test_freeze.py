"""A freeze, as the person and as the bodies see it."""

import httpx

from demo.cast import REDIRECT_URI
from tests.loopback import asking
from tests.vault.people import ENROLLED, UNKNOWN
from tests.vault.server.portal.conftest import Site
from tests.vault.server.portal.stale import make_stale
from tests.vault.server.portal.test_consent_page import Bank, asked, returned


async def test_nobody_asks_with_a_consent_while_a_freeze_stands(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        bank = Bank(site, http)
        pushed = await bank.push()
        page = await asked(browser, pushed, ENROLLED)
        page = await browser.send(page, 0, {"decision": "grant", "fields": ["FIN.type"], "validity": "7"})
        token = await bank.client.exchange(returned(page)["code"], pushed.verifier, REDIRECT_URI)
        assert (await bank.query(token, ENROLLED)).status_code == httpx.codes.OK
        page = await browser.get("/consents")
        page = await browser.send(page, page.form_to("/consents/freeze"))
        assert "Your consents are frozen." in page.text
        refused = await bank.query(token, ENROLLED)
        assert (refused.status_code, refused.json()["rule"]) == (403, "RULES 3.5")
        assert "frozen" not in refused.text.lower().replace("frozenset", "")
        assert (await site.court_asks(ENROLLED)).status_code == httpx.codes.OK, "the law does not ask"
        page = await browser.get("/accesses?show=everything")
        assert "You froze your consents" in page.text
        assert "it was withdrawn, or you had frozen your consents" in page.text
        page = await browser.get("/consents/unfreeze")
        assert "These count again at once Second Example Bank" in page.text
        page = await browser.send(page, page.form_to("/consents/unfreeze"))
        assert "The freeze has ended." in page.text
        assert (await bank.query(token, ENROLLED)).status_code == httpx.codes.OK


async def test_while_it_stands_the_consent_page_grants_nothing_and_refuses_as_ever(site: Site) -> None:
    async with site.browser() as browser, asking(site.url) as http:
        bank = Bank(site, http)
        await browser.sign_in(UNKNOWN)
        page = await browser.get("/consents")
        await browser.send(page, page.form_to("/consents/freeze"))
        pushed = await bank.push()
        page = await browser.get(pushed.url)
        assert "You froze your consents" in page.text
        (form,) = page.forms
        assert (form.buttons, form.boxes) == ([("decision", "refuse")], {})
        assert "/consents/unfreeze" in page.links
        forced = await browser.send(page, 0, {"decision": "grant", "fields": ["FIN.type"], "validity": "7"})
        assert forced.status == httpx.codes.BAD_REQUEST
        assert "Nothing was granted." in forced.text
        assert (await browser.http.get("/v1/me/consents")).json() == {"consents": []}
        # The request was not used up: the person may still answer it, now or after the freeze.
        page = await browser.send(await browser.get(pushed.url), 0, {"decision": "refuse"})
        assert returned(page)["error"] == "access_denied"


async def test_the_api_freezes_and_unfreezes_and_says_since_when(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        assert (await browser.http.get("/v1/me/freeze")).json() == {"frozen": False, "events": []}
        assert (await browser.http.post("/v1/me/freeze")).status_code == httpx.codes.FORBIDDEN
        token = {"X-CSRF-Token": (await browser.me())["csrf_token"]}
        assert (await browser.http.post("/v1/me/unfreeze", headers=token)).status_code == httpx.codes.CONFLICT
        begun = (await browser.http.post("/v1/me/freeze", headers=token)).json()
        assert begun["frozen"] is True
        assert "\nindex " in begun["receipt"]
        assert (await browser.http.post("/v1/me/freeze", headers=token)).status_code == httpx.codes.CONFLICT
        ended = (await browser.http.post("/v1/me/unfreeze", headers=token)).json()
        assert ended["frozen"] is False
        state = (await browser.http.get("/v1/me/freeze")).json()
        assert [each["event"] for each in state["events"]] == ["ended", "begun"]


async def test_a_freeze_takes_no_fresh_sign_in_and_its_end_does(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        await make_stale(site, browser.http.cookies["creditvault"])
        page = await browser.get("/consents")
        page = await browser.send(page, page.form_to("/consents/freeze"))
        assert "Your consents are frozen." in page.text
        csrf = (await browser.me())["csrf_token"]
        refused = await browser.http.post("/v1/me/unfreeze", headers={"X-CSRF-Token": csrf})
        assert refused.status_code == httpx.codes.UNAUTHORIZED
        sent = await browser.http.post("/consents/unfreeze", data={"csrf": csrf})
        assert sent.status_code == httpx.codes.FORBIDDEN
        assert "/sign-in?return_to=%2F&amp;act=unfreeze" in sent.text
        page = await browser.get("/consents/unfreeze")
        assert "Who would you like to be?" in page.text
        assert (await browser.http.get("/v1/me/freeze")).json()["frozen"] is True
