"""Several workers on one database and one outside lock: in any order one chain, every receipt verifies."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import stored
from access_log.log import Log, LogKey, Writing
from access_log.merkle import Frontier
from tests.access_log.logs import another_worker, append, check_chain, root_of, verified

MOST_PENDING = 6
APPEND, RAISE = "append", "raise"
STEPS = st.lists(
    st.tuples(st.just(APPEND), st.integers(0, 2), st.integers(1, 260))
    | st.tuples(st.just(RAISE), st.integers(0, MOST_PENDING - 1), st.just(0)),
    min_size=1,
    max_size=12,
)


class _StepwiseLog(Log):
    """Stops between commit and raise until the test lets it go on."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.committed: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def _raise(self, frontier: Frontier, time: int, keys: Sequence[LogKey]) -> str:
        go_on = asyncio.Event()
        await self.committed.put(go_on)
        await go_on.wait()
        return await super()._raise(frontier, time, keys)


async def _started(log: Log) -> _StepwiseLog:
    worker = another_worker(log.engine, log.outside.path, kind=_StepwiseLog)
    assert isinstance(worker, _StepwiseLog)
    task = asyncio.create_task(worker.start())
    (await worker.committed.get()).set()
    await task
    return worker


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_commits_and_raises_in_any_order(log: Log, steps: list[tuple[str, int, int]]) -> None:
    workers = [await _started(log) for _ in range(3)]
    pending: list[tuple[_StepwiseLog, asyncio.Task[Writing], asyncio.Event]] = []
    done: list[tuple[_StepwiseLog, Writing]] = []

    async def let_go(which: int) -> None:
        worker, task, go_on = pending.pop(which)
        go_on.set()
        done.append((worker, await task))

    for act, which, count in steps:
        if act == APPEND and len(pending) < MOST_PENDING:
            worker = workers[which]
            task = asyncio.create_task(append(worker, count))
            pending.append((worker, task, await worker.committed.get()))
        elif act == RAISE and pending:
            await let_go(which % len(pending))
    while pending:  # the newest first
        await let_go(-1)

    entries = await check_chain(log)
    held = log.outside.read()
    assert (held.size, held.root) == (len(entries), root_of(entries))
    for worker, writing in done:
        receipts = verified(worker, writing)
        checkpoint = receipts[0].checkpoint
        assert checkpoint.root == root_of(entries[: checkpoint.size])
        assert [one.entry.encode() for one in receipts] == [entries[index] for index in writing.indexes]
        assert worker.running
    async with log.engine.connect() as connection:
        assert await stored.root_at(connection, log.number, len(entries)) == root_of(entries)


async def test_many_at_once(log: Log) -> None:
    workers = [log, another_worker(log.engine, log.outside.path)]
    written = await asyncio.gather(*(append(workers[n % 2], 1 + n % 40) for n in range(30)))
    entries = await check_chain(log)
    assert sorted(index for one in written for index in one.indexes) == list(range(len(entries)))
    for at, writing in enumerate(written):
        checkpoint = verified(workers[at % 2], writing)[0].checkpoint
        assert checkpoint.root == root_of(entries[: checkpoint.size])


async def test_a_worker_that_was_overtaken_many_times(log: Log) -> None:
    """By more sizes than it remembers roots of."""
    slow = await _started(log)
    await append(log, 3)
    task = asyncio.create_task(append(slow))
    go_on = await slow.committed.get()
    for _ in range(70):
        await append(log)
    go_on.set()
    assert verified(slow, await task)[0].checkpoint.size == 4
    assert log.outside.read().size == 74
