"""What may be pushed, and that an error stays between client and server."""

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import text

from consent.oauth.par import URN
from tests.consent.oauth.world import (
    AUDIENCE,
    CALLBACK,
    Browser,
    Client,
    World,
    answered,
    consented,
    content,
    proof,
    refused,
)


async def test_a_request_gets_a_name_of_its_own(bank: Client) -> None:
    first, second = await bank.push(), await bank.push()
    assert first.status_code == second.status_code == 201
    assert first.json()["request_uri"] != second.json()["request_uri"]
    assert first.json()["request_uri"].startswith(URN)
    assert len(first.json()["request_uri"]) >= len(URN) + 43
    assert first.json()["expires_in"] <= 300
    assert first.headers["cache-control"] == "no-store"


async def test_the_database_cannot_name_a_request(world: World, bank: Client) -> None:
    request_uri = await bank.request_uri()
    async with world.log.engine.connect() as connection:
        row = (await connection.execute(text("SELECT p::text FROM consent.pushed_request p"))).scalar_one()
    assert request_uri.removeprefix(URN) not in row


UNFIT: tuple[tuple[dict[str, Any], str], ...] = (
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"response_type": None}, "unsupported_response_type"),
    ({"redirect_uri": None}, "invalid_request"),
    ({"redirect_uri": CALLBACK + "/"}, "invalid_request"),
    ({"redirect_uri": CALLBACK + "?a=b"}, "invalid_request"),
    ({"redirect_uri": CALLBACK.upper()}, "invalid_request"),
    ({"redirect_uri": "https://attacker.example/"}, "invalid_request"),
    ({"redirect_uri": "javascript:alert(1)"}, "invalid_request"),
    ({"client_id": None}, "invalid_client"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge": "x" * 44}, "invalid_request"),
    ({"code_challenge": "x" * 43 + "\n"}, "invalid_request"),
    ({"state": "x" * 2049}, "invalid_request"),
    ({"state": "a\nb"}, "invalid_request"),
    ({"state": "信"}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"scope": "openid"}, "invalid_scope"),
    ({"resource": "https://other.example"}, "invalid_target"),
    ({"request": "a.b.c"}, "invalid_request"),
    ({"request_uri": URN + "x"}, "invalid_request"),
    ({"dpop_jkt": None}, "invalid_request"),
    ({"dpop_jkt": "short"}, "invalid_request"),
    ({"dpop_jkt": "é" * 43}, "invalid_request"),
    ({"authorization_details": None}, "invalid_authorization_details"),
    ({"authorization_details": "["}, "invalid_authorization_details"),
    ({"authorization_details": '[{"type":"inspection"}]'}, "invalid_authorization_details"),
    (
        {"authorization_details": json.dumps([consented(purpose="marketing")])},
        "invalid_authorization_details",
    ),
    (
        {"authorization_details": json.dumps([consented(fields=["JUD.performance"])])},
        "invalid_authorization_details",
    ),
    ({"authorization_details": json.dumps([consented(), consented()])}, "invalid_authorization_details"),
)


async def test_what_does_not_fit_is_refused_as_json(bank: Client, subtests: pytest.Subtests) -> None:
    for changes, code in UNFIT:
        with subtests.test(changes=changes):
            refused(await bank.push(**changes), code)


async def test_a_state_of_two_thousand_characters_comes_back(bank: Client, citizen: Browser) -> None:
    state = "x" * 2048
    page = (await citizen.open(bank, await bank.request_uri(state=state))).json()
    assert answered(await citizen.send(page))["state"] == state


async def test_what_is_not_known_is_not_minded(bank: Client) -> None:
    response = await bank.push(
        prompt="login", nonce="n", response_mode="query", resource=AUDIENCE, state=None
    )
    assert response.status_code == 201


async def test_only_a_body_that_may_ask_can_push(furnisher: Client) -> None:
    refused(await furnisher.push(), "unauthorized_client")


async def test_the_key_may_be_named_by_proof(bank: Client, citizen: Browser) -> None:
    dpop = proof(bank.dpop_key, "/oauth/par")
    request_uri = await bank.request_uri(dpop_jkt=None, dpop=dpop)
    answer = await bank.exchange(await citizen.grant(bank, request_uri))
    assert content(answer.json()["access_token"])[1]["cnf"]["jkt"] == bank.dpop_key.thumbprint()


async def test_named_twice_the_key_is_the_same(bank: Client) -> None:
    other = ECKey.generate_key("P-256")
    refused(await bank.push(dpop=proof(other, "/oauth/par")), "invalid_request")
    assert (await bank.push(dpop=proof(bank.dpop_key, "/oauth/par"))).status_code == 201


async def test_a_bad_proof_is_refused_though_it_is_not_needed(bank: Client) -> None:
    refused(await bank.push(dpop=proof(bank.dpop_key, "/oauth/token")), "invalid_dpop_proof")
    once = proof(bank.dpop_key, "/oauth/par")
    assert (await bank.push(dpop=once)).status_code == 201
    refused(await bank.push(dpop=once), "invalid_dpop_proof")


async def test_a_bad_proof_costs_no_assertion(bank: Client) -> None:
    assertion = bank.assertion()
    refused(await bank.push(dpop="x", assertion=assertion), "invalid_dpop_proof")
    assert (await bank.push(assertion=assertion)).status_code == 201


async def test_a_state_comes_back_to_the_letter(bank: Client, citizen: Browser) -> None:
    state = "a&b=c d+e%20\"'<>\\"
    page = await citizen.open(bank, await bank.request_uri(state=state))
    assert answered(await citizen.send(page.json()))["state"] == state
