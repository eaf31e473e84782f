"""A log is closed and another opened in its place: planned, as it stands, interrupted, and followed."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from access_log import closing, writes
from access_log.checkpoint import open_note
from access_log.closing import Order, close, succession
from access_log.encoding import to_base64
from access_log.endings import Ending, EndingsFile
from access_log.entry import Entry, EntryType
from access_log.errors import (
    LogClosedError,
    LogStateError,
    LogUnavailableError,
    OutsideLockError,
    VerificationError,
)
from access_log.fsck import Report, examine_log
from access_log.labels import label, month_of
from access_log.lock import OutsideLock
from access_log.log import SYSTEM_STREAM, Log, StreamKind, Writing
from access_log.losses import Operator
from access_log.merkle import leaf_hash
from access_log.payload import FIRST_PREVIOUS
from access_log.policy import Policy
from access_log.reapplying import Endings
from access_log.rebuild import rebuild
from access_log.reimport import reimport
from access_log.succession import parse_succession, pass_over
from access_log.witness.witnessing import Witnessing
from tests.access_log.logs import (
    another_worker,
    append,
    as_owner,
    check_chain,
    operated,
    stored_entries,
    verified,
)
from tests.access_log.restored import FIRST, SECOND, disaster, fill
from tests.access_log.witness.served import policy_of, witness
from tests.conftest import ORIGIN, PlainSealer, SeededSigners
from vault.server.embedded import EmbeddedDatabase

NEXT = "creditvault.test/log/next"
ACTOR = Operator("operator:somebody", "operator")
ORDER = Order(ACTOR, reason="a new year")
AS_IT_STANDS = Order(ACTOR, as_it_stands=True)


def successor(log: Log, origin: str = NEXT) -> Log:
    """The log to be opened in the place of this one, as a command holds it."""
    return Log(
        log.engine,
        origin=origin,
        master=bytes(range(32)),
        sealer=PlainSealer(),
        signers=SeededSigners(origin),
        outside=OutsideLock(log.outside.path.with_name(origin.replace("/", "-"))),
        number=log.number + 1,
    )


async def sound(log: Log) -> Report:
    report = await examine_log(log, altered=(), retention_years=10)
    assert report.findings == ()
    assert report.placed
    return report


async def keys_of(*logs: Log) -> list[Any]:
    return [key.key for log in logs for key in await log.signers.of(1)]


async def open_persons(log: Log) -> None:
    async with log.engine.begin() as connection:
        await log.open_streams(connection, StreamKind.PERSON, [FIRST, SECOND])


async def test_the_old_log_ends_with_an_entry_and_the_new_one_begins_with_its_checkpoint(log: Log) -> None:
    await append(log, 3)
    new = successor(log)
    done = await close(log, new, ORDER)
    held = log.outside.read()
    assert not done.resumed
    assert (done.says.closed, done.says.origin, done.says.planned) == (ORIGIN, NEXT, True)
    assert (done.says.size, done.says.held, done.says.missing, held.size) == (4, 4, 0, 4)
    assert done.says.checkpoint == held.note
    last = Entry.decode((await stored_entries(log))[-1])
    first = Entry.decode((await stored_entries(new))[0])
    assert (last.type, first.type) == (EntryType.OPERATOR, EntryType.OPERATOR)
    assert new.outside.read().size == 1
    for each in (log, new):
        await check_chain(each)
        await sound(each)
    verified(new, await append(new, 2))


async def test_numbers_begin_again_and_the_entry_before_is_found_across_logs(log: Log) -> None:
    await open_persons(log)
    await fill(log, 9)
    old_entries = await stored_entries(log)
    new = successor(log)
    await close(log, new, ORDER)
    writing = (await fill(new, 6, streams=(FIRST, FIRST, SECOND)))[0]
    months = [month_of(Entry.decode(raw).time) for raw in await stored_entries(new)]
    values = [payload.values() for payload in writing.payloads]
    assert [each["seq"] for each in values] == [1, 2, 1, 3, 4, 2]
    assert Entry.decode((await stored_entries(new))[1]).label == label(new.month_key(FIRST, months[1]), 1)
    newest_of_first = next(
        raw
        for raw in reversed(old_entries)
        if any(
            Entry.decode(raw).label == label(log.month_key(FIRST, month_of(Entry.decode(raw).time)), seq)
            for seq in range(1, 10)
        )
    )
    assert values[0]["previous"] == to_base64(leaf_hash(newest_of_first))
    for each in (log, new):
        await sound(each)
    third = successor(new, "creditvault.test/log/third")
    await close(new, third, ORDER)
    await fill(third, 3, streams=(SECOND, FIRST, FIRST))
    for each in (log, new, third):
        await sound(each)


async def test_a_stream_that_began_in_the_new_log_names_nothing_before(log: Log) -> None:
    await append(log)
    new = successor(log)
    await close(log, new, ORDER)
    await open_persons(new)
    writing = (await fill(new, 2, streams=(FIRST,)))[0]
    assert writing.payloads[0].values()["previous"] == to_base64(FIRST_PREVIOUS)
    await sound(new)


async def test_no_worker_writes_to_a_closed_log(log: Log, database: AsyncEngine, tmp_path: Path) -> None:
    other = another_worker(database, tmp_path / "outside.lock")
    await other.start()
    await append(other)
    await close(log, successor(log), ORDER)
    before = await stored_entries(log)
    for act in (partial(append, other), other.start, log.create, partial(append, log)):
        with pytest.raises(LogClosedError, match=f"CREDITVAULT_LOG_ORIGIN={NEXT} and start again"):
            await act()
    assert not other.running
    with pytest.raises(LogClosedError):
        await rebuild(log, database, actor=ACTOR)
    assert await stored_entries(log) == before
    # What an older program would do: it knows nothing of the mark, and the database refuses it all the same.
    for statement in ("size = size + 1", "successor = NULL"):
        with pytest.raises(DBAPIError, match="the log is closed"):
            async with database.begin() as connection:
                await connection.execute(text(f"UPDATE access_log.head SET {statement} WHERE log = 1"))


async def test_two_logs_are_never_open(log: Log, database: AsyncEngine) -> None:
    assert log.number == 1
    with pytest.raises(DBAPIError, match="head_one_is_open"):
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO access_log.head (log, origin, size, chain, time, frontier)"
                    " VALUES (2, 'another', 0, '', 0, '')"
                )
            )


async def test_receipts_of_a_closed_log_are_still_given(log: Log) -> None:
    written = await append(log, 3)
    await close(log, successor(log), ORDER)
    entry = (await stored_entries(log))[1]
    async with log.engine.connect() as connection:
        receipt = await log.receipt(connection, 1, entry)
    assert open_note(receipt.partition("\n\n")[2], await keys_of(log)).size == 4
    assert len(written.receipts) == 3


async def test_anyone_with_both_keys_follows(log: Log) -> None:
    await append(log, 2)
    new = successor(log)
    await close(log, new, ORDER)
    await append(new)
    (opening,) = parse_succession(await succession(new))
    passage = pass_over(opening, await keys_of(log, new))
    assert (passage.closed.origin, passage.closed.size, passage.opened.origin) == (ORIGIN, 3, NEXT)
    assert passage.says.reason == "a new year"
    for known in (await keys_of(log), await keys_of(new)):
        with pytest.raises(VerificationError, match="no key you trust is of the log"):
            pass_over(opening, known)


async def test_a_database_behind_its_lock_is_closed_as_it_stands(
    postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    async with disaster(postgres, tmp_path, before=40, after=60) as lost:
        old, new = lost.restored, successor(lost.restored)
        with pytest.raises(LogStateError, match=r"behind the outside lock.*add --as-it-stands"):
            await close(old, new, ORDER)
        held = old.outside.read()
        before = await stored_entries(old)
        done = await close(old, new, AS_IT_STANDS)
        assert (done.says.planned, done.says.size, done.says.held) == (False, 100, 40)
        assert done.says.missing == 60
        assert done.says.checkpoint == held.note
        assert old.outside.read() == held
        assert await stored_entries(old) == before
        await append(new)
        await sound(new)
        (opening,) = parse_succession(await succession(new))
        assert pass_over(opening, await keys_of(old, new)).closed.size == 100
        with pytest.raises(LogClosedError):
            await reimport(old, await lost.published(), actor=ACTOR)
        # The database that was lost turns up again: it was never closed, and its lock says so.
        with pytest.raises(OutsideLockError, match=f"was closed, and {NEXT} opened in its place"):
            await append(lost.log)


async def test_what_was_ended_in_entries_that_are_lost_stays_ended(
    postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    applied: list[Ending] = []

    async def apply(writing: Writing, endings: Sequence[Ending]) -> int:
        applied.extend(endings)
        for _ in endings:
            writing.add(operated(SYSTEM_STREAM, "ended once more"))
        return len(endings)

    kept, gone = uuid4(), uuid4()
    async with disaster(postgres, tmp_path, before=40, after=60) as lost:
        old, new = lost.restored, successor(lost.restored)
        leaf = leaf_hash((await stored_entries(old))[10])
        last = Ending(1, 1, 50, bytes([5]) * 32, gone)
        file = EndingsFile(tmp_path / "endings", ORIGIN)
        file.create([Ending(1, 1, 10, leaf, kept), Ending(2, 1, 12, bytes(31) + b"x", gone), last])
        old.endings = Endings(file, apply)
        new.endings = Endings(EndingsFile(tmp_path / "next.endings", NEXT), apply)
        await close(old, new, AS_IT_STANDS)
        assert applied == [last]
        assert new.endings.file.exists()
        assert new.outside.read().size == len(await check_chain(new)) == 2
        await sound(new)


async def test_witnesses_that_are_waited_for_must_know_the_new_log_first(log: Log, tmp_path: Path) -> None:
    new = successor(log)
    (key,) = await keys_of(new)
    async with witness(tmp_path, "one", number=1) as one:
        policy = Policy.parse(policy_of("all", one).encode())
        witnessing = Witnessing(log.engine, 2, NEXT, policy, new.every_verifier_key, timeout=5)
        new.witnesses = witnessing
        with pytest.raises(LogUnavailableError, match=f"let the witnesses trust {NEXT} first") as refused:
            await close(log, new, ORDER)
        assert str(key) in str(refused.value)
        await append(log)
        one.store.trust(key)
        await close(log, new, ORDER)
        await witnessing.close()
    assert new.outside.read().size == 1


@pytest.mark.parametrize("before", [0, 1])
async def test_a_log_without_entries_can_be_closed(log: Log, before: int) -> None:
    if before:
        await append(log)
    new = successor(log)
    await close(log, new, ORDER)
    for each in (log, new):
        await sound(each)


async def test_it_is_closed_for_one_log_and_no_other(log: Log) -> None:
    with pytest.raises(LogStateError, match="is a log of this database already"):
        await close(log, successor(log, ORIGIN), ORDER)
    await close(log, successor(log), ORDER)
    with pytest.raises(LogStateError, match=f"is closed already, for {NEXT}"):
        await close(log, successor(log, "creditvault.test/another"), ORDER)


async def test_a_lock_of_another_log_is_not_taken(log: Log) -> None:
    new = successor(log)
    other = another_worker(log.engine, new.outside.path)
    other.outside.create(log.outside.read())
    with pytest.raises((OutsideLockError, VerificationError)):
        await close(log, new, ORDER)
    await append(log)


# ── Interruptions ────────────────────────────────────────────────────────────────────────────────

Fate = Literal["lost", "persisted"]


class CutError(LogUnavailableError):
    """The process was cut off here."""


@contextmanager
def cut(monkeypatch: pytest.MonkeyPatch, log: Log, at: int, fate: Fate) -> Iterator[list[str]]:
    """Cuts off the `at`-th durable step: before it took effect, or after, so that nobody was told."""
    passed: list[str] = []

    def due(name: str) -> bool:
        passed.append(name)
        return len(passed) == at

    def around(owner: Any, name: str) -> None:
        whole = getattr(owner, name)

        def cutting(*given: Any, **named: Any) -> Any:
            last = due(name)
            if last and fate == "lost":
                raise CutError(name)
            done = whole(*given, **named)
            if last:
                raise CutError(name)
            return done

        patched.setattr(owner, name, cutting)

    with monkeypatch.context() as patched:
        for name in ("create", "close", "raise_to"):
            around(OutsideLock, name)
        around(log.engine.sync_engine.dialect, "do_commit")
        yield passed


@pytest.mark.parametrize("fate", ["lost", "persisted"])
@pytest.mark.parametrize("at", range(1, 12))
async def test_whatever_stops_it_it_goes_on(
    log: Log, monkeypatch: pytest.MonkeyPatch, at: int, fate: Fate
) -> None:
    released = (await append(log, 3)).receipts
    new = successor(log)
    with cut(monkeypatch, log, at, fate) as passed, pytest.raises(CutError):
        await close(log, new, ORDER)
    assert len(passed) == at
    async with log.engine.connect() as connection:
        logs = await writes.logs(connection)
    assert sum(one.successor is None for one in logs) <= 1
    worker = another_worker(log.engine, log.outside.path)
    if logs[0].successor is None:  # Nothing has happened: the log goes on, and can be closed later.
        await append(worker)
    else:
        remedy = "start again" if len(logs) > 1 else "log close --new-origin"
        with pytest.raises(LogClosedError, match=remedy):
            await append(worker)
    again = another_worker(log.engine, log.outside.path)
    fresh = successor(again)
    await close(again, fresh, ORDER)
    report = await sound(again)
    await append(fresh)
    await sound(fresh)
    assert report.entries == again.outside.read().size == (await closing.says(fresh)).size
    assert (await closing.says(fresh)).planned
    for receipt in released:
        index = int(receipt.splitlines()[2].split()[1])
        assert (await stored_entries(again))[index].hex() in receipt or index < 3
    (opening,) = parse_succession(await succession(fresh))
    pass_over(opening, await keys_of(again, fresh))


async def test_those_who_append_meanwhile_are_answered_or_refused(log: Log) -> None:
    """Workers side by side: what was released stands in the old log, and nobody writes to it afterwards."""
    workers = [another_worker(log.engine, log.outside.path) for _ in range(3)]
    released: list[int] = []

    under_way = asyncio.Event()

    async def go_on(worker: Log) -> None:
        while True:
            try:
                released.extend((await append(worker)).indexes)
            except LogClosedError:
                return
            if len(released) > 10:
                under_way.set()

    going = [asyncio.create_task(go_on(worker)) for worker in workers]
    await under_way.wait()
    await close(log, successor(log), ORDER)
    await asyncio.gather(*going)
    entries = await stored_entries(log)
    assert len(released) == len(set(released))
    assert max(released) < len(entries) - 1
    assert log.outside.read().size == len(entries)
    await sound(log)


async def test_ends_of_streams_that_were_altered_are_found(log: Log, owner_url: str) -> None:
    await open_persons(log)
    await fill(log, 9)
    new = successor(log)
    await close(log, new, ORDER)
    await fill(new, 3, streams=(FIRST, SECOND, SYSTEM_STREAM))
    as_owner(owner_url, "UPDATE access_log.stream_end SET seq = seq - 1 WHERE log = 1")
    assert not (await examine_log(log, altered=(), retention_years=10)).sound
    as_owner(owner_url, "DELETE FROM access_log.stream_end")
    for each in (log, new):
        assert not (await examine_log(each, altered=(), retention_years=10)).sound


async def test_rebuilding_the_new_log_changes_nothing(log: Log, owner_url: str) -> None:
    await open_persons(log)
    await fill(log, 9)
    new = successor(log)
    await close(log, new, ORDER)
    await fill(new, 2, streams=(FIRST,))
    owner = create_async_engine(owner_url)
    done = await rebuild(new, owner, actor=ACTOR, dry_run=True)
    assert not done.changed
    as_owner(owner_url, "UPDATE access_log.stream SET seq = seq + 7, last_leaf = '' WHERE log = 2")
    assert (await rebuild(new, owner, actor=ACTOR)).streams == 2
    await owner.dispose()
    for each in (log, new):
        await sound(each)
