"""Signing in, more surely, and out again at a provider that somebody else wrote: npm oidc-provider."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from html import unescape
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from stdnum.cn import ric

from tests.loopback import asking, bound, serving
from tests.node_programs import needs, openid_provider
from vault.crypto.blind import CN_RIC
from vault.server.app import build_app
from vault.server.assembly import Vault

_HEAD = "11010119000101001"
NUMBER = _HEAD + ric.calc_check_digit(_HEAD + "0")
PEOPLE = {"wei": {"name": "Wei Example", "id_number": NUMBER}, "nobody": {"name": "Nobody Example"}}


@dataclass
class Person:
    """A person's browser, between the vault and the provider."""

    url: str
    provider: str
    http: httpx.AsyncClient

    async def go(self, url: str) -> httpx.Response:
        """Follows redirects until a page comes."""
        response = await self.http.get(url)
        while response.is_redirect:
            response = await self.http.get(urljoin(str(response.url), response.headers["location"]))
        return response

    async def sign_in(self, url: str, account: str = "wei", acr: str = "high") -> httpx.Response:
        """Goes where a sign-in is needed, signs in at the provider, and comes back."""
        asked = await self.go(url)
        assert "/interaction/" in str(asked.url), asked.text
        answer = await self.http.post(asked.url, data={"account": account, "acr": acr})
        return await self.go(urljoin(str(asked.url), answer.headers["location"]))

    async def me(self) -> httpx.Response:
        return await self.http.get("/v1/me")

    async def sign_out(self) -> httpx.Response:
        csrf = (await self.me()).json()["csrf_token"]
        return await self.http.post("/sign-out", data={"csrf": csrf})


@asynccontextmanager
async def person(vault: Vault, **changes: Any) -> AsyncIterator[Person]:
    needs("oidc-provider")  # before a port is held
    port, url = bound()
    given = {
        "client": "vault client",
        "secret": "s3cret:with+signs",
        "redirectUri": f"{url}/sign-in/callback",
        "postLogoutUri": f"{url}/signed-out",
        "backchannelUri": f"{url}/sign-in/back-channel-logout",
        "people": PEOPLE,
    }
    async with openid_provider(given) as provider:
        settings = vault.settings.model_copy(
            update={
                "issuer": url,
                "demo": False,
                "sign_in_issuer": provider,
                "sign_in_client": given["client"],
                "sign_in_secret": SecretStr("s3cret:with+signs"),
                **changes,
            }
        )
        served = replace(vault, settings=settings, schemes=frozenset({CN_RIC}))
        async with (
            serving(build_app(served), port),
            asking(url) as http,
        ):
            yield Person(url, provider, http)


async def age(vault: Vault, minutes: int) -> None:
    """Lets every session have been without a request for that long."""
    async with vault.engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.citizen_session SET expires_at = expires_at - make_interval(mins => :minutes)"
            ),
            {"minutes": minutes},
        )


async def test_a_person_signs_in_and_is_who_the_provider_says(vault: Vault) -> None:
    async with person(vault) as wei:
        page = await wei.sign_in("/accesses?show=everything")
        assert (page.status_code, page.url.path, page.url.query) == (200, "/accesses", b"show=everything")
        me = (await wei.me()).json()
        assert (me["display_name"], me["known"]) == ("Wei Example", False)


async def test_the_provider_knows_the_person_until_they_sign_out_there_too(vault: Vault) -> None:
    async with person(vault) as wei:
        await wei.sign_in("/records")
        await wei.http.post("/sign-out", data={"csrf": "a guess"})
        assert (await wei.me()).status_code == httpx.codes.OK, "a form from elsewhere signs nobody out"
        signed_out = await wei.sign_out()
        assert (await wei.me()).status_code == httpx.codes.UNAUTHORIZED
        (elsewhere,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', signed_out.text)
        elsewhere = unescape(elsewhere)
        assert elsewhere.startswith(wei.provider + "/session/end?")
        assert "id_token_hint" not in elsewhere, "an id_token would carry the identity number"
        assert (await wei.go("/records")).url.path == "/records", "the provider knows them still"
        await wei.sign_out()
        asked = await wei.go(elsewhere)
        (xsrf,) = re.findall(r'name="xsrf" value="([^"]+)"', asked.text)
        ended = await wei.http.post(
            f"{wei.provider}/session/end/confirm", data={"xsrf": xsrf, "logout": "yes"}
        )
        back = await wei.go(ended.headers["location"])
        assert (back.url.path, back.url.query) == ("/", b"done=signed-out")
        assert "/interaction/" in str((await wei.go("/records")).url), "the provider asks again"


async def test_a_sign_out_at_the_provider_ends_the_session_here(vault: Vault) -> None:
    async with person(vault) as wei:
        await wei.sign_in("/records")
        asked = await wei.go(f"{wei.provider}/session/end")
        (xsrf,) = re.findall(r'name="xsrf" value="([^"]+)"', asked.text)
        # The provider tells the vault through the back channel before it answers.
        await wei.http.post(f"{wei.provider}/session/end/confirm", data={"xsrf": xsrf, "logout": "yes"})
        assert (await wei.me()).status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("token", ["", "a.b.c"])
async def test_a_stranger_ends_nobodys_session_through_the_back_channel(vault: Vault, token: str) -> None:
    async with person(vault) as wei:
        await wei.sign_in("/records")
        answer = await wei.http.post("/sign-in/back-channel-logout", data={"logout_token": token})
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})
        assert (await wei.me()).status_code == httpx.codes.OK


