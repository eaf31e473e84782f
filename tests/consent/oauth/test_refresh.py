"""Refresh tokens: they last as long as the consent, are never exchanged for others, and may ask for less."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select, text

from access_log.log import Log
from consent import freeze
from consent.bodies import suspend_body
from consent.consents import withdraw
from consent.oauth.replay import remove_expired
from consent.oauth.tables import refresh_token
from consent.permit import Person
from tests.consent.oauth.test_taking_back import taken_back
from tests.consent.oauth.world import Browser, Client, World, consented, content, proof, refused
from tests.consent.registers import KEEPER, OPERATOR


async def granted(bank: Client, citizen: Browser, **changes: Any) -> dict[str, Any]:
    """The token response of a consent just given."""
    asked = json.dumps([consented(**changes)])
    code = await citizen.grant(bank, await bank.request_uri(authorization_details=asked))
    response = await bank.exchange(code)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def later(world: World, client: Client, seconds: float) -> dict[str, str]:
    """What a client sends once so much time has passed."""
    world.clock.ahead = seconds
    now = world.clock()
    return {
        "assertion": client.assertion(exp=now + 60, iat=now),
        "dpop": proof(client.dpop_key, "/oauth/token", now=now),
    }


async def refresh(client: Client, secret: str, **parameters: Any) -> Any:
    return await client.token(grant_type="refresh_token", refresh_token=secret, **parameters)


async def test_the_next_token_says_what_was_granted(world: World, bank: Client, citizen: Browser) -> None:
    first = await granted(bank, citizen)
    response = await refresh(bank, first["refresh_token"], **later(world, bank, 3600))
    assert response.status_code == 200, response.text
    second = response.json()
    # Not rotated: the client keeps the one it has (FAPI 2.0 §5.3.2.1).
    assert set(second) == {"access_token", "token_type", "expires_in", "authorization_details"}
    before, after = content(first["access_token"])[1], content(second["access_token"])[1]
    assert second["authorization_details"] == first["authorization_details"]
    same = ("iss", "aud", "sub", "client_id", "cnf", "grant", "authorization_details")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["exp"] - after["iat"] == 300
    assert after["jti"] != before["jti"]


async def test_one_use_needs_no_refresh_token(bank: Client, citizen: Browser) -> None:
    assert "refresh_token" not in await granted(bank, citizen, max_uses=1)
    periodic = await granted(bank, citizen, max_uses=None, frequency={"times": 1, "days": 30})
    assert "refresh_token" in periodic


async def test_a_client_may_ask_for_less(bank: Client, citizen: Browser, subtests: pytest.Subtests) -> None:
    secret = (await granted(bank, citizen))["refresh_token"]
    less = consented(fields=["FIN.status"], validity=7)
    response = await refresh(bank, secret, authorization_details=json.dumps([less]))
    assert response.status_code == 200, response.text
    assert response.json()["authorization_details"] == [less]
    assert content(response.json()["access_token"])[1]["authorization_details"] == [less]
    again = await refresh(bank, secret)
    assert again.json()["authorization_details"] == [consented()], "what was granted is not narrowed for good"
    turned = await refresh(
        bank, secret, authorization_details=json.dumps([consented(fields=["FIN.status", "FIN.type"])])
    )
    assert turned.status_code == 200
    for wider in (
        consented(fields=["FIN.status", "FIN.amount_class"]),
        consented(validity=31),
        consented(purpose="post-loan-review"),
        consented(mode="store"),
        consented(max_uses=4),
        consented(max_uses=None, frequency={"times": 1, "days": 1}),
        consented(data_range={"from": "2020-01-01"}),
        {"type": "record_submission", "categories": ["FIN"]},
        consented() | {"unknown": 1},
    ):
        with subtests.test(wider=wider):
            refused(
                await refresh(bank, secret, authorization_details=json.dumps([wider])),
                "invalid_authorization_details",
            )


async def test_it_is_its_bodys_alone_and_no_access_token(
    bank: Client, court: Client, citizen: Browser, subtests: pytest.Subtests
) -> None:
    answer = await granted(bank, citizen)
    secret = answer["refresh_token"]
    refused(await refresh(court, secret), "invalid_grant")
    for wrong in ("x", secret[:-1], secret + "A", secret.swapcase(), answer["access_token"], "信", 'a"b'):
        with subtests.test(wrong=wrong):
            refused(await refresh(bank, wrong), "invalid_grant")
    refused(await refresh(bank, secret, resource="https://other.example"), "invalid_target")
    refused(await refresh(bank, secret, scope="openid"), "invalid_scope")
    refused(await bank.token(grant_type="refresh_token"), "invalid_request")
    assert (await bank.use(secret)).status_code == 401


async def test_it_needs_a_proof_and_binds_to_its_key(bank: Client, citizen: Browser) -> None:
    secret = (await granted(bank, citizen))["refresh_token"]
    form = bank.authenticated(grant_type="refresh_token", refresh_token=secret)
    refused(await bank.post("/oauth/token", form), "invalid_dpop_proof")
    bank.dpop_key = ECKey.generate_key("P-256")
    token = (await refresh(bank, secret)).json()["access_token"]
    assert content(token)[1]["cnf"] == {"jkt": bank.dpop_key.thumbprint()}


async def test_many_processes_of_a_body_use_it_at_once(bank: Client, citizen: Browser) -> None:
    secret = (await granted(bank, citizen))["refresh_token"]
    answers = await asyncio.gather(*(refresh(bank, secret) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 8


async def test_it_ends_with_the_consent(world: World, bank: Client, citizen: Browser) -> None:
    secret = (await granted(bank, citizen, validity=2))["refresh_token"]
    assert (await refresh(bank, secret, **later(world, bank, 2 * 86_400 - 60))).status_code == 200
    refused(await refresh(bank, secret, **later(world, bank, 2 * 86_400 + 60)), "invalid_grant")


async def test_it_ends_with_its_withdrawal(log: Log, bank: Client, citizen: Browser) -> None:
    answer = await granted(bank, citizen)
    claims = content(answer["access_token"])[1]
    async with log.engine.connect() as connection:
        row = (await connection.execute(select(refresh_token))).one()
        stream = await connection.scalar(text("SELECT stream_id FROM access_log.stream WHERE kind = 1"))
    assert claims["sub"] == f"subject:{row.subject_id}"
    async with log.writing() as writing:
        await withdraw(writing, Person(row.subject_id, stream), row.consent_id, None, KEEPER.signer)
    refused(await refresh(bank, answer["refresh_token"]), "invalid_grant")


async def test_it_rests_while_the_person_has_frozen_their_consents(
    log: Log, bank: Client, citizen: Browser
) -> None:
    kept, taken_away = (await granted(bank, citizen))["refresh_token"], await granted(bank, citizen)
    async with log.engine.connect() as connection:
        row = (await connection.execute(select(refresh_token))).first()
        stream = await connection.scalar(text("SELECT stream_id FROM access_log.stream WHERE kind = 1"))
    assert row is not None
    one = Person(row.subject_id, stream)
    withdrawn = UUID(content(taken_away["access_token"])[1]["grant"])
    async with log.writing() as writing:
        await withdraw(writing, one, withdrawn, None, KEEPER.signer)
        await freeze.begin(writing, one)
    frozen, gone = await refresh(bank, kept), await refresh(bank, taken_away["refresh_token"])
    assert (frozen.status_code, frozen.json()) == (gone.status_code, gone.json()), "nobody tells them apart"
    refused(frozen, "invalid_grant")
    async with log.writing() as writing:
        await freeze.end(writing, one)
    assert (await refresh(bank, kept)).status_code == 200
    refused(await refresh(bank, taken_away["refresh_token"]), "invalid_grant")


async def test_a_suspended_body_gets_no_token(log: Log, bank: Client, citizen: Browser) -> None:
    secret = (await granted(bank, citizen))["refresh_token"]
    async with log.writing() as writing:
        await suspend_body(writing, bank.body_id, "under inquiry", OPERATOR)
    refused(await refresh(bank, secret), "unauthorized_client")


async def test_revoking_it_ends_every_token_of_the_grant(
    log: Log, world: World, bank: Client, court: Client, citizen: Browser
) -> None:
    answer, other = await granted(bank, citizen), await granted(bank, citizen)
    secret = answer["refresh_token"]
    refused(await court.post("/oauth/revoke", court.authenticated(token=secret)), "invalid_grant")
    assert (await refresh(bank, secret)).status_code == 200
    hinted = bank.authenticated(token=secret) | {"token_type_hint": "refresh_token"}
    response = await bank.post("/oauth/revoke", hinted)
    assert response.status_code == 200
    assert await taken_back(log, world, answer["access_token"], other["access_token"]) == {0}
    refused(await refresh(bank, secret), "invalid_grant")
    assert (await refresh(bank, other["refresh_token"])).status_code == 200
    again = await bank.post("/oauth/revoke", bank.authenticated(token=secret))
    assert again.status_code == 200


async def test_a_code_used_twice_takes_it_too(bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    secret = (await bank.exchange(code)).json()["refresh_token"]
    refused(await bank.exchange(code), "invalid_grant")
    refused(await refresh(bank, secret), "invalid_grant")


async def test_its_owner_may_ask_about_it(bank: Client, court: Client, citizen: Browser) -> None:
    answer = await granted(bank, citizen)
    asked = bank.authenticated(token=answer["refresh_token"])
    told = (await bank.post("/oauth/introspect", asked)).json()
    claims = content(answer["access_token"])[1]
    assert told.pop("exp") - told.pop("iat") == pytest.approx(30 * 86_400, abs=5)
    assert told == {
        "active": True,
        **{name: claims[name] for name in ("iss", "sub", "client_id", "authorization_details")},
    }
    others = await court.post("/oauth/introspect", court.authenticated(token=answer["refresh_token"]))
    assert others.json() == {"active": False}


async def test_it_is_stored_as_a_digest_and_removed_when_it_has_ended(
    log: Log, bank: Client, citizen: Browser
) -> None:
    secret = (await granted(bank, citizen))["refresh_token"]
    async with log.engine.begin() as connection:
        stored = (await connection.execute(select(refresh_token))).one()
        assert secret not in str(stored)
        assert await remove_expired(connection) == 0
    async with log.engine.connect() as connection:
        rights = await connection.scalar(
            text("SELECT has_table_privilege(current_user, 'consent.refresh_token', 'UPDATE')")
        )
    assert rights is False
