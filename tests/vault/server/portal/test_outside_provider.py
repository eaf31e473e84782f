"""Sign-in at a provider outside the vault, as in production; and without any."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from stdnum.cn import ric

from tests.consent.oauth.openid_provider import CLIENT, SECRET, Provider, running_provider
from tests.loopback import asking, bound, serving
from vault.crypto.blind import CN_RIC
from vault.server.app import build_app
from vault.server.assembly import Vault

_HEAD = "11010119000101001"
NUMBER = _HEAD + ric.calc_check_digit(_HEAD + "0")


def set_for(vault: Vault, url: str, **changes: Any) -> Vault:
    """The vault outside demo mode, at this address."""
    settings = vault.settings.model_copy(update={"issuer": url, "demo": False, **changes})
    return replace(vault, settings=settings, schemes=frozenset({CN_RIC}))


async def come_back(http: httpx.AsyncClient, provider: Provider) -> httpx.Response:
    """Begins a sign-in, and comes back from the provider with a code."""
    url = urlsplit((await http.get("/sign-in?return_to=/accesses")).headers["location"])
    sent = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert f"{url.scheme}://{url.netloc}" == provider.issuer
    provider.nonce = sent["nonce"]
    return await http.get(sent["redirect_uri"], params={"code": "code", "state": sent["state"]})


@pytest.mark.parametrize(
    ("number", "name", "status"),
    [
        (NUMBER, "Wei Example", httpx.codes.SEE_OTHER),
        (NUMBER, None, httpx.codes.SEE_OTHER),
        ("999999190001010015", "Wei Example", httpx.codes.BAD_REQUEST),
        (NUMBER[:-1] + "-", "Wei Example", httpx.codes.BAD_REQUEST),
    ],
)
async def test_a_claim_of_an_outside_provider_is_the_identity_number(
    vault: Vault, number: str, name: str | None, status: int
) -> None:
    port, url = bound()
    async with running_provider() as provider:
        provider.claims = {"id_number": number, "name": name}
        outside = set_for(
            vault,
            url,
            sign_in_issuer=provider.issuer,
            sign_in_client=CLIENT,
            sign_in_secret=SecretStr(SECRET),
        )
        async with (
            serving(build_app(outside), port),
            asking(url) as http,
        ):
            answer = await come_back(http, provider)
            me = await http.get("/v1/me")
    assert answer.status_code == status
    if status == httpx.codes.SEE_OTHER:
        assert answer.headers["location"] == "/accesses"
        assert (me.json()["known"], me.json()["display_name"]) == (False, name or "You")
    else:
        assert "gave no usable identity number" in answer.text
        assert number not in answer.text
        assert me.status_code == httpx.codes.UNAUTHORIZED


async def test_a_provider_that_is_away_is_told_on_a_page(vault: Vault) -> None:
    port, url = bound()
    away = set_for(
        vault,
        url,
        sign_in_issuer="http://127.0.0.1:9",
        sign_in_client=CLIENT,
        sign_in_secret=SecretStr(SECRET),
    )
    async with serving(build_app(away), port), asking(url) as http:
        answer = await http.get("/sign-in")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "cannot be reached now" in answer.text


async def test_without_a_provider_nobody_can_sign_in(vault: Vault) -> None:
    port, url = bound()
    none = set_for(vault, url)
    async with serving(build_app(none), port), asking(url) as http:
        begun, ended = await http.get("/sign-in"), await http.get("/sign-in/callback?code=a&state=b")
        out = await http.post("/sign-out")
        missing = await http.get("/demo-provider/jwks")
    assert begun.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "Sign-in is not set up" in begun.text
    assert ended.status_code == httpx.codes.BAD_REQUEST
    assert out.status_code == httpx.codes.SEE_OTHER, "whoever is signed out already is sent on"
    assert missing.status_code == httpx.codes.NOT_FOUND
