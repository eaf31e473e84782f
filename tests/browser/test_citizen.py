"""A citizen's journey in a browser: sign in, see who asked, take a consent back."""

import re

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.watched import Watched
from tests.flows.serving import Server
from tests.flows.world import World
from vault.server.portal.fictitious import fictitious_identity

pytestmark = pytest.mark.slow
_PERSON = 1
_BANK = "Second Example Bank"


async def sign_in(visitor: Watched, person: int = _PERSON) -> None:
    """From the front page to the list of queries, by way of the demo's identity provider."""
    page = visitor.page
    await page.goto("/")
    await visitor.require_open_to_all()
    await page.get_by_role("link", name="Sign in").click()
    await visitor.require_open_to_all()
    await page.get_by_label("Identity number").fill(fictitious_identity(person)[0])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Who asked about me")


async def test_a_citizen_sees_who_asked_and_withdraws_a_consent(
    world: World, server: Server, visitor: Watched
) -> None:
    page = visitor.page
    async with server.http() as http:
        await world.enrol(http, [_PERSON])
        bank = await world.consented(http, _PERSON, 3)
        assert (await bank.ask()).status_code == httpx.codes.OK
        await sign_in(visitor)
        entry = page.get_by_role("article").filter(has_text=_BANK)
        await expect(entry).to_contain_text("loan application 1")
        await visitor.require_open_to_all()
        await entry.get_by_role("link", name=re.compile("details and proof")).click()
        await expect(page.get_by_role("heading", name="How to verify it yourself")).to_be_visible()
        await visitor.require_open_to_all()
        await page.get_by_role("link", name="My records").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("My records")
        await visitor.require_open_to_all()
        await page.get_by_role("link", name="My consents").click()
        consent = page.get_by_role("article").filter(has_text=_BANK)
        await expect(consent).to_contain_text("1 of at most 3 times")
        await visitor.require_open_to_all()
        await consent.get_by_role("button", name="Withdraw").click()
        await expect(page.get_by_role("status")).to_contain_text("Your consent is withdrawn")
        await expect(page.get_by_role("article").filter(has_text=_BANK)).to_contain_text("Withdrawn")
        await visitor.require_open_to_all()
        assert (await bank.ask()).status_code == httpx.codes.FORBIDDEN
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/accesses")
    assert _BANK not in await page.content()


async def test_a_page_runs_no_script_that_was_put_into_it(visitor: Watched) -> None:
    await visitor.page.goto("/")
    ran = await visitor.page.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        " document.head.append(script); return window.ran === true; }"
    )
    assert not ran
    refused = visitor.wrong.pop()
    assert "Content Security Policy" in refused


async def test_barriers_are_found(visitor: Watched) -> None:
    await visitor.page.set_content(
        "<title></title><main><h1>One</h1><h3 id=a>Three</h3><input id=a name=x><img src='data:,'>"
        "<button aria-labelledby=nobody></button><p style='color: #999'>grey</p>"
        "<p style='width: 2000px'>wide</p></main>"
    )
    barriers = " / ".join(await visitor.barriers())
    for barrier in (
        "no language",
        "no title",
        "level 3 after level 1",
        "no label",
        "no alternative text",
        "no name",
        "aria-labelledby names nothing",
        "two elements are #a",
        "contrast 2.8",
        "wide",
    ):
        assert barrier in barriers
    visitor.wrong.clear()


async def test_the_pages_for_everybody_are_open_to_all(visitor: Watched) -> None:
    for path in ("/", "/register", "/privacy"):
        await visitor.page.goto(path)
        await visitor.require_open_to_all()
