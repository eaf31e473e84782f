"""The relying party against a provider that lies in one place at a time (OpenID Connect Core §3.1.3.7)."""

import base64
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from consent.oauth.errors import ConfigurationError
from consent.oauth.identity_provider import ProviderDownError
from consent.oauth.sign_in import (
    ANY_WAY,
    DeclinedError,
    Demand,
    Identity,
    NoIdentityError,
    NotConfirmedError,
    Registration,
    RelyingParty,
    TooWeakError,
)
from tests.consent.oauth.openid_provider import CLIENT, REDIRECT_URI, SECRET, Provider, running_provider

RSA = RSAKey.generate_key(2048)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


class Clock:
    """The present, as far as the relying party knows."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def party(provider: Provider, clock: Clock | None = None, **changes: Any) -> RelyingParty:
    values: dict[str, Any] = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uri": REDIRECT_URI,
        "identifiers": {"id_number": "demo-id"},
    }
    return RelyingParty(Registration(**{**values, **changes}), clock or Clock())


async def sign_in(
    provider: Provider, relying: RelyingParty, demand: Demand = ANY_WAY, **returned: str
) -> Identity:
    attempt, _ = await relying.begin(demand)
    provider.nonce = attempt.nonce
    return await relying.finish(attempt, {"state": attempt.state, "code": "code", **returned})


async def test_a_person_is_sent_away_with_pkce_state_and_nonce(provider: Provider) -> None:
    provider.metadata["authorization_endpoint"] = f"{provider.issuer}/authorize?tenant=1"
    attempt, url = await party(provider).begin()
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{provider.issuer}/authorize?tenant=1&")
    assert (sent["response_type"], sent["client_id"], sent["redirect_uri"]) == ("code", CLIENT, REDIRECT_URI)
    assert (sent["state"], sent["nonce"], sent["code_challenge_method"]) == (
        attempt.state,
        attempt.nonce,
        "S256",
    )
    assert sent["scope"].split()[0] == "openid"
    assert not {"acr_values", "prompt", "max_age", "claims"} & set(sent)
    assert attempt.verifier not in url
    assert attempt.state not in repr(attempt)


async def test_what_is_demanded_is_asked_of_the_provider(provider: Provider) -> None:
    provider.metadata["claims_parameter_supported"] = True
    _, url = await party(provider).begin(Demand(("low", "high"), fresh=True))
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (sent["acr_values"], sent["prompt"], sent["max_age"]) == ("low high", "login", "0")
    assert json.loads(sent["claims"])["id_token"] == {
        "id_number": None,
        "name": None,
        "auth_time": {"essential": True},
        "acr": {"essential": True, "values": ["low", "high"]},
    }


async def test_a_person_who_signed_in_as_demanded_is_signed_in(provider: Provider) -> None:
    now = int(time.time())
    provider.claims = {"acr": "high", "auth_time": now, "sid": "a session"}
    identity = await sign_in(provider, party(provider), Demand(("low", "high"), fresh=True))
    assert (identity.acr, identity.session) == ("high", "a session")
    assert identity.authenticated_at == datetime.fromtimestamp(now, UTC)
    assert "a session" not in repr(identity)


@pytest.mark.parametrize(
    ("demand", "claims"),
    [
        (Demand(("high",)), {}),
        (Demand(("high",)), {"acr": "low"}),
        (Demand(("high",)), {"acr": ["high"]}),
        (Demand(fresh=True), {}),
        (Demand(fresh=True), {"auth_time": int(time.time()) - 3600}),
        (Demand(fresh=True), {"auth_time": "now"}),
        (Demand(fresh=True), {"auth_time": True}),
        (Demand(fresh=True), {"auth_time": 10**30}),
    ],
)
async def test_a_person_who_did_not_sign_in_as_demanded_is_not(
    provider: Provider, demand: Demand, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    with pytest.raises((TooWeakError, NotConfirmedError)):
        await sign_in(provider, party(provider), demand)


async def test_the_first_claim_that_holds_a_number_counts(provider: Provider) -> None:
    relying = party(provider, identifiers={"passport": "passport", "id_number": "demo-id"})
    assert (await sign_in(provider, relying)).scheme == "demo-id"
    provider.claims = {"passport": "P1234567"}
    identity = await sign_in(provider, relying)
    assert (identity.scheme, identity.number) == ("passport", "P1234567")


@pytest.mark.parametrize("key", [ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSA])
async def test_whom_the_provider_vouches_for_is_signed_in(provider: Provider, key: Any) -> None:
    provider.key = key
    identity = await sign_in(provider, party(provider))
    assert (identity.number, identity.name) == ("999999190001010015", "Ada Example")
    assert identity.number not in repr(identity)


async def test_the_client_proves_itself_with_its_secret(provider: Provider) -> None:
    relying = party(provider)
    await sign_in(provider, relying)
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await sign_in(provider, party(provider))
    (basic, header), (post, none) = provider.requests
    assert header is not None
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == ":".join(
        map(quote_plus, (CLIENT, SECRET))
    )
    assert "client_secret" not in basic
    assert none is None
    assert (post["client_id"], post["client_secret"]) == (CLIENT, SECRET)
    assert basic["code_verifier"]
    assert basic["redirect_uri"] == REDIRECT_URI


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"aud": None},
        {"azp": "another client"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"sub": None},
    ],
    ids=str,
)
async def test_a_wrong_claim_proves_nothing(provider: Provider, claims: dict[str, Any]) -> None:
    provider.claims = claims
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


async def test_another_key_proves_nothing(provider: Provider) -> None:
    other = ECKey.generate_key("P-256")
    provider.published = [other.as_dict(private=False, kid=other.thumbprint())]
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (RSA, {"alg": "RS256"}),
        (OctKey.import_key(SECRET), {"alg": "HS256"}),
        (RSA, {"crit": ["b64"], "b64": False}),
    ],
    ids=["RS256", "HS256", "crit"],
)
async def test_an_algorithm_outside_the_list_proves_nothing(
    provider: Provider, key: Any, header: dict[str, Any]
) -> None:
    provider.key, provider.header = key, header
    provider.published = [RSA.as_dict(private=False, kid=key.thumbprint())]
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


async def test_an_unsigned_token_proves_nothing(provider: Provider) -> None:
    _, claims, _ = provider.id_token().split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    provider.answer = {"id_token": f"{header}.{claims}."}
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


async def test_a_new_key_of_the_provider_is_looked_up_but_not_by_every_stranger(provider: Provider) -> None:
    clock = Clock()
    relying = party(provider, clock)
    await sign_in(provider, relying)
    provider.key = ECKey.generate_key("P-256")
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, relying)
    assert provider.metadata_read == 1
    clock.ahead = 60
    provider.claims = {"iat": int(clock()), "exp": int(clock()) + 300}
    assert (await sign_in(provider, relying)).name == "Ada Example"
    assert provider.metadata_read == 2


@pytest.mark.parametrize(
    ("metadata", "returned"),
    [
        ({}, {"iss": "https://other.example"}),
        ({"authorization_response_iss_parameter_supported": True}, {}),
        ({}, {"state": "another"}),
        ({}, {"state": ""}),
    ],
)
async def test_an_answer_of_somebody_else_proves_nothing(
    provider: Provider, metadata: dict[str, Any], returned: dict[str, str]
) -> None:
    provider.metadata = metadata
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider), ANY_WAY, **returned)
    assert provider.requests == [], "the code was sent nowhere"


async def test_an_error_of_the_provider_ends_the_sign_in(provider: Provider) -> None:
    with pytest.raises(DeclinedError):
        await sign_in(provider, party(provider), error="access_denied")


@pytest.mark.parametrize("status", [400, 401, 302])
async def test_a_code_that_is_refused_proves_nothing(provider: Provider, status: int) -> None:
    provider.token_status = status
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


@pytest.mark.parametrize("answer", [{}, {"id_token": 7}, [], {"id_token": "a.b"}, {"id_token": "\u00e9"}])
async def test_an_answer_without_an_id_token_proves_nothing(provider: Provider, answer: object) -> None:
    provider.answer = answer
    with pytest.raises(NotConfirmedError):
        await sign_in(provider, party(provider))


async def test_a_provider_that_fails_may_be_asked_again(provider: Provider) -> None:
    provider.token_status = 503
    with pytest.raises(ProviderDownError):
        await sign_in(provider, party(provider))


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://idp.example/token"},
        {"authorization_endpoint": None},
        {"jwks_uri": "ftp://idp.example"},
    ],
)
async def test_metadata_that_are_not_the_providers_own_are_not_used(
    provider: Provider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    with pytest.raises(ProviderDownError):
        await party(provider).begin()


async def test_a_provider_without_usable_keys_is_down(provider: Provider) -> None:
    provider.published = [{"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-521"}]
    with pytest.raises(ProviderDownError):
        await party(provider).begin()


async def test_a_provider_that_is_away_is_down() -> None:
    away = Provider("http://127.0.0.1:9")
    with pytest.raises(ProviderDownError):
        await party(away).begin()


@pytest.mark.parametrize("number", [None, "", 7, "9" * 65])
async def test_without_an_identity_number_nobody_is_signed_in(provider: Provider, number: object) -> None:
    provider.claims = {"id_number": number}
    with pytest.raises(NoIdentityError):
        await sign_in(provider, party(provider))


@pytest.mark.parametrize("name", [None, "", 7, "x" * 101, "a\nb"])
async def test_a_name_is_shown_only_where_it_is_one(provider: Provider, name: object) -> None:
    provider.claims = {"name": name}
    assert (await sign_in(provider, party(provider))).name is None


def test_a_provider_in_the_open_is_not_trusted() -> None:
    with pytest.raises(ConfigurationError):
        Registration("http://idp.example", CLIENT, SECRET, REDIRECT_URI, {"id_number": "demo-id"})
