import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import CursorResult, text

from tests.vault.people import ENROLLED, OTHER, UNKNOWN, enrol, find
from tests.vault.server.portal.conftest import Browser, Site
from vault.crypto.tickets import Ticket
from vault.server.assembly import Vault
from vault.server.jobs import remove_expired_rows
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.errors import SignInSettingsError
from vault.server.portal.fictitious import fictitious_identity
from vault.server.portal.router import open_portal
from vault.server.portal.sign_in import own_path

SESSION = "creditvault"
ATTEMPT = "creditvault-sign-in"


async def test_a_person_signs_in_sees_their_pages_and_signs_out(site: Site) -> None:
    async with site.browser() as browser:
        assert "/sign-in?return_to=/accesses" in (await browser.get("/")).links
        page = await browser.sign_in(ENROLLED, "/accesses")
        assert page.path == "/accesses"
        assert "Bao Beispiel" in page.text
        assert (await browser.me())["known"] is True
        page = await browser.send(page, page.form_to("/sign-out"))
        assert "You are signed out." in page.text
        assert "Bao Beispiel" not in page.text
        assert (await browser.http.get("/v1/me")).status_code == httpx.codes.UNAUTHORIZED


async def test_a_page_that_needs_sign_in_leads_there_and_back(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.get("/accesses?show=everything")
        assert "Who would you like to be?" in page.text
        page = await browser.send(page, 0, {"number": fictitious_identity(ENROLLED)[0]})
        assert (page.path, page.response.url.query) == ("/accesses", b"show=everything")


async def test_someone_unknown_signs_in_and_nothing_is_held_or_made(site: Site) -> None:
    async with site.browser() as browser:
        assert "Hello, Bao Specimen" in (await browser.sign_in(UNKNOWN)).text
        me = await browser.me()
        assert me["known"] is False
        for path in ("/accesses", "/records"):
            assert "Nothing is held about you" in (await browser.get(path)).text
        assert "You have given no consent." in (await browser.get("/consents")).text
    assert await find(site.vault, UNKNOWN) is None


async def test_another_state_signs_nobody_in(site: Site) -> None:
    async with site.browser() as browser:
        url = httpx.URL(await browser.callback(ENROLLED)).copy_set_param("state", "another")
        await fails(browser, str(url), "could not be verified")


async def test_without_state_nobody_is_signed_in(site: Site) -> None:
    async with site.browser() as browser:
        url = httpx.URL(await browser.callback(ENROLLED)).copy_remove_param("state")
        await fails(browser, str(url), "could not be verified")


@pytest.mark.parametrize("change", [{"iss": "http://127.0.0.1:1/other"}, {"iss": None}, {"code": None}])
async def test_what_the_provider_did_not_answer_signs_nobody_in(
    site: Site, change: dict[str, str | None]
) -> None:
    async with site.browser() as browser:
        url = httpx.URL(await browser.callback(ENROLLED))
        for name, value in change.items():
            url = url.copy_remove_param(name) if value is None else url.copy_set_param(name, value)
        await fails(browser, str(url), "could not be verified")


async def test_an_id_token_with_another_nonce_signs_nobody_in(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.begin()
        number = fictitious_identity(ENROLLED)[0]
        page = await browser.send(page, 0, {"number": number, "nonce": "another"})
        assert page.status == httpx.codes.BAD_REQUEST
        assert "could not be verified" in page.text
        assert await signed_out(browser)


async def test_a_code_of_another_sign_in_is_of_no_use(site: Site) -> None:
    async with site.browser() as attacker, site.browser() as victim:
        code = parse_qs(urlsplit(await attacker.callback(OTHER)).query)["code"][0]
        url = httpx.URL(await victim.callback(ENROLLED)).copy_set_param("code", code)
        await fails(victim, str(url), "could not be verified")


async def test_an_address_planted_in_another_browser_signs_nobody_in(site: Site) -> None:
    async with site.browser() as attacker, site.browser() as victim:
        await fails(victim, await attacker.callback(OTHER), "not begun in this browser")


async def test_a_sign_in_is_finished_once(site: Site) -> None:
    async with site.browser() as browser:
        url = await browser.callback(ENROLLED)
        attempt = browser.http.cookies[ATTEMPT]
        async with site.browser() as other:
            other.http.cookies.set(ATTEMPT, attempt)
            first, second = await asyncio.gather(browser.http.get(url), other.http.get(url))
        assert sorted((first.status_code, second.status_code)) == [303, 400]


async def test_a_sign_in_that_took_too_long_is_over(site: Site) -> None:
    async with site.browser() as browser:
        url = await browser.callback(ENROLLED)
        await sql(site.vault, "UPDATE vault.single_use SET expires_at = now() - interval '1 second'")
        await fails(browser, url, "took too long")


async def test_cancelling_at_the_provider_changes_nothing(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.begin()
        page = await browser.send(page, 2, {"cancel": "yes"})
        assert page.status == httpx.codes.BAD_REQUEST
        assert "cancelled" in page.text
        assert await signed_out(browser)


async def test_a_repeated_parameter_is_no_answer(site: Site) -> None:
    async with site.browser() as browser:
        url = await browser.callback(ENROLLED)
        await fails(browser, url + "&code=another", "not begun in this browser")


async def test_a_session_ends_by_itself(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        await sql(site.vault, "UPDATE vault.citizen_session SET expires_at = now()")
        assert await signed_out(browser)
        assert "Who would you like to be?" in (await browser.get("/records")).text
    await begun_and_left(site)
    await sql(site.vault, "UPDATE vault.single_use SET expires_at = now()")
    assert await remove_expired_rows(site.vault.log) == 3, "the worker clears away what has expired"
    assert await remove_expired_rows(site.vault.log) == 0


async def begun_and_left(site: Site) -> None:
    """A sign-in that nobody comes back from."""
    async with site.browser() as browser:
        await browser.begin()


async def test_a_way_to_sign_in_that_is_none_is_not_found(site: Site) -> None:
    async with site.browser() as browser:
        assert (await browser.http.get("/sign-in?act=everything")).status_code == httpx.codes.NOT_FOUND


async def test_signing_in_again_ends_the_session_before(site: Site) -> None:
    async with site.browser() as browser, site.browser() as other:
        await browser.sign_in(ENROLLED)
        other.http.cookies.set(SESSION, browser.http.cookies[SESSION])
        await browser.sign_in(OTHER)
        assert (await browser.me())["display_name"] == "Carl Beispiel"
        assert await signed_out(other)


async def test_a_session_is_known_to_its_cookie_alone(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(ENROLLED)
        cookie = browser.http.cookies[SESSION]
    (row,) = (await sql(site.vault, "SELECT place, sealed FROM vault.citizen_session")).all()
    ticket = Ticket.read(cookie)
    assert ticket is not None
    assert row.place == ticket.place
    assert ticket.text.encode() not in row.place + row.sealed
    for secret in (b"Bao", b"Beispiel", fictitious_identity(ENROLLED)[0].encode()):
        assert secret not in row.sealed


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 5000])
async def test_an_invented_cookie_is_nobodys(site: Site, cookie: str) -> None:
    async with site.browser() as browser:
        browser.http.cookies.set(SESSION, cookie)
        assert await signed_out(browser)


async def test_a_person_enrolled_meanwhile_is_found(site: Site) -> None:
    async with site.browser() as browser:
        await browser.sign_in(UNKNOWN)
        await enrol(site.vault, site.cast["furnisher"].body_id, UNKNOWN)
        assert (await browser.me())["known"] is True
        assert "Credit contract" in (await browser.get("/records")).text


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    async with site.browser() as browser:
        began = await browser.http.get("/sign-in")
        ended = await browser.http.get(await browser.callback(ENROLLED))
        for response, name in ((began, ATTEMPT), (ended, SESSION)):
            (cookie,) = [
                one
                for one in response.headers.get_list("set-cookie")
                if one.startswith(f"{name}=") and '""' not in one
            ]
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert attributes == {"httponly", "path=/", "samesite=lax"}


def test_over_https_cookies_are_bound_to_the_host() -> None:
    cookie = TicketCookie.of(SESSION, "https://vault.example")
    assert (cookie.name, cookie.secure) == ("__Host-creditvault", True)


@pytest.mark.parametrize(
    "path", ["/", "/accesses?show=everything", "/oauth/authorize?client_id=a&request_uri=urn:b"]
)
def test_one_comes_back_to_a_path_of_this_server(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "accesses", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)",
        "/a\r\nSet-Cookie: a=b", "/\u00e9", "/" + "a" * 2000, "http:/evil.example", "\t//evil.example",
    ],
)  # fmt: skip
def test_one_never_comes_back_elsewhere(path: str) -> None:
    assert own_path(path) == "/"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("sign_in_acr", "readd=high"), ("sign_in_identifiers", "id_number=cn-ric,passport=passport")],
)
async def test_settings_that_name_what_is_not_there_are_a_mistake(
    vault: Vault, setting: str, value: str
) -> None:
    settings = vault.settings.model_copy(
        update={
            "sign_in_issuer": "https://idp.example",
            "sign_in_client": "vault",
            "sign_in_secret": SecretStr("secret"),
            setting: value,
        }
    )
    with pytest.raises(SignInSettingsError, match=setting.upper()):
        open_portal(replace(vault, settings=settings))


async def test_a_provider_without_our_registration_is_a_mistake_of_the_settings(vault: Vault) -> None:
    settings = vault.settings.model_copy(update={"sign_in_issuer": "https://idp.example"})
    with pytest.raises(SignInSettingsError, match="CREDITVAULT_SIGN_IN_CLIENT"):
        open_portal(replace(vault, settings=settings))


async def fails(browser: Browser, url: str, words: str) -> None:
    """The address leads to a page that says so, and to no session."""
    page = await browser.get(url)
    assert page.status == httpx.codes.BAD_REQUEST
    assert "You are not signed in" in page.text
    assert words in page.text
    assert await signed_out(browser)


async def signed_out(browser: Browser) -> bool:
    return (await browser.http.get("/v1/me")).status_code == httpx.codes.UNAUTHORIZED


async def sql(vault: Vault, statement: str) -> CursorResult[Any]:
    async with vault.engine.begin() as connection:
        return await connection.execute(text(statement))
