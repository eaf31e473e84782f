"""Requests that arrive within one moment share a transaction, and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.log import Log
from consent.oauth.errors import KeyPolicyError
from consent.oauth.replay import record_assertions
from consent.oauth.token_keys import TokenKey, keys_of
from tests.consent.oauth.world import Browser, Client, World, proof

SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}
SOON = datetime.now(UTC) + timedelta(days=1)


async def second_seed(version: int) -> bytes:
    return bytes([version]) * 32


@contextmanager
def transactions(engine: AsyncEngine) -> Iterator[list[object]]:
    """Every transaction that begins in the block."""
    begun: list[object] = []

    def begins(connection: object) -> None:
        begun.append(connection)

    event.listen(engine.sync_engine, "begin", begins)
    try:
        yield begun
    finally:
        event.remove(engine.sync_engine, "begin", begins)


async def introspect(client: Client, token: str) -> dict[str, object]:
    response = await client.post("/oauth/introspect", client.authenticated(token=token))
    answer: dict[str, object] = response.json()
    return answer


async def test_what_arrives_together_is_authenticated_together(log: Log, furnisher: Client) -> None:
    token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    with transactions(log.engine) as begun:
        tokens = [furnisher.own_token(SUBMISSION) for _ in range(12)]
        answers = [introspect(furnisher, token) for _ in range(12)]
        granted, active = await asyncio.gather(asyncio.gather(*tokens), asyncio.gather(*answers))
    assert all(response.status_code == 200 for response in granted)
    assert all(answer["active"] for answer in active)
    assert len(begun) < 8


async def test_each_of_them_has_an_answer_of_its_own(
    bank: Client, furnisher: Client, citizen: Browser
) -> None:
    own, other = [(await furnisher.own_token(SUBMISSION)).json()["access_token"] for _ in range(2)]
    code = await citizen.grant(bank, await bank.request_uri())
    exchanged = (await bank.exchange(code)).json()
    await furnisher.post("/oauth/revoke", furnisher.authenticated(token=other))
    assertion, dpop = furnisher.assertion(), proof(furnisher.dpop_key, "/oauth/token")
    used = proof(furnisher.dpop_key, "/oauth/token")
    assert (await furnisher.own_token(SUBMISSION, dpop=used)).status_code == 200
    forged = Client(furnisher.http, furnisher.body_id, furnisher.dpop_key)
    nobody = Client(furnisher.http, uuid4(), furnisher.key)
    (first, *refused), introspected = await asyncio.gather(
        asyncio.gather(
            furnisher.own_token(SUBMISSION, assertion=assertion, dpop=dpop),
            furnisher.own_token(SUBMISSION, assertion=assertion),
            furnisher.own_token(SUBMISSION, dpop=used),
            forged.own_token(SUBMISSION),
            nobody.own_token(SUBMISSION),
        ),
        asyncio.gather(
            *(introspect(furnisher, each) for each in (own, other, exchanged["access_token"], "x")),
            *(
                introspect(bank, each)
                for each in (exchanged["access_token"], exchanged["refresh_token"], own)
            ),
        ),
    )
    assert first.status_code == 200
    assert [each.json()["error"] for each in refused] == [
        "invalid_client",
        "invalid_dpop_proof",
        "invalid_client",
        "invalid_client",
    ]
    assert [each["active"] for each in introspected] == [True, False, False, False, True, True, False]


async def test_a_proof_beside_a_refused_assertion_is_not_used_up(furnisher: Client) -> None:
    dpop = proof(furnisher.dpop_key, "/oauth/token")
    refused = await furnisher.own_token(SUBMISSION, assertion=furnisher.assertion(aud="another"), dpop=dpop)
    assert refused.json()["error"] == "invalid_client"
    assert (await furnisher.own_token(SUBMISSION, dpop=dpop)).status_code == 200


async def test_one_that_fails_leaves_the_others_alone(log: Log, bank: Client, furnisher: Client) -> None:
    async with log.engine.begin() as connection:
        await connection.execute(
            text("UPDATE consent.body SET jwks = CAST(:none AS jsonb) WHERE body_id = :id"),
            {"none": json.dumps({"keys": []}), "id": bank.body_id},
        )
    broken, *good = await asyncio.gather(
        bank.own_token(SUBMISSION),
        *(furnisher.own_token(SUBMISSION) for _ in range(4)),
        return_exceptions=True,
    )
    assert isinstance(broken, KeyPolicyError)
    assert [each.status_code for each in good if not isinstance(each, BaseException)] == [200] * 4


async def test_a_key_the_body_took_away_is_not_remembered(log: Log, furnisher: Client) -> None:
    assert (await furnisher.own_token(SUBMISSION)).status_code == 200
    async with log.engine.begin() as connection:
        await connection.execute(
            text("UPDATE consent.body SET jwks = CAST(:keys AS jsonb) WHERE body_id = :id"),
            {
                "keys": json.dumps({"keys": [furnisher.dpop_key.as_dict(private=False)]}),
                "id": furnisher.body_id,
            },
        )
    assert (await furnisher.own_token(SUBMISSION)).json()["error"] == "invalid_client"
    renewed = Client(furnisher.http, furnisher.body_id, furnisher.dpop_key, kid=None)
    assert (await renewed.own_token(SUBMISSION)).status_code == 200


async def test_a_token_whose_key_ended_is_known_no_more(world: World, furnisher: Client) -> None:
    token = (await furnisher.own_token(SUBMISSION)).json()["access_token"]
    assert [(await introspect(furnisher, token))["active"] for _ in range(2)] == [True, True]
    now = datetime.now(UTC)
    before = world.profile.keys.public
    world.profile.keys.take(await keys_of([TokenKey(2, now, now)], second_seed))
    assert world.profile.keys.public != before
    assert await introspect(furnisher, token) == {"active": False}


async def test_of_equal_assertions_in_one_batch_the_first_is_accepted(
    log: Log, bank: Client, furnisher: Client
) -> None:
    one, other = bank.body_id, furnisher.body_id
    used = [(one, "a", SOON), (other, "a", SOON), (one, "a", SOON), (one, "b", SOON)]
    async with log.engine.begin() as connection:
        assert await record_assertions(connection, used) == {0, 1, 3}
    async with log.engine.begin() as connection:
        assert await record_assertions(connection, [(one, "c", SOON), (other, "a", SOON)]) == {0}
        assert await record_assertions(connection, []) == set()
