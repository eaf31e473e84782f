import base64
import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from consent.oauth import jose
from tests.vault.people import ENROLLED
from tests.vault.server.portal.conftest import Site
from vault.server.assembly import Vault
from vault.server.portal.demo_provider import DemoOnlyError, DemoProvider, person_of
from vault.server.portal.fictitious import MOST, fictitious_identity
from vault.server.portal.router import open_portal

CALLBACK = "/sign-in/callback"
VERIFIER = "v" * 48
NUMBER, NAME = fictitious_identity(ENROLLED)


def provider(vault: Vault, secret: bytes = bytes(32)) -> DemoProvider:
    return DemoProvider(vault.settings, vault.engine, secret, CALLBACK)


def request(vault: Vault) -> dict[str, str]:
    """A sound request for authentication."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    return {
        "response_type": "code",
        "client_id": "creditvault",
        "redirect_uri": vault.settings.issuer + CALLBACK,
        "scope": "openid profile",
        "state": "a-state",
        "nonce": "a-nonce",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }


def credentials(running: DemoProvider, secret: str | None = None) -> str:
    mine = running.registration("")
    pair = f"{mine.client_id}:{mine.client_secret if secret is None else secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def code(vault: Vault, running: DemoProvider) -> str:
    asked = running.asked(request(vault))
    assert asked is not None
    return parse_qs(urlsplit(await running.answer(asked, ENROLLED)).query)["code"][0]


def form(vault: Vault, code: str, **changes: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": vault.settings.issuer + CALLBACK,
        "code_verifier": VERIFIER,
    } | changes


async def test_outside_demo_mode_it_cannot_be_made(vault: Vault) -> None:
    settings = vault.settings.model_copy(update={"demo": False})
    with pytest.raises(DemoOnlyError):
        DemoProvider(settings, vault.engine, bytes(32), CALLBACK)


@pytest.mark.parametrize(
    "change",
    [
        {"demo": False},
        {"sign_in_issuer": "https://idp.example", "sign_in_client": "us", "sign_in_secret": "secret"},
    ],
)
async def test_outside_demo_mode_or_beside_a_real_provider_it_is_not_served(
    vault: Vault, change: dict[str, Any]
) -> None:
    settings = type(vault.settings).model_validate(vault.settings.model_dump() | change)
    for served, expected in ((vault, True), (replace(vault, settings=settings), False)):
        app = FastAPI()
        for router in open_portal(served).routers:
            app.include_router(router)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=vault.settings.issuer
        ) as http:
            response = await http.get("/demo-provider/jwks")
        assert (response.status_code == httpx.codes.OK) is expected


async def test_a_code_is_exchanged_for_an_id_token_of_the_person(vault: Vault) -> None:
    running = provider(vault)
    status, body = await running.token(credentials(running), form(vault, await code(vault, running)))
    assert status == httpx.codes.OK
    claims = jose.KeySet(running.jwks()).verify(jose.take_apart(body["id_token"]))
    assert (claims["iss"], claims["aud"]) == (vault.settings.issuer + "/demo-provider", "creditvault")
    assert (claims["id_number"], claims["name"], claims["nonce"]) == (NUMBER, NAME, "a-nonce")
    assert claims["exp"] - claims["iat"] <= 300


async def test_a_code_says_nothing_and_is_used_once_by_any_worker(vault: Vault) -> None:
    first, second = provider(vault), provider(vault)
    one = await code(vault, first)
    assert len(one) == 43
    status, _ = await second.token(credentials(first), form(vault, one))
    assert status == httpx.codes.OK, "another worker has the same keys and codes"
    assert await first.token(credentials(first), form(vault, one)) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "change",
    [{"code_verifier": "w" * 48}, {"redirect_uri": "http://127.0.0.1:1/other"}, {"code_verifier": ""}],
)
async def test_a_wrong_guess_uses_the_code_up(vault: Vault, change: dict[str, str]) -> None:
    running = provider(vault)
    one = await code(vault, running)
    wrong = await running.token(credentials(running), form(vault, one, **change))
    right = await running.token(credentials(running), form(vault, one))
    assert wrong == right == (400, {"error": "invalid_grant"})


async def test_only_its_one_client_gets_tokens(vault: Vault) -> None:
    running = provider(vault)
    one = await code(vault, running)
    for header in (
        None,
        "",
        "Basic",
        "Basic \u00e9",
        "Bearer x",
        credentials(running, ""),
        credentials(running, "x"),
    ):
        assert await running.token(header, form(vault, one)) == (401, {"error": "invalid_client"})
    other = provider(vault, bytes(31) + b"\1")
    assert (await running.token(credentials(other), form(vault, one)))[0] == 401
    assert (await running.token(credentials(running), form(vault, one)))[0] == 200, "nobody used the code up"


async def test_another_grant_is_not_served(vault: Vault) -> None:
    running = provider(vault)
    asked = form(vault, "", grant_type="client_credentials")
    assert await running.token(credentials(running), asked) == (400, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"redirect_uri": "https://evil.example/sign-in/callback"},
        {"response_type": "token"},
        {"scope": "profile"},
        {"state": ""},
        {"nonce": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_request_that_is_not_sound_is_answered_here_and_not_elsewhere(
    site: Site, change: dict[str, str]
) -> None:
    parameters = request(site.vault) | change
    async with site.browser() as browser:
        shown = await browser.http.get("/demo-provider/authorize", params=parameters)
        sent = await browser.http.post("/demo-provider/authorize", data={**parameters, "number": NUMBER})
    for response in (shown, sent):
        assert response.status_code == httpx.codes.BAD_REQUEST
        assert "This is no sign-in" in response.text
        assert "location" not in response.headers


async def test_whoever_is_not_invented_cannot_be_chosen(site: Site) -> None:
    async with site.browser() as browser:
        page = await browser.begin()
        for number in ("", "999999190001010010", "110101199003070011", NUMBER[:-1], "<script>"):
            page = await browser.send(page, 1, {"number": number})
            assert page.status == httpx.codes.BAD_REQUEST
            assert "No invented person has this number." in page.text
            assert len(page.forms) == 3


async def test_its_endpoints_describe_themselves(site: Site) -> None:
    async with site.browser() as browser:
        metadata = (await browser.http.get("/demo-provider/.well-known/openid-configuration")).json()
        jwks = (await browser.http.get("/demo-provider/jwks")).json()
        malformed = await browser.http.post("/demo-provider/token", json={})
    assert metadata["issuer"] == site.url + "/demo-provider"
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert [key.get("d") for key in jwks["keys"]] == [None]
    assert (malformed.status_code, malformed.json()) == (400, {"error": "invalid_request"})


@given(st.integers(1, MOST))
def test_every_invented_person_is_found_by_their_number(n: int) -> None:
    number = fictitious_identity(n)[0]
    assert person_of(number) == n
    assert person_of(f" {number[:6]} {number[6:].lower()} ") == n


@given(st.text(max_size=24))
def test_any_other_text_is_nobodys_number(text: str) -> None:
    assert person_of(text) is None


@given(st.integers(1, MOST), st.integers(0, 17), st.integers(1, 9))
def test_a_number_with_one_wrong_digit_is_nobodys(n: int, position: int, step: int) -> None:
    number = fictitious_identity(n)[0]
    digit = "0123456789X".index(number[position])
    wrong = number[:position] + str((digit + step) % 10) + number[position + 1 :]
    if wrong != number:
        assert person_of(wrong) is None
