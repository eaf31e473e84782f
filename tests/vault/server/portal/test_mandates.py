"""Representatives: appointed, acting, seen by whom they act for, and out at once when the mandate ends."""

from typing import Any

import httpx
import pytest

from tests.vault.people import ENROLLED, OTHER, UNKNOWN
from tests.vault.server.portal.conftest import Browser, Site
from tests.vault.server.portal.reader import Page
from tests.vault.server.portal.stale import make_stale
from vault.server.portal.fictitious import fictitious_identity

READ, WITHDRAW, FREEZE = "read", "withdraw", "freeze"


async def appoint(browser: Browser, n: int, *rights: str, **changes: Any) -> Page:
    """Appoints an invented person, as somebody who is signed in."""
    page = await browser.get("/representatives/appoint")
    form = {"number": fictitious_identity(n)[0], "kind": "lawyer", "rights": list(rights), "days": "30"}
    return await browser.send(page, page.form_to("/representatives/appoint"), form | changes)


async def act(browser: Browser) -> Page:
    """Begins to act for whoever gave the newest mandate."""
    page = await browser.get("/representatives")
    return await browser.send(
        page, next(at for at, form in enumerate(page.forms) if form.action.endswith("/act"))
    )


def ending(page: Page) -> int:
    return next(at for at, form in enumerate(page.forms) if form.action.endswith("/end"))


async def test_a_representative_acts_and_the_person_sees_all_of_it(site: Site) -> None:
    await site.consent(ENROLLED)
    async with site.browser() as person, site.browser() as lawyer:
        await person.sign_in(ENROLLED)
        page = await appoint(person, UNKNOWN, READ, WITHDRAW, FREEZE, document="ab" * 32)
        assert "Your representative is appointed" in page.text
        assert "see who asked, the records and the consents" in page.text
        assert "ab" * 32 in page.text

        await lawyer.sign_in(UNKNOWN)
        page = await act(lawyer)
        assert "You act for the person who gave you mandate" in page.text
        assert (await lawyer.me())["mandate"] in page.text
        page = await lawyer.get("/records")
        assert fictitious_identity(ENROLLED)[0] in page.text
        page = await lawyer.get("/consents")
        withdraw = next(at for at, form in enumerate(page.forms) if form.action.endswith("/withdraw"))
        assert "Your consent is withdrawn." in (await lawyer.send(page, withdraw)).text
        page = await lawyer.get("/consents")
        await lawyer.send(page, page.form_to("/consents/freeze"))

        page = await person.get("/accesses?show=everything")
        for words in (
            "You appointed a representative",
            "Your representative began to act for you",
            "Your representative looked at your records",
            "Your representative withdrew your consent from Second Example Bank",
            "Your representative froze your consents",
        ):
            assert words in page.text
        assert (await person.http.get("/v1/me/freeze")).json()["frozen"] is True
        me = (await lawyer.me())["mandate"]
        entries = (await person.http.get("/v1/me/accesses")).json()["accesses"]
        acting = {
            one["details"]["actor"] for one in entries if one["details"]["actor_role"] == "representative"
        }
        assert len(acting) == 1
        assert me is not None

        page = await lawyer.get("/")
        page = await lawyer.send(page, page.form_to("/representatives/stop"))
        assert "You act for yourself again." in page.text
        own = (await lawyer.get("/records")).text
        assert fictitious_identity(UNKNOWN)[0] in own
        assert fictitious_identity(ENROLLED)[0] not in own
        assert (await lawyer.http.get("/v1/me/freeze")).json()["frozen"] is False


