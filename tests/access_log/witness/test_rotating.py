"""A change of the log's keys while every answer waits for a witness."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import Request, Response

from access_log.checkpoint import VerifierKey
from access_log.errors import LogUnavailableError
from access_log.key_history import follow, parse_history
from access_log.log import Log
from access_log.rotate import change_keys, key_history
from access_log.witness.witnessing import Witnessing
from tests.access_log.logs import another_worker, append, check_chain, keys_of
from tests.access_log.witness.served import Witness, policy, witness

OPERATOR = ("operator:somebody", "operator")


@pytest.fixture
async def one(log: Log, tmp_path: Path) -> AsyncIterator[Witness]:
    """A witness that knows the log's first key alone."""
    async with witness(tmp_path, "one", *keys_of(log)) as served:
        yield served


@pytest.fixture
async def waiting(log: Log, one: Witness) -> AsyncIterator[Log]:
    """The log, which releases nothing that the witness has not cosigned."""
    log.witnesses = Witnessing(
        log.engine, log.number, log.origin, policy("all", one), log.every_verifier_key, timeout=5
    )
    yield log
    await log.witnesses.close()


async def key_of(log: Log, epoch: int) -> VerifierKey:
    (key,) = await log.signers.of(epoch)
    return key.key


async def _away(_request: Request, _answer: Response) -> Response:
    return Response("not now\n", 503)


async def test_a_witness_that_was_told_before_cosigns_throughout(waiting: Log, one: Witness) -> None:
    await append(waiting, 3)
    one.store.trust(await key_of(waiting, 2))
    change = await change_keys(waiting, *OPERATOR)
    assert change.epoch == 2
    for _ in range(2):
        await append(waiting)
        assert one.size() == waiting.outside.read().size
    await check_chain(waiting)


async def test_one_that_knows_the_old_key_alone_stops_what_the_new_one_signs(
    waiting: Log, one: Witness
) -> None:
    """Both sign the change, so that it is cosigned; afterwards nothing is released until it was told."""
    await append(waiting, 3)
    change = await change_keys(waiting, *OPERATOR)
    assert one.size() == change.index + 1
    with pytest.raises(LogUnavailableError, match="did not cosign"):
        await append(waiting)
    assert one.size() == change.index + 1
    one.store.trust(await key_of(waiting, 2))
    writing = await append(waiting)
    assert len(writing.receipts) == 1
    assert one.size() == waiting.outside.read().size
    await check_chain(waiting)


async def test_a_change_that_no_witness_cosigned_is_completed_later(
    waiting: Log, one: Witness, tmp_path: Path
) -> None:
    first = await key_of(waiting, 1)
    await append(waiting, 3)
    one.store.trust(await key_of(waiting, 2))
    one.behaviour = _away
    with pytest.raises(LogUnavailableError, match="did not cosign"):
        await change_keys(waiting, *OPERATOR)
    assert not waiting.running
    with pytest.raises(LogUnavailableError, match="did not cosign"):
        await append(waiting)
    one.behaviour = None
    change = await change_keys(waiting, *OPERATOR)
    assert (change.epoch, change.resumed) == (2, True)
    await append(waiting)
    assert one.size() == waiting.outside.read().size
    # Whoever has the first key is led to the new one, and another process takes it up.
    followed = follow(parse_history(await key_history(waiting)), [first])
    assert list(followed.keys) == [await key_of(waiting, 2)]
    other = another_worker(waiting.engine, tmp_path / "outside.lock")
    await other.start()
    await append(other)
    await check_chain(other)
