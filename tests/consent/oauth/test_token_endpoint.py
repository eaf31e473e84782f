"""What the token endpoint gives, to whom, and for how long."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, OKPKey
from sqlalchemy.ext.asyncio import create_async_engine

from access_log.log import Log
from consent.statutes import revoke_unsigned
from tests.consent.oauth.world import (
    AUDIENCE,
    EC_KEY,
    INSPECTION,
    ISSUER,
    RSA_KEY,
    SUBJECT,
    Browser,
    Client,
    Hasher,
    Key,
    World,
    build,
    consented,
    content,
    proof,
    refused,
    statutory,
)
from tests.consent.registers import OPERATOR, Registered

SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}


async def test_a_court_gets_a_token_for_one_person(court: Client, registered: Registered) -> None:
    response = await court.own_token(statutory(registered.authorization, registered.judge))
    assert response.status_code == 200, response.text
    body = response.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "authorization_details"}
    header, claims = content(body["access_token"])
    assert header["typ"] == "at+jwt"
    assert (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)
    assert (claims["sub"], claims["client_id"]) == (f"body:{court.body_id}", court.client_id)
    assert claims["cnf"] == {"jkt": court.dpop_key.thumbprint()}
    assert claims["authorization"] == str(registered.authorization)
    (details,) = claims["authorization_details"]
    assert details["subject_hash"] == await Hasher().subject_hash(**SUBJECT)
    assert "subject" not in details
    assert body["authorization_details"] == [details]
    assert SUBJECT["number"] not in response.text
    assert (await court.use(body["access_token"])).json() == {"sub": f"body:{court.body_id}"}


async def test_known_and_unknown_persons_are_alike(court: Client, registered: Registered) -> None:
    # Nobody is enrolled at all: a token neither needs nor tells that anyone is.
    for number in ("999999190001010015", "1"):
        details = statutory(
            registered.authorization, registered.judge, subject={"scheme": "demo-id", "number": number}
        )
        assert (await court.own_token(details)).status_code == 200


async def test_an_identifier_that_is_none_is_refused_without_an_echo(
    court: Client, registered: Registered
) -> None:
    for subject in ({"scheme": "demo-id", "number": "ABC"}, {"scheme": "other", "number": "1"}):
        details = statutory(registered.authorization, registered.judge, subject=subject)
        response = await court.own_token(details)
        refused(response, "invalid_authorization_details")
        assert subject["number"] not in response.json()["error_description"]


async def test_the_authorization_is_the_bodys_and_live(
    world: World, log: Log, court: Client, bank: Client, registered: Registered
) -> None:
    live = statutory(registered.authorization, registered.judge)
    refused(await bank.own_token(live), "invalid_authorization_details")
    refused(await court.own_token(statutory(uuid4(), registered.judge)), "invalid_authorization_details")
    world.clock.ahead = 31 * 86_400
    later = int(world.clock())
    refused(
        await court.own_token(
            live,
            assertion=court.assertion(exp=later + 60, iat=later),
            dpop=proof(court.dpop_key, "/oauth/token", now=later),
        ),
        "invalid_authorization_details",
    )
    world.clock.ahead = 0
    assert (await court.own_token(live)).status_code == 200
    async with log.writing() as writing:
        await revoke_unsigned(writing, registered.authorization, "no longer needed", OPERATOR)
    refused(await court.own_token(live), "invalid_authorization_details")


async def test_capacities(
    furnisher: Client, inspector: Client, court: Client, registered: Registered
) -> None:
    query = statutory(registered.authorization, registered.judge)
    for client, details in ((furnisher, SUBMISSION), (inspector, INSPECTION)):
        response = await client.own_token(details)
        assert response.status_code == 200, response.text
        claims = content(response.json()["access_token"])[1]
        assert claims["authorization_details"] == [details]
        assert "grant" not in claims
        assert "authorization" not in claims
    for client, details in (
        (court, SUBMISSION),
        (court, INSPECTION),
        (furnisher, INSPECTION),
        (furnisher, query),
        (inspector, SUBMISSION),
        (inspector, query),
    ):
        refused(await client.own_token(details), "unauthorized_client")


UNFIT: tuple[tuple[dict[str, Any], str], ...] = (
    ({"grant_type": None}, "unsupported_grant_type"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ({"grant_type": 'a"b'}, "unsupported_grant_type"),
    ({"grant_type": "信"}, "unsupported_grant_type"),
    ({"authorization_details": None}, "invalid_authorization_details"),
    ({"authorization_details": "{}"}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([consented()])}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([SUBMISSION, SUBMISSION])}, "invalid_authorization_details"),
    ({"authorization_details": json.dumps([SUBMISSION | {"x": 1}])}, "invalid_authorization_details"),
    ({"scope": "openid"}, "invalid_scope"),
    ({"resource": "https://other.example"}, "invalid_target"),
)


async def test_requests_that_do_not_fit(furnisher: Client, subtests: pytest.Subtests) -> None:
    good = {"grant_type": "client_credentials", "authorization_details": json.dumps([SUBMISSION])}
    for changes, code in UNFIT:
        with subtests.test(changes=changes):
            refused(await furnisher.token(**(good | changes)), code)
    assert (await furnisher.token(**good, resource=AUDIENCE)).status_code == 200


async def test_every_kind_of_dpop_key(furnisher: Client) -> None:
    keys: tuple[Key, ...] = (RSA_KEY, EC_KEY, OKPKey.generate_key("Ed25519"))
    for key in keys:
        furnisher.dpop_key = key
        token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
        assert content(token)[1]["cnf"] == {"jkt": key.thumbprint()}
        assert (await furnisher.use(token)).status_code == 200


async def test_no_token_without_a_proof(furnisher: Client) -> None:
    form = furnisher.authenticated(
        grant_type="client_credentials", authorization_details=json.dumps([SUBMISSION])
    )
    refused(await furnisher.post("/oauth/token", form), "invalid_dpop_proof")
    for dpop in ("x", proof(EC_KEY, "/oauth/par"), proof(EC_KEY, "/oauth/token", method="GET")):
        refused(await furnisher.post("/oauth/token", form, dpop=dpop), "invalid_dpop_proof")
    # None of those failures cost the assertion.
    assert (await furnisher.post("/oauth/token", form, dpop=proof(EC_KEY, "/oauth/token"))).status_code == 200


async def test_a_proof_serves_once(furnisher: Client) -> None:
    dpop = proof(furnisher.dpop_key, "/oauth/token")
    assert (await furnisher.own_token(SUBMISSION, dpop=dpop)).status_code == 200
    refused(await furnisher.own_token(SUBMISSION, dpop=dpop), "invalid_dpop_proof")


async def test_two_proofs_in_two_headers(furnisher: Client) -> None:
    form = furnisher.authenticated(
        grant_type="client_credentials", authorization_details=json.dumps([SUBMISSION])
    )
    headers = [("DPoP", proof(EC_KEY, "/oauth/token")) for _ in range(2)]
    refused(await furnisher.http.post("/oauth/token", data=form, headers=headers), "invalid_dpop_proof")


async def test_a_required_nonce_costs_one_round_trip_and_no_assertion(log: Log, furnisher: Client) -> None:
    strict = build(log, nonces=True)
    client = strict.client(furnisher.body_id)
    assertion = client.assertion()
    first = await client.own_token(SUBMISSION, assertion=assertion)
    refused(first, "use_dpop_nonce")
    nonce = first.headers["dpop-nonce"]
    dpop = proof(client.dpop_key, "/oauth/token", nonce=nonce)
    second = await client.own_token(SUBMISSION, assertion=assertion, dpop=dpop)
    assert second.status_code == 200
    # Each answer hands out the present nonce, for the next request (RFC 9449 §8.2).
    assert second.headers["dpop-nonce"] == nonce
    token = second.json()["access_token"]
    challenged = await client.use(token)
    assert challenged.status_code == 401
    assert 'error="use_dpop_nonce"' in challenged.headers["www-authenticate"]
    dpop = proof(client.dpop_key, "/v1/queries", token=token, nonce=challenged.headers["dpop-nonce"])
    assert (await client.use(token, dpop=dpop)).status_code == 200
    await strict.http.aclose()


async def test_without_a_database_clients_are_told_to_come_back(log: Log, furnisher: Client) -> None:
    log.engine = create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    down = build(log)
    response = await down.client(furnisher.body_id).own_token(SUBMISSION)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["error"] == "temporarily_unavailable"
    await down.http.aclose()
    await log.engine.dispose()


async def test_a_code_is_exchanged_once(bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    assert (await bank.exchange(code)).status_code == 200
    refused(await bank.exchange(code), "invalid_grant")


async def test_a_code_lives_a_minute(world: World, bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    world.clock.ahead = 61
    now = time.time() + 61
    dpop = proof(bank.dpop_key, "/oauth/token", now=now)
    refused(await bank.exchange(code, dpop=dpop, assertion=bank.assertion(exp=now + 60)), "invalid_grant")


async def test_a_code_is_bound_to_everything_it_was_asked_with(
    bank: Client, court: Client, citizen: Browser, subtests: pytest.Subtests
) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    for changes, expected in (
        ({"redirect_uri": "https://bank.example/other"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": "信" * 43}, "invalid_request"),
        ({"dpop": proof(ECKey.generate_key("P-256"), "/oauth/token")}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"code": "x"}, "invalid_grant"),
        ({"code": "信"}, "invalid_grant"),
        ({"authorization_details": json.dumps([consented()])}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
    ):
        with subtests.test(changes=changes):
            parameters: dict[str, Any] = {"code": code} | changes
            refused(await bank.exchange(**parameters), expected)
    refused(await court.exchange(code), "invalid_grant")
    # None of these was the client itself with everything right: the code still serves, once.
    assert (await bank.exchange(code)).status_code == 200


async def test_a_code_serves_no_other_grant(bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    response = await bank.token(
        grant_type="client_credentials", code=code, authorization_details=json.dumps([consented()])
    )
    refused(response, "invalid_authorization_details")


async def test_the_two_kinds_of_sub_cannot_collide(
    bank: Client, court: Client, citizen: Browser, registered: Registered
) -> None:
    consent = (await bank.exchange(await citizen.grant(bank, await bank.request_uri()))).json()[
        "access_token"
    ]
    own = (await court.own_token(statutory(registered.authorization, registered.judge))).json()[
        "access_token"
    ]
    assert content(consent)[1]["sub"].startswith("subject:")
    assert content(own)[1]["sub"].startswith("body:")


async def test_tokens_have_their_own_ids(furnisher: Client) -> None:
    ids = {
        content((await furnisher.own_token(SUBMISSION)).json()["access_token"])[1]["jti"] for _ in range(3)
    }
    assert len(ids) == 3


async def test_no_credential_can_be_guessed(bank: Client, citizen: Browser) -> None:
    """Each is 256 random bits, or signed (FAPI 2.0 §5.4.1(4): 128 at least)."""
    request_uri = await bank.request_uri()
    code = await citizen.grant(bank, request_uri)
    granted = (await bank.exchange(code)).json()
    for secret in (request_uri.rpartition(":")[2], code, granted["refresh_token"]):
        assert len(secret) >= 43
        assert len(set(secret)) > 10
