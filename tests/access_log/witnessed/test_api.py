"""New receipts over HTTP: witnessed where the policy's quorum cosigned, logged until then."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from access_log.log import Log
from access_log.policy import Policy, open_under_policy
from access_log.receipt import parse_receipt, verify_receipt
from access_log.verifier_keys import VerifierKey
from access_log.witness.witnessing import Witnessing
from access_log.witnessed.api import witnessed_router
from tests.access_log.logs import append, as_owner, keys_of, stored_entries
from tests.access_log.witness.served import Witness, policy, witness


@pytest.fixture
async def one(log: Log, tmp_path: Path) -> AsyncIterator[Witness]:
    async with witness(tmp_path, "one", *keys_of(log)) as served:
        yield served


@pytest.fixture
def agreed(one: Witness) -> Policy:
    return policy("all", one)


@pytest.fixture
async def witnessing(log: Log, agreed: Policy) -> AsyncIterator[Witnessing]:
    async def log_keys() -> list[VerifierKey]:
        return list(keys_of(log))

    made = Witnessing(log.engine, log.number, log.origin, agreed, log_keys, timeout=5)
    yield made
    await made.close()


def client(log: Log, agreed: Policy | None) -> AsyncClient:
    app = FastAPI()
    app.include_router(witnessed_router(log, agreed))
    return AsyncClient(transport=ASGITransport(app), base_url="http://log.test")


async def test_receipts_become_witnessed(log: Log, agreed: Policy, witnessing: Witnessing) -> None:
    await append(log, 300)
    async with client(log, agreed) as http:
        assert (await http.get("/log/witnessed")).status_code == 404
        logged = await http.get("/log/proof/7")
        assert logged.headers["cache-control"] == "public, max-age=2"
        assert verify_receipt(logged.text, keys_of(log)).checkpoint.size == 300
        await witnessing.ask(log.outside.read())
        await append(log, 5)
        entries = await stored_entries(log)
        for index in (0, 7, 255, 256, 299):
            answer = await http.get(f"/log/proof/{index}")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["cache-control"] == "public, max-age=300"
            receipt = parse_receipt(answer.text)
            assert (receipt.index, receipt.entry) == (index, entries[index])
            assert verify_receipt(answer.text, keys_of(log)).index == index
            checkpoint, signatures = open_under_policy(receipt.note, agreed, keys_of(log))
            assert (checkpoint.size, len(signatures)) == (300, 2)
        assert (await http.get("/log/witnessed")).text == receipt.note
        # Not covered yet: logged, and asked for again soon.
        later = await http.get("/log/proof/304")
        assert later.headers["cache-control"] == "public, max-age=2"
        assert verify_receipt(later.text, keys_of(log)).checkpoint.size == 305


@pytest.mark.parametrize("index", ["3", "999999", "-1", "01", "1.0", "x", "%00", "\u0661", str(2**63)])
async def test_what_is_no_entry(log: Log, agreed: Policy, index: str) -> None:
    await append(log, 3)
    async with client(log, agreed) as http:
        assert (await http.get(f"/log/proof/{index}")).status_code == 404


async def test_without_a_policy_receipts_are_logged(log: Log, witnessing: Witnessing) -> None:
    await append(log, 3)
    await witnessing.ask(log.outside.read())
    async with client(log, None) as http:
        assert (await http.get("/log/witnessed")).status_code == 404
        assert verify_receipt((await http.get("/log/proof/2")).text, keys_of(log)).index == 2


async def test_a_forged_row_shows_nothing(
    log: Log, agreed: Policy, witnessing: Witnessing, owner_url: str
) -> None:
    """Whoever writes to the database cannot make a checkpoint witnessed."""
    await append(log, 3)
    await witnessing.ask(log.outside.read())
    as_owner(owner_url, "UPDATE access_log.witnessed SET note = replace(note, E'\\n3\\n', E'\\n4\\n')")
    async with client(log, agreed) as http:
        assert (await http.get("/log/witnessed")).status_code == 404
        assert verify_receipt((await http.get("/log/proof/2")).text, keys_of(log)).checkpoint.size == 3


async def test_an_entry_that_is_gone(log: Log, agreed: Policy, owner_url: str) -> None:
    await append(log, 3)
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 1")
    async with client(log, agreed) as http:
        for index in (0, 1, 2):
            assert (await http.get(f"/log/proof/{index}")).status_code == 404