@pytest.mark.parametrize("by", ["person", "lawyer"])
async def test_when_a_mandate_ends_the_next_request_is_the_representatives_own(site: Site, by: str) -> None:
    async with site.browser() as person, site.browser() as lawyer:
        await person.sign_in(ENROLLED)
        await appoint(person, OTHER, READ)
        await lawyer.sign_in(OTHER)
        await act(lawyer)
        number, own = fictitious_identity(ENROLLED)[0], fictitious_identity(OTHER)[0]
        assert number in (await lawyer.get("/records")).text
        ender = person if by == "person" else lawyer
        page = await ender.get("/representatives")
        page = await ender.send(page, ending(page))
        assert "The mandate has ended." in page.text
        records = await lawyer.get("/records")
        assert number not in records.text
        assert own in records.text
        assert (await lawyer.me())["mandate"] is None
        page = await lawyer.get("/representatives")
        assert [form for form in page.forms if form.action.endswith("/act")] == []
        page = await person.get("/accesses?show=everything")
        said = "You ended a mandate" if by == "person" else "Your representative ended their mandate"
        assert said in page.text


async def test_what_was_not_entrusted_is_not_done(site: Site) -> None:
    consent_id = await site.consent(ENROLLED)
    async with site.browser() as person, site.browser() as lawyer:
        await person.sign_in(ENROLLED)
        await appoint(person, OTHER, READ)
        await lawyer.sign_in(OTHER)
        await act(lawyer)
        csrf = (await lawyer.me())["csrf_token"]
        assert (await lawyer.get("/consents")).status == httpx.codes.OK
        for path in (
            f"/consents/{consent_id}/withdraw",
            "/consents/freeze",
            "/consents/unfreeze",
            "/representatives/appoint",
        ):
            refused = await lawyer.http.post(path, data={"csrf": csrf})
            assert refused.status_code == httpx.codes.FORBIDDEN, path
            assert "This is not yours to do" in refused.text
        for path in (f"/v1/me/consents/{consent_id}/withdraw", "/v1/me/freeze", "/v1/me/unfreeze"):
            refused = await lawyer.http.post(path, headers={"X-CSRF-Token": csrf})
            assert refused.status_code == httpx.codes.FORBIDDEN, path
        assert (await lawyer.http.get("/v1/me/log-keys")).status_code == httpx.codes.FORBIDDEN
        (consent,) = (await person.http.get("/v1/me/consents")).json()["consents"]
        assert consent["state"] == "active"


async def test_nobody_acts_under_anothers_mandate(site: Site) -> None:
    async with site.browser() as person, site.browser() as stranger:
        await person.sign_in(ENROLLED)
        page = await appoint(person, OTHER, READ)
        action = page.forms[ending(page)].action
        await stranger.sign_in(UNKNOWN)
        csrf = {"csrf": (await stranger.me())["csrf_token"]}
        for path in (action, action.replace("/end", "/act")):
            assert (await stranger.http.post(path, data=csrf)).status_code == httpx.codes.NOT_FOUND
        own = {"csrf": (await person.me())["csrf_token"]}
        acting = await person.http.post(action.replace("/end", "/act"), data=own)
        assert acting.status_code == httpx.codes.NOT_FOUND, "whoever gives a mandate does not hold it"
        assert (await person.http.post(action, data={"csrf": "x"})).status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "999999190001010016"},
        {"number": ""},
        {"kind": "friend"},
        {"rights": []},
        {"rights": ["grant"]},
        {"days": "0"},
        {"days": "99999"},
        {"days": "-1"},
        {"document": "short"},
        {"number": fictitious_identity(ENROLLED)[0]},
    ],
)
async def test_a_form_that_cannot_be_is_shown_again_and_appoints_nobody(
    site: Site, changes: dict[str, Any]
) -> None:
    async with site.browser() as person:
        await person.sign_in(ENROLLED)
        page = await appoint(person, OTHER, READ, **changes)
        assert page.status == httpx.codes.BAD_REQUEST
        assert "Nobody has been appointed yet." in page.text
        assert "You have appointed nobody." in (await person.get("/representatives")).text


async def test_appointing_takes_a_fresh_sign_in_and_ending_does_not(site: Site) -> None:
    async with site.browser() as person:
        await person.sign_in(ENROLLED)
        await appoint(person, OTHER, READ)
        await make_stale(site, person.http.cookies["creditvault"])
        assert "Who would you like to be?" in (await person.get("/representatives/appoint")).text
        page = await person.get("/representatives")
        assert "The mandate has ended." in (await person.send(page, ending(page))).text