async def test_what_is_sensitive_needs_the_person_anew(vault: Vault) -> None:
    async with person(vault, sign_in_fresh_seconds=0) as wei:
        await wei.sign_in("/records")
        refused = await wei.http.get("/v1/me/log-keys")
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (401, "signed-in-weakly")
        assert 'error="insufficient_user_authentication"' in refused.headers["www-authenticate"]
        # The provider knows the person still, and asks them all the same.
        asked = await wei.go("/sign-in?return_to=/records&act=keys")
        assert asked.json()["prompt"] == "login"
        answer = await wei.http.post(asked.url, data={"account": "wei", "acr": "high"})
        assert (await wei.go(urljoin(str(asked.url), answer.headers["location"]))).url.path == "/records"


async def test_a_step_up_asks_for_the_stronger_way_and_takes_no_other(vault: Vault) -> None:
    async with person(vault, sign_in_acr="read=low high,keys=high") as wei:
        page = await wei.sign_in("/records", acr="low")
        assert page.url.path == "/records"
        assert (await wei.http.get("/v1/me/log-keys")).status_code == httpx.codes.UNAUTHORIZED
        asked = await wei.go("/accesses/log-keys")
        assert asked.json()["prompt"] == "login"
        answer = await wei.http.post(asked.url, data={"account": "wei", "acr": "high"})
        page = await wei.go(urljoin(str(asked.url), answer.headers["location"]))
        # Signed in surely enough; the vault does not know this person, so it has no keys of theirs.
        assert (page.url.path, page.status_code) == ("/accesses/log-keys", httpx.codes.NOT_FOUND)
        assert (await wei.http.get("/v1/me/log-keys")).status_code == httpx.codes.NOT_FOUND


async def test_a_person_without_an_identity_number_is_not_signed_in(vault: Vault) -> None:
    async with person(vault) as nobody:
        page = await nobody.sign_in("/records", account="nobody")
        assert page.status_code == httpx.codes.BAD_REQUEST
        assert "gave no usable identity number" in page.text
        assert (await nobody.me()).status_code == httpx.codes.UNAUTHORIZED


async def test_a_person_who_ends_it_at_the_provider_is_not_signed_in(vault: Vault) -> None:
    async with person(vault) as wei:
        asked = await wei.go("/records")
        answer = await wei.http.post(asked.url, data={})
        page = await wei.go(urljoin(str(asked.url), answer.headers["location"]))
        assert "cancelled at the identity provider" in page.text


async def test_a_session_falls_idle_and_never_outlives_its_end(vault: Vault) -> None:
    async with person(vault, session_idle_minutes=20, session_minutes=30) as wei:
        await wei.sign_in("/records")
        first = (await wei.me()).json()
        assert first["expires_at"] < first["ends_at"]
        await age(vault, 19)
        again = (await wei.me()).json()
        assert again["expires_at"] >= first["expires_at"], "a request keeps it from falling idle"
        assert again["ends_at"] == first["ends_at"]
        async with vault.engine.begin() as connection:
            await connection.execute(
                text("UPDATE vault.citizen_session SET ends_at = now() + interval '1 minute'")
            )
        last = (await wei.me()).json()
        assert last["expires_at"] == last["ends_at"]
        await age(vault, 21)
        assert (await wei.me()).status_code == httpx.codes.UNAUTHORIZED
