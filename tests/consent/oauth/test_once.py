"""Of 24 parallel uses of one thing exactly one succeeds, against real PostgreSQL."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

from httpx import Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.oauth.replay import record_proofs, remove_expired
from tests.consent.oauth.world import Browser, Client, answered, content, proof

PARALLEL = 24
SUBMISSION = {"type": "record_submission", "categories": ["FIN"]}
SOON = datetime.now(UTC) + timedelta(days=1)


async def successes(status: int, requests: list[Awaitable[Response]]) -> int:
    """How many of these, all at once, were answered so; the others were refused, and none failed."""
    responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} <= {status, 400}
    return sum(response.status_code == status for response in responses)


async def test_one_assertion(furnisher: Client) -> None:
    assertion = furnisher.assertion()
    uses = [furnisher.own_token(SUBMISSION, assertion=assertion) for _ in range(PARALLEL)]
    assert await successes(200, list(uses)) == 1


async def test_one_proof(furnisher: Client) -> None:
    dpop = proof(furnisher.dpop_key, "/oauth/token")
    uses = [furnisher.own_token(SUBMISSION, dpop=dpop) for _ in range(PARALLEL)]
    assert await successes(200, list(uses)) == 1


async def test_one_request_uri(bank: Client, citizen: Browser) -> None:
    page = (await citizen.open(bank, await bank.request_uri())).json()
    decisions = ["grant", "refuse"] * (PARALLEL // 2)
    assert await successes(303, [citizen.send(page, decision=decision) for decision in decisions]) == 1


async def test_one_code(bank: Client, citizen: Browser) -> None:
    code = await citizen.grant(bank, await bank.request_uri())
    assert await successes(200, [bank.exchange(code) for _ in range(PARALLEL)]) == 1


async def test_24_different_things_all_succeed(bank: Client, citizen: Browser, furnisher: Client) -> None:
    assert await successes(200, [furnisher.own_token(SUBMISSION) for _ in range(PARALLEL)]) == PARALLEL
    pages = [(await citizen.open(bank, await bank.request_uri())).json() for _ in range(PARALLEL)]
    sent = await asyncio.gather(*(citizen.send(page) for page in pages))
    codes = [answered(response)["code"] for response in sent]
    exchanged = await asyncio.gather(*(bank.exchange(code) for code in codes))
    grants = {content(response.json()["access_token"])[1]["grant"] for response in exchanged}
    assert len(grants) == PARALLEL


async def record(engine: AsyncEngine, *proofs: tuple[str, str]) -> set[int]:
    async with engine.begin() as connection:
        return await record_proofs(connection, [(jkt, jti, SOON) for jkt, jti in proofs])


async def test_of_equal_proofs_in_one_batch_the_first_is_accepted(database: AsyncEngine) -> None:
    assert await record(database, ("k", "a"), ("k", "b"), ("k", "a"), ("l", "a")) == {0, 1, 3}
    assert await record(database, ("k", "a"), ("k", "c")) == {1}
    assert await record(database) == set()


async def test_batches_at_the_same_time_accept_each_proof_once(database: AsyncEngine) -> None:
    jkt = "k" * 43
    batches = [[(jkt, str((start + step) % 40)) for step in range(30)] for start in range(PARALLEL)]
    accepted = await asyncio.gather(*(record(database, *batch) for batch in batches))
    used = [batch[at][1] for batch, positions in zip(batches, accepted, strict=True) for at in positions]
    assert sorted(used, key=int) == [str(number) for number in range(40)]


async def test_a_transaction_that_fails_uses_nothing(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        assert await record_proofs(connection, [("k", "a", SOON)]) == {0}
        await connection.rollback()
    assert await record(database, ("k", "a")) == {0}


async def test_only_what_has_expired_is_removed(
    database: AsyncEngine, bank: Client, citizen: Browser
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with database.begin() as connection:
        assert await record_proofs(connection, [("k", "old", past), ("k", "new", SOON)]) == {0, 1}
    code = await citizen.grant(bank, await bank.request_uri())
    async with database.begin() as connection:
        assert await remove_expired(connection) == 1
    assert await record(database, ("k", "old"), ("k", "new")) == {0}
    assert (await bank.exchange(code)).status_code == 200
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE consent.authorization_code SET expires_at = now() - interval '2 days'")
        )
        assert await remove_expired(connection) == 1
