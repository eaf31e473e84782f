"""private_key_jwt: every check of an assertion, one by one, at an endpoint that needs nothing else."""

import time
from typing import Any
from uuid import uuid4

import pytest
from httpx import Response
from joserfc.jwk import ECKey, OctKey, OKPKey

from access_log.log import Log
from consent.bodies import strike_off_body, suspend_body
from consent.body_keys import replace_keys
from tests.consent.oauth.world import (
    AUDIENCE,
    EC_KEY,
    INSPECTION,
    ISSUER,
    RSA_KEY,
    Client,
    World,
    encoded,
    refused,
)
from tests.consent.registers import KEY, OPERATOR, Registered

NO_TOKEN = {"token": "x"}


async def introspect(client: Client, assertion: str | None = None, **parameters: Any) -> Response:
    return await client.post("/oauth/introspect", client.authenticated(assertion, **NO_TOKEN, **parameters))


async def test_a_good_assertion_authenticates(bank: Client) -> None:
    response = await introspect(bank)
    assert (response.status_code, response.json()) == (200, {"active": False})


async def test_every_algorithm_of_the_profile(log: Log, bank: Client) -> None:
    for key in (RSA_KEY, EC_KEY, KEY):
        async with log.writing() as writing:
            jwks = {"keys": [{**key.as_dict(private=False), "kid": "one"}]}
            await replace_keys(writing, bank.body_id, jwks, OPERATOR)
        bank.key = key
        assert (await introspect(bank)).status_code == 200


async def test_algorithms_outside_the_profile(log: Log, bank: Client) -> None:
    async with log.writing() as writing:
        jwks = {"keys": [{**RSA_KEY.as_dict(private=False), "kid": "one"}]}
        await replace_keys(writing, bank.body_id, jwks, OPERATOR)
    bank.key = RSA_KEY
    for algorithm in ("RS256", "RS512", "PS512"):
        refused(await introspect(bank, bank.assertion(algorithm=algorithm)), "invalid_client")
    secret = Client(bank.http, bank.body_id, key=OctKey.generate_key(256))  # type: ignore[arg-type]
    refused(await introspect(bank, secret.assertion(algorithm="HS256")), "invalid_client")


async def test_an_unsigned_assertion(bank: Client) -> None:
    _, payload, signature = bank.assertion().split(".")
    for header in (b'{"alg":"none"}', b'{"alg":"none","kid":"one"}', b"{}"):
        for end in ("", signature):
            refused(await introspect(bank, f"{encoded(header)}.{payload}.{end}"), "invalid_client")


async def test_another_key(bank: Client) -> None:
    thief = Client(bank.http, bank.body_id, key=OKPKey.generate_key("Ed25519"))
    refused(await introspect(bank, thief.assertion()), "invalid_client")
    unnamed = Client(bank.http, bank.body_id, key=ECKey.generate_key("P-256"), kid=None)
    refused(await introspect(bank, unnamed.assertion()), "invalid_client")


async def test_during_a_rotation_both_keys_serve(log: Log, bank: Client) -> None:
    new = ECKey.generate_key("P-256")
    async with log.writing() as writing:
        keys = [{**KEY.as_dict(private=False), "kid": "one"}, {**new.as_dict(private=False), "kid": "two"}]
        await replace_keys(writing, bank.body_id, {"keys": keys}, OPERATOR)
    rotated = Client(bank.http, bank.body_id, key=new, kid="two")
    unnamed = Client(bank.http, bank.body_id, key=new, kid=None)
    for client in (bank, rotated, unnamed):
        assert (await introspect(client)).status_code == 200


async def test_another_signed_object_of_the_body_is_no_assertion(bank: Client) -> None:
    for typ in ("at+jwt", "dpop+jwt", "creditvault-statement", ""):
        refused(await introspect(bank, bank.assertion(header={"typ": typ})), "invalid_client")
    for typ in ("JWT", "client-authentication+jwt"):
        assert (await introspect(bank, bank.assertion(header={"typ": typ}))).status_code == 200


async def test_a_claim_that_is_missing(bank: Client) -> None:
    for claim in ("iss", "sub", "aud", "exp", "jti"):
        refused(await introspect(bank, bank.assertion(**{claim: None})), "invalid_client")


