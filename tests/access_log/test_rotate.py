"""A change of the log's keys on real PostgreSQL: several workers, interruptions, and who can follow it."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import key_changes, writes
from access_log.checkpoint import VerifierKey, open_note
from access_log.errors import LogUnavailableError, OutsideLockError, VerificationError
from access_log.fsck import examine_log
from access_log.key_history import follow, parse_history
from access_log.lock import OutsideLock
from access_log.log import Log
from access_log.rotate import change_keys, key_history
from access_log.sequence import KeyState
from access_log.verifier_keys import ML_DSA_44
from tests.access_log.logs import another_worker, append, as_owner, check_chain
from tests.conftest import SeededSigners

OPERATOR = ("operator:somebody", "operator")


async def keys_of(log: Log, epoch: int) -> list[VerifierKey]:
    return [key.key for key in await log.signers.of(epoch)]


def signs(note: str, keys: list[VerifierKey]) -> bool:
    try:
        open_note(note, keys)
    except VerificationError:
        return False
    return True


async def test_old_and_new_sign_the_change_and_the_new_alone_what_follows(log: Log) -> None:
    await append(log, 3)
    before = log.outside.read().note
    change = await change_keys(log, *OPERATOR)
    at = log.outside.read()
    await append(log)
    after = log.outside.read().note
    old, new = await keys_of(log, 1), await keys_of(log, 2)
    assert (change.epoch, list(change.keys), change.index, change.resumed) == (2, new, 3, False)
    assert at.size == 4
    assert [signs(note, old) for note in (before, at.note, after)] == [True, True, False]
    assert [signs(note, new) for note in (before, at.note, after)] == [False, True, True]
    for note in (before, at.note, after):
        open_note(note, [*old, *new])
    assert list(await log.verifier_keys()) == new
    await check_chain(log)


async def test_who_has_the_first_key_alone_follows_every_change(
    database: AsyncEngine, tmp_path: Path
) -> None:
    log = another_worker(
        database, tmp_path / "outside.lock", signers=SeededSigners("creditvault.test/log", ml_dsa=True)
    )
    await log.create()
    await log.start()
    notes = []
    for count in (1, 300, 2):
        await append(log, count)
        notes.append(log.outside.read().note)
        await change_keys(log, *OPERATOR)
    await append(log)
    newest = log.outside.read().note
    history = parse_history(await key_history(log))
    for start in range(1, 4):
        for trusted in [[key] for key in await keys_of(log, start)]:
            succession = follow(history, trusted)
            assert list(succession.keys) == await keys_of(log, 4)
            assert succession.open_note(newest).size == 307
            if start == 1:
                for note in notes:
                    succession.open_note(note)
    assert {key.type for key in succession.keys} == {1, ML_DSA_44}


async def test_a_worker_that_saw_the_old_keys_signs_with_the_new(log: Log) -> None:
    other = another_worker(log.engine, log.outside.path)
    await other.start()
    await append(other)
    await change_keys(log, *OPERATOR)
    writing = await append(other)
    new = await keys_of(log, 2)
    assert other.outside.read().size == 3
    assert signs(other.outside.read().note, new)
    assert not signs(other.outside.read().note, await keys_of(log, 1))
    assert all(signs(receipt[receipt.index("\n\n") + 2 :], new) for receipt in writing.receipts)


async def test_workers_that_write_meanwhile_never_sign_the_entry_without_the_new_key(log: Log) -> None:
    workers = [another_worker(log.engine, log.outside.path) for _ in range(2)]
    for worker in workers:
        await worker.start()
    done = asyncio.Event()
    receipts: list[str] = []

    async def write(worker: Log) -> None:
        while not done.is_set():
            receipts.extend((await append(worker)).receipts)

    writers = [asyncio.create_task(write(worker)) for worker in workers]
    await append(log, 2)
    changes = [await change_keys(log, *OPERATOR) for _ in range(2)]
    await append(log, 2)
    done.set()
    await asyncio.gather(*writers)
    first, second, third = [await keys_of(log, epoch) for epoch in (1, 2, 3)]
    history = follow(parse_history(await key_history(log)), first)
    for receipt in receipts:
        note = receipt[receipt.index("\n\n") + 2 :]
        size = history.open_note(note).size
        assert signs(note, first) or size > changes[0].index
        assert signs(note, second) == (size > changes[0].index) or size > changes[1].index
        assert signs(note, third) == (size > changes[1].index)
    assert list(history.keys) == third
    await check_chain(log)


async def test_an_interrupted_change_is_completed_and_no_other_begun(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(log)

    async def interrupted(*_arguments: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(key_changes, "complete", interrupted)
        with pytest.raises(InterruptedError):
            await change_keys(log, *OPERATOR)
    old, new = await keys_of(log, 1), await keys_of(log, 2)
    assert list(await log.verifier_keys()) == [*old, *new]
    assert parse_history(await key_history(log)) == ()
    await append(log)
    both = log.outside.read().note
    assert signs(both, old)
    assert signs(both, new)
    change = await change_keys(log, *OPERATOR)
    assert (change.epoch, change.index, change.resumed) == (2, 1, True)
    await append(log)
    assert not signs(log.outside.read().note, old)
    assert list(follow(parse_history(await key_history(log)), old).keys) == new


async def test_a_start_completes_a_change(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_lock: OutsideLock, *_arguments: object) -> None:
        raise LogUnavailableError("the outside lock cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(OutsideLock, "raise_to", lost)
        with pytest.raises(LogUnavailableError):
            await change_keys(log, *OPERATOR)
    assert not log.running
    assert log.outside.read().size == 0
    restarted = another_worker(log.engine, log.outside.path)
    await restarted.start()
    assert list(await restarted.verifier_keys()) == await keys_of(log, 2)
    old = await keys_of(log, 1)
    assert signs(log.outside.read().note, old)
    assert list(follow(parse_history(await key_history(log)), old).keys) == await keys_of(log, 2)


async def test_two_at_once_make_one_change(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    other = another_worker(log.engine, log.outside.path)
    await other.start()
    both, key_state = asyncio.Barrier(2), writes.key_state
    waiting = 2

    async def together(connection: AsyncConnection, number: int) -> KeyState:
        nonlocal waiting
        state = await key_state(connection, number)
        if waiting:
            waiting -= 1
            await both.wait()
        return state

    monkeypatch.setattr(writes, "key_state", together)
    changes = await asyncio.gather(change_keys(log, *OPERATOR), change_keys(other, *OPERATOR))
    assert {change.index for change in changes} == {0}
    assert {change.epoch for change in changes} == {2}


async def test_a_database_from_before_the_change_is_not_started(log: Log, owner_url: str) -> None:
    await append(log)
    backup = (
        "UPDATE access_log.head SET key_epoch = 1, key_changing = false",
        "DELETE FROM access_log.key_change",
    )
    await change_keys(log, *OPERATOR)
    as_owner(owner_url, *backup)
    restored = another_worker(log.engine, log.outside.path)
    with pytest.raises(OutsideLockError, match="by keys of the log that this database does not have"):
        await restored.start()
    assert not restored.running


async def test_the_history_says_who_changed_the_keys_to_nobody(log: Log) -> None:
    await change_keys(log, *OPERATOR)
    history = await key_history(log)
    assert "somebody" not in history
    (change,) = json.loads(history)["changes"]
    opened = [attribute for attribute in change["opening"]["attributes"] if "name" in attribute]
    assert [attribute["name"] for attribute in opened] == ["event", "document"]


async def test_an_examination_finds_keys_that_the_history_does_not_lead_to(log: Log, owner_url: str) -> None:
    await change_keys(log, *OPERATOR)
    assert (await examine_log(log, altered=(), retention_years=1)).findings == ()
    for statement, what in (
        ("UPDATE access_log.key_change SET document = document || ' '", "does not verify"),
        ("DELETE FROM access_log.key_change", "does not lead to those the head names"),
    ):
        as_owner(owner_url, statement)
        (finding,) = (await examine_log(log, altered=(), retention_years=1)).findings
        assert "history of the log's keys" in finding.reason
        assert what in finding.reason
