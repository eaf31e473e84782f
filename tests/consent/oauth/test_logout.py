"""Logout tokens of a provider that lies in one place at a time (Back-Channel Logout 1.0 §2.6)."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from joserfc.jwk import ECKey

from consent.oauth.logout import EVENT, LogoutTokenError, session_to_end
from consent.oauth.sign_in import Registration, RelyingParty
from tests.consent.oauth.openid_provider import CLIENT, REDIRECT_URI, SECRET, Provider, running_provider


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        running.claims = {"nonce": None, "sid": "a session", "events": {EVENT: {}}, "jti": "one"}
        yield running


def relying(provider: Provider) -> RelyingParty:
    return RelyingParty(Registration(provider.issuer, CLIENT, SECRET, REDIRECT_URI, {"id_number": "demo-id"}))


@pytest.mark.parametrize("header", [{}, {"typ": "logout+jwt"}, {"typ": "JWT"}])
async def test_a_logout_token_names_the_session_that_is_over(
    provider: Provider, header: dict[str, str]
) -> None:
    provider.header = header
    assert await session_to_end(relying(provider), provider.id_token()) == "a session"


async def test_an_audience_may_be_a_list_of_us_alone(provider: Provider) -> None:
    provider.claims["aud"] = [CLIENT]
    assert await session_to_end(relying(provider), provider.id_token()) == "a session"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"iat": int(time.time()) - 3600},
        {"iat": int(time.time()) + 3600},
        {"iat": None},
        {"exp": int(time.time()) - 1},
        {"exp": None},
        {"events": None},
        {"events": {}},
        {"events": {EVENT: True}},
        {"events": [EVENT]},
        {"nonce": "a nonce"},
        {"sid": None},
        {"sid": ""},
        {"sid": 7},
        {"sid": "x" * 257},
    ],
)
async def test_a_token_that_is_wrong_in_one_place_ends_nothing(
    provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims |= claims
    with pytest.raises(LogoutTokenError):
        await session_to_end(relying(provider), provider.id_token())


async def test_a_token_of_another_type_or_key_ends_nothing(provider: Provider) -> None:
    provider.header = {"typ": "at+jwt"}
    with pytest.raises(LogoutTokenError):
        await session_to_end(relying(provider), provider.id_token())
    provider.header, mine = {}, provider.key
    provider.published = [mine.as_dict(private=False, kid=mine.thumbprint())]
    provider.key = ECKey.generate_key("P-256")
    with pytest.raises(LogoutTokenError):
        await session_to_end(relying(provider), provider.id_token())


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "\u00e9.b.c"])
async def test_what_is_no_token_ends_nothing(provider: Provider, token: str) -> None:
    with pytest.raises(LogoutTokenError):
        await session_to_end(relying(provider), token)
