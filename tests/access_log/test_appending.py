"""Group commit: callers side by side share a transaction, and each holds receipts of its own events."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from access_log.entry import Entry
from access_log.errors import LogStateError, OutsideLockError
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Appended, Event, Log, RequestMark
from access_log.receipt import verify_receipt
from tests.access_log.logs import another_worker, append, check_chain, heartbeat, keys_of, operated, root_of
from tests.conftest import PlainSealer

UNKNOWN = bytes(16)
STREAMS = st.sampled_from([SYSTEM_STREAM, SYSTEM_STREAM, NOT_FOUND_STREAM, UNKNOWN])
CALLERS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(STREAMS, max_size=60), st.integers(0, 3)), min_size=1, max_size=20
)


@contextmanager
def commits_of(log: Log) -> Iterator[list[None]]:
    """Every commit of the log's database in the block."""
    seen: list[None] = []

    def committed(_connection: object) -> None:
        seen.append(None)

    event.listen(log.engine.sync_engine, "commit", committed)
    yield seen
    event.remove(log.engine.sync_engine, "commit", committed)


def check(log: Log, appended: Appended, entries: list[bytes], events: list[Event]) -> None:
    """Every event has its own entry, payload and a receipt that verifies, in order."""
    assert len(appended.indexes) == len(appended.payloads) == len(appended.receipts) == len(events)
    assert list(appended.indexes) == list(range(appended.indexes[0], appended.indexes[0] + len(events)))
    for index, payload, receipt, one in zip(
        appended.indexes, appended.payloads, appended.receipts, events, strict=True
    ):
        verified = verify_receipt(receipt, keys_of(log))
        assert (verified.index, verified.entry) == (index, Entry.decode(entries[index]))
        assert payload.commitment(verified.entry.label) == verified.entry.commitment
        assert payload.blind == one.payload.blind
        assert verified.checkpoint.root == root_of(entries[: verified.checkpoint.size])


async def test_callers_side_by_side_share_a_commit(log: Log) -> None:
    asked = [[operated(SYSTEM_STREAM, f"act {number}")] for number in range(64)]
    with commits_of(log) as commits:
        appended = await asyncio.gather(*(log.append(events) for events in asked))
    assert len(commits) == 1
    entries = await check_chain(log)
    assert len(entries) == 64
    for one, events in zip(appended, asked, strict=True):
        check(log, one, entries, events)


class CannotSealError(Exception):
    """What the sealer of a test fails with."""


class FailingSealer(PlainSealer):
    """Fails at the payload of one entry."""

    def __init__(self, fails_at: int) -> None:
        self._fails_at = fails_at

    def seal(self, first: int, plaintexts: Sequence[bytes]) -> list[bytes]:
        if self._fails_at in range(first, first + len(plaintexts)):
            raise CannotSealError
        return list(plaintexts)


@pytest.mark.parametrize("fails_at", [0, 499])
async def test_nothing_stands_whose_payload_was_not_sealed(log: Log, fails_at: int) -> None:
    """The entries were on their way already."""
    sealer, log.sealer = log.sealer, FailingSealer(fails_at)
    with pytest.raises(CannotSealError):
        await log.append([heartbeat() for _ in range(500)])
    assert await check_chain(log) == []
    log.sealer = sealer
    await log.append([heartbeat()])
    assert len(await check_chain(log)) == 1


async def test_a_caller_alone_waits_for_nobody(log: Log) -> None:
    appended = await log.append([heartbeat()])
    check(log, appended, await check_chain(log), _same(appended))


def _same(appended: Appended) -> list[Event]:
    return [Event(SYSTEM_STREAM, payload) for payload in appended.payloads]


async def test_nothing_to_append_appends_nothing(log: Log) -> None:
    appended = await log.append([])
    assert (list(appended.indexes), list(appended.receipts)) == ([], [])
    assert log.outside.read().size == 0


async def test_a_caller_that_names_no_stream_fails_alone(log: Log) -> None:
    good, bad = [heartbeat()], [heartbeat(), heartbeat(UNKNOWN)]
    one, other, third = await asyncio.gather(
        log.append(good), log.append(bad), log.append(good), return_exceptions=True
    )
    assert isinstance(other, LogStateError)
    assert isinstance(one, Appended)
    assert isinstance(third, Appended)
    assert len(await check_chain(log)) == 2
    assert log.running


async def test_only_unknown_streams_leave_nothing_behind(log: Log) -> None:
    with pytest.raises(LogStateError, match="never opened"):
        await log.append([heartbeat(UNKNOWN)])
    assert await check_chain(log) == []
    assert log.running


async def test_a_marked_request_is_turned_away(log: Log) -> None:
    mark = RequestMark(uuid4(), uuid4(), None, bytes(32))
    with pytest.raises(ValueError, match="use `writing`"):
        await log.append([Event(SYSTEM_STREAM, heartbeat().payload, mark)])
    assert await check_chain(log) == []


async def test_a_caller_that_goes_away_disturbs_no_other(log: Log) -> None:
    leaving = asyncio.create_task(log.append([heartbeat()]))
    staying = asyncio.create_task(log.append([heartbeat()]))
    await asyncio.sleep(0)
    leaving.cancel()
    appended = await staying
    check(log, appended, await check_chain(log), _same(appended))


async def test_what_was_not_raised_is_given_to_no_caller(log: Log) -> None:
    await append(log)
    away = log.outside.path.rename(log.outside.path.with_suffix(".away"))
    failed = await asyncio.gather(*(log.append([heartbeat()]) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, OutsideLockError) for one in failed)
    assert not log.running
    away.rename(log.outside.path)
    appended = await log.append([heartbeat()])
    entries = await check_chain(log)
    assert len(entries) == 7  # the five stand, durable, and nobody was told so
    check(log, appended, entries, _same(appended))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLERS)
async def test_any_interleaving_of_workers_keeps_one_chain(
    log: Log, callers: list[tuple[int, list[bytes], int]]
) -> None:
    """Three workers; each caller comes a few turns of the loop after the one before, or at once."""
    before = len(await check_chain(log))
    workers = [log, *(another_worker(log.engine, log.outside.path) for _ in range(2))]
    tasks = []
    for worker, streams, turns in callers:
        events = [heartbeat(stream) for stream in streams]
        tasks.append((workers[worker], events, asyncio.create_task(workers[worker].append(events))))
        for _ in range(turns * 10):
            await asyncio.sleep(0)
    results = await asyncio.gather(*(task for *_, task in tasks), return_exceptions=True)
    entries = await check_chain(log)
    stood: list[int] = []
    for (writer, events, _), result in zip(tasks, results, strict=True):
        if any(one.stream == UNKNOWN for one in events):
            assert isinstance(result, LogStateError)
        else:
            assert isinstance(result, Appended)
            if events:
                check(writer, result, entries, events)
            stood += result.indexes
    assert sorted(stood) == list(range(before, len(entries)))
    held = log.outside.read()
    assert (held.size, held.root) == (len(entries), root_of(entries))