BAD_CLAIMS: tuple[dict[str, Any], ...] = (
    {"aud": [ISSUER]},
    {"aud": [ISSUER, "https://other.example"]},
    {"aud": ISSUER + "/oauth/token"},
    {"aud": ISSUER + "/"},
    {"aud": AUDIENCE},
    {"aud": {}},
    {"iss": "someone"},
    {"iss": str(uuid4())},
    {"sub": str(uuid4()), "iss": str(uuid4())},
    {"sub": 7, "iss": 7},
    {"sub": "\ud800", "iss": "\ud800"},
    {"sub": "a\0b", "iss": "a\0b"},
    {"exp": True},
    {"exp": "soon"},
    {"exp": float("nan")},
    {"exp": float("inf")},
    {"exp": 1e300},
    {"exp": 0},
    {"nbf": "now"},
    {"jti": ""},
    {"jti": 7},
    {"jti": "x" * 257},
    {"jti": "\ud800"},
    {"jti": "a\0b"},
)


async def test_claims_that_do_not_do(bank: Client, subtests: pytest.Subtests) -> None:
    for claims in BAD_CLAIMS:
        with subtests.test(claims=claims):
            refused(await introspect(bank, bank.assertion(**claims)), "invalid_client")


async def test_the_end_is_near(bank: Client) -> None:
    for ahead, status in ((-1, 400), (5, 200), (305, 200), (320, 400), (86_400, 400)):
        response = await introspect(bank, bank.assertion(exp=time.time() + ahead))
        assert (ahead, response.status_code) == (ahead, status)


async def test_the_beginning_is_not_ahead(bank: Client) -> None:
    for name in ("iat", "nbf"):
        for ahead, status in ((-3600, 200), (8, 200), (15, 400), (61, 400)):
            claims: dict[str, Any] = {name: time.time() + ahead}
            response = await introspect(bank, bank.assertion(**claims))
            assert (name, ahead, response.status_code) == (name, ahead, status)


async def test_an_assertion_serves_once_at_whatever_endpoint(bank: Client) -> None:
    assertion = bank.assertion()
    assert (await introspect(bank, assertion)).status_code == 200
    refused(await introspect(bank, assertion), "invalid_client")
    refused(await bank.push(assertion=assertion), "invalid_client")


async def test_an_assertion_is_used_up_by_a_request_that_fails(bank: Client) -> None:
    assertion = bank.assertion()
    refused(await bank.push(assertion=assertion, response_type="token"), "unsupported_response_type")
    refused(await bank.push(assertion=assertion), "invalid_client")


async def test_two_bodies_may_use_one_id(bank: Client, court: Client) -> None:
    for client in (bank, court):
        assert (await introspect(client, client.assertion(jti="same"))).status_code == 200


async def test_the_client_id_beside_the_assertion_is_the_same(bank: Client, court: Client) -> None:
    refused(await introspect(bank, client_id=court.client_id), "invalid_client")
    assert (await introspect(bank, client_id=None)).status_code == 200


async def test_no_assertion(bank: Client, subtests: pytest.Subtests) -> None:
    for parameters in (
        {"client_assertion": None},
        {"client_assertion": "x"},
        {"client_assertion": "a.b.c"},
        {"client_assertion": "信"},
        {"client_assertion_type": None},
        {"client_assertion_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"},
        {"client_assertion": None, "client_secret": "secret"},
    ):
        with subtests.test(parameters=parameters):
            form = bank.authenticated(**NO_TOKEN) | parameters
            given = {name: value for name, value in form.items() if value is not None}
            refused(await bank.post("/oauth/introspect", given), "invalid_client")


async def test_another_spelling_of_the_id_is_another_client(world: World, registered: Registered) -> None:
    for spelling in (str(registered.bank).upper(), registered.bank.hex, f"{{{registered.bank}}}"):
        client = world.client(registered.bank)
        refused(await introspect(client, client.assertion(iss=spelling, sub=spelling)), "invalid_client")


async def test_a_struck_off_body_is_no_client(log: Log, bank: Client) -> None:
    async with log.writing() as writing:
        await strike_off_body(writing, bank.body_id, "sold data", OPERATOR)
    refused(await introspect(bank), "invalid_client")


async def test_a_suspended_body_is_known_but_may_obtain_nothing(log: Log, bank: Client) -> None:
    async with log.writing() as writing:
        await suspend_body(writing, bank.body_id, "under inquiry", OPERATOR)
    assert (await introspect(bank)).status_code == 200
    refused(await bank.push(), "unauthorized_client")
    refused(await bank.own_token(INSPECTION), "unauthorized_client")
    refused(await bank.exchange("code"), "unauthorized_client")
