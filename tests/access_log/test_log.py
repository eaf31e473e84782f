"""The writer on real PostgreSQL: receipts, order, the outside lock, and what it refuses to start on."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log import stored
from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.entry import EntryType
from access_log.errors import AccessLogError, LogStateError, LogUnavailableError, OutsideLockError
from access_log.lock import OutsideLock, Raised
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.merkle import Frontier, leaf_hash, verify_inclusion
from access_log.payload import Payload
from access_log.receipt import verify_receipt
from access_log.signing_keys import SigningKey
from tests.conftest import ORIGIN, PlainSealer, SeededSigners


def other_log(engine: AsyncEngine, lock: Path, origin: str = ORIGIN) -> Log:
    return Log(
        engine,
        origin=origin,
        master=bytes(range(32)),
        sealer=PlainSealer(),
        signers=SeededSigners(origin),
        outside=OutsideLock(lock),
    )


async def append(log: Log, count: int) -> list[str]:
    async with log.writing() as writing:
        for _ in range(count):
            writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {})))
    return list(writing.receipts)


def keys(log: Log) -> list[VerifierKey]:
    return [VerifierKey.parse(log.key.verifier_key())]


def raised(log: Log, size: int) -> Raised:
    """What a lock of another tree of this log would hold."""
    note = SigningKey.from_seed(log.origin, bytes(32)).sign(Checkpoint(log.origin, size, bytes(32)))
    return Raised(size, bytes(32), note)


async def test_receipts_of_every_batch_verify(log: Log) -> None:
    seen = 0
    for count in (1, 2, 5, 300, 1):
        for at, receipt in enumerate(await append(log, count)):
            verified = verify_receipt(receipt, keys(log))
            assert verified.index == seen + at
        seen += count
        assert verify_receipt(receipt, keys(log)).checkpoint.size == seen


async def test_an_empty_transaction_appends_nothing(log: Log) -> None:
    assert await append(log, 0) == []
    assert log.outside.read().size == 0


async def test_an_exception_leaves_nothing_behind(log: Log) -> None:
    with pytest.raises(ZeroDivisionError):
        await _append_and_fail(log)
    assert verify_receipt((await append(log, 1))[0], keys(log)).index == 0


async def _append_and_fail(log: Log) -> None:
    async with log.writing() as writing:
        writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {})))
        writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {"x": 1 // 0})))


async def test_an_unknown_stream_is_refused(log: Log) -> None:
    with pytest.raises(LogStateError):
        async with log.writing() as writing:
            writing.add(Event(bytes(16), Payload.create(EntryType.HEARTBEAT, {})))


async def test_stored_roots_and_proofs_at_every_kind_of_size(log: Log) -> None:
    for _ in range(3):
        await append(log, 200)
    async with log.engine.connect() as connection:
        raw = [entry for _, entry in await stored.entries(connection, log.number, 0, 600)]
        leaves = [leaf_hash(each) for each in raw]
        for size in (0, 1, 2, 255, 256, 257, 511, 512, 513, 600):
            root = Frontier.empty().extend(leaves[:size]).root()
            assert await stored.root_at(connection, log.number, size) == root
            for index in {0, size // 2, size - 1} if size else ():
                proof = await stored.proof(connection, log.number, index, size)
                verify_inclusion(index, size, leaves[index], proof, root)


@pytest.mark.slow
async def test_tiles_of_the_second_level(log: Log) -> None:
    for _ in range(66):
        await append(log, 1000)
    async with log.engine.connect() as connection:
        raw = [entry for _, entry in await stored.entries(connection, log.number, 0, 66_000)]
        tree = Frontier.empty().extend([leaf_hash(each) for each in raw])
        assert await stored.root_at(connection, log.number, 66_000) == tree.root()
    await log.start()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=8))
async def test_two_workers_in_any_order_keep_one_chain(log: Log, turns: list[tuple[bool, int]]) -> None:
    other = other_log(log.engine, log.outside.path)
    await other.start()
    for mine, count in turns:
        for receipt in await append(log if mine else other, count):
            verify_receipt(receipt, keys(log))
    await log.start()
    await other.start()


async def test_a_lagging_worker_is_raised_by_the_one_ahead(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    other = other_log(log.engine, log.outside.path)
    await other.start()
    slow = log.outside.raise_to
    overtaken = False

    def overtake(new: Raised, known_roots: dict[int, bytes]) -> object:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            # The other worker commits and raises between our commit and our raise.
            import asyncio  # noqa: PLC0415 -- in the raising thread

            asyncio.run_coroutine_threadsafe(append(other, 2), loop).result(10)
        return slow(new, known_roots)

    import asyncio  # noqa: PLC0415 -- the running loop

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(log.outside, "raise_to", overtake)
    (receipt,) = await append(log, 1)
    assert verify_receipt(receipt, keys(log)).checkpoint.size == 1
    assert log.outside.read().size == 3


async def test_a_database_behind_the_lock_does_not_start(log: Log, tmp_path: Path) -> None:
    await append(log, 3)
    ahead = OutsideLock(tmp_path / "ahead.lock")
    ahead.create(raised(log, 4))
    with pytest.raises(OutsideLockError, match="behind the outside lock"):
        await other_log(log.engine, ahead.path).start()


async def test_another_tree_does_not_start(log: Log, tmp_path: Path) -> None:
    await append(log, 3)
    foreign = OutsideLock(tmp_path / "foreign.lock")
    foreign.create(raised(log, 2))
    with pytest.raises(OutsideLockError, match="another tree"):
        await other_log(log.engine, foreign.path).start()


async def test_a_missing_lock_does_not_start(log: Log, tmp_path: Path) -> None:
    await append(log, 1)
    with pytest.raises(OutsideLockError, match="missing"):
        await other_log(log.engine, tmp_path / "nowhere.lock").start()


async def test_another_origin_does_not_start(log: Log) -> None:
    with pytest.raises(LogStateError, match="CREDITVAULT_LOG_ORIGIN"):
        await other_log(log.engine, log.outside.path, "other.test/log").start()


@pytest.mark.parametrize("change", ["size = size - 1", "chain = decode(repeat('00', 32), 'hex')"])
async def test_a_head_that_was_altered_does_not_start(log: Log, owner_url: str, change: str) -> None:
    await append(log, 3)
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(text(f"UPDATE access_log.head SET {change}"))
    owner.dispose()
    with pytest.raises(AccessLogError):
        await log.start()


async def test_a_failed_raise_stops_the_worker_until_it_can(log: Log) -> None:
    await append(log, 1)
    away = log.outside.path.rename(log.outside.path.with_suffix(".away"))
    with pytest.raises(OutsideLockError):
        await append(log, 1)
    assert not log.running
    with pytest.raises(OutsideLockError):
        await append(log, 1)
    away.rename(log.outside.path)
    (receipt,) = await append(log, 1)
    # The entry whose raise failed stands; nothing was released for it.
    assert verify_receipt(receipt, keys(log)).index == 2
    assert log.running


async def test_an_entry_far_in_the_future_stops_the_log(log: Log, owner_url: str) -> None:
    await append(log, 1)
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(text("UPDATE access_log.head SET time = time + 120000"))
    owner.dispose()
    with pytest.raises(LogUnavailableError, match="clock"):
        await append(log, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_log.entry SET entry = entry",
        "DELETE FROM access_log.entry",
        "TRUNCATE access_log.entry",
        "UPDATE access_log.payload SET sealed = sealed",
        "UPDATE access_log.tile SET root = root",
        "UPDATE consent.register_event SET document = document",
        "CREATE TABLE access_log.mine (x int)",
    ],
)
async def test_the_application_role_only_adds(log: Log, statement: str) -> None:
    await append(log, 1)
    with pytest.raises(DBAPIError, match=r"permission denied|append-only"):
        async with log.engine.begin() as connection:
            await connection.execute(text(statement))


async def test_even_the_owner_meets_the_trigger(log: Log, owner_url: str) -> None:
    await append(log, 1)
    owner = create_engine(owner_url)
    with pytest.raises(DBAPIError, match="append-only"), owner.begin() as connection:
        connection.execute(text("DELETE FROM access_log.entry"))
    owner.dispose()
