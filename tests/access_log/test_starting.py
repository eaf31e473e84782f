"""A worker starts on the log that was raised, whole and signed by its origin, and on no other."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import open_note
from access_log.entry import Entry, next_chain
from access_log.errors import AccessLogError, LogStateError, LogUnavailableError, OutsideLockError
from access_log.log import Log
from access_log.merkle import Frontier, leaf_hash
from tests.access_log.logs import (
    another_worker,
    append,
    as_owner,
    check_chain,
    keys_of,
    root_of,
    stored_entries,
    verified,
)
from tests.conftest import fresh_database
from vault.server.database import application_engine
from vault.server.embedded import APPLICATION, EmbeddedDatabase
from vault.server.settings import Settings


async def head(log: Log, change: str = "", **values: object) -> Any:
    """Reads the head row, or sets columns of it as the application role may."""
    async with log.engine.begin() as connection:
        if change:
            await connection.execute(text(f"UPDATE access_log.head SET {change}"), values)
        return (await connection.execute(text("SELECT * FROM access_log.head"))).one()


async def test_making_a_log_twice_is_harmless(log: Log) -> None:
    await append(log, 2)
    before, held = await head(log), log.outside.read()
    await log.create()
    assert (await head(log), log.outside.read()) == (before, held)


async def test_a_log_that_holds_entries_is_given_no_new_lock(log: Log) -> None:
    await append(log)
    log.outside.path.unlink()
    await log.create()
    assert not log.outside.exists()
    with pytest.raises(OutsideLockError, match="is missing"):
        await log.start()


async def test_no_log(database: AsyncEngine, tmp_path: Path) -> None:
    with pytest.raises(LogStateError, match="creditvault migrate"):
        await another_worker(database, tmp_path / "outside.lock").start()


async def test_a_worker_starts_by_itself_before_it_first_writes(log: Log) -> None:
    other = another_worker(log.engine, log.outside.path)
    assert not other.running
    verified(other, await append(other))
    assert other.running


@pytest.mark.parametrize(
    ("held", "entries", "message"),
    [
        (5, 0, "is behind the outside lock"),
        (5, 4, "is behind the outside lock"),
        (5, 5, "holds another tree of size 5"),
        (5, 9, "holds another tree of size 5"),
    ],
)
async def test_a_database_that_is_not_the_one_that_was_raised(
    log: Log, postgres: EmbeddedDatabase, held: int, entries: int, message: str
) -> None:
    await append(log, held)
    aside = log.outside.path.with_name("another.lock")
    with fresh_database(postgres) as name:
        engine = application_engine(postgres.url(APPLICATION, name), Settings())
        older = another_worker(engine, aside)
        await older.create()
        if entries:
            await append(older, entries)
        swapped = another_worker(engine, log.outside.path)
        for _ in range(2):  # it stays refused
            with pytest.raises(OutsideLockError, match=message):
                await append(swapped)
        assert not swapped.running
        assert len(await stored_entries(swapped)) == entries
        await engine.dispose()
    assert log.outside.read().size == held


async def test_a_database_ahead_of_the_lock_is_signed_and_raised(log: Log) -> None:
    await append(log, 2)
    held = log.outside.path.read_bytes()
    await append(log, 300)
    log.outside.path.write_bytes(held)  # as after a crash between commit and raise
    assert log.outside.read().size == 2
    await another_worker(log.engine, log.outside.path).start()
    assert log.outside.read().size == 302
    assert open_note(log.outside.read().note, keys_of(log)).root == root_of(await stored_entries(log))


@pytest.mark.parametrize(
    "change",
    [
        "size = 6",
        "size = 4",
        "size = 3",
        "chain = substring(chain from 2) || '\\x00'::bytea",
        "frontier = substring(frontier from 33) || substring(frontier for 32)",
    ],
)
async def test_a_tampered_head(log: Log, change: str) -> None:
    await append(log, 5)
    await head(log, change)
    with pytest.raises(AccessLogError):
        await another_worker(log.engine, log.outside.path).start()


@pytest.mark.parametrize("at", [256, 298, 299])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_log.entry SET entry = overlay(entry placing '\\x00'::bytea from 80) WHERE index = :at",
        "DELETE FROM access_log.entry WHERE index = :at",
    ],
)
async def test_tampered_new_entries(log: Log, owner_url: str, statement: str, at: int) -> None:
    await append(log, 300)
    as_owner(owner_url, statement, at=at)
    with pytest.raises(LogStateError):
        await another_worker(log.engine, log.outside.path).start()


async def test_entries_and_head_changed_alike_are_held_against_the_lock(log: Log, owner_url: str) -> None:
    await append(log, 5)
    entries = await stored_entries(log)
    entries[4] = entries[4][:79] + bytes(27)
    forged = Frontier.empty().extend([leaf_hash(raw) for raw in entries])
    as_owner(owner_url, "UPDATE access_log.entry SET entry = :raw WHERE index = 4", raw=entries[4])
    chain = next_chain(Entry.decode(entries[4]).previous, leaf_hash(entries[4]))
    await head(log, "frontier = :frontier, chain = :chain", frontier=forged.encode(), chain=chain)
    with pytest.raises(OutsideLockError, match="another tree"):
        await another_worker(log.engine, log.outside.path).start()


def _remove(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(b"not a lock")


def _in_the_way(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(_remove, OutsideLockError), (_damage, OutsideLockError), (_in_the_way, LogUnavailableError)],
)
async def test_what_cannot_be_raised_is_not_released(
    log: Log, spoil: Callable[[Path], None], error: type[Exception]
) -> None:
    await append(log, 2)
    path, kept = log.outside.path, log.outside.path.read_bytes()
    spoil(path)
    with pytest.raises(error) as raised:
        await append(log, 3)
    assert str(path) in str(raised.value)
    assert not log.running
    assert len(await stored_entries(log)) == 5  # durable, and nothing of it released
    with pytest.raises(error):
        await append(log)
    assert len(await stored_entries(log)) == 5  # nothing is appended while it is halted
    with suppress(OSError):
        path.rmdir()
    path.write_bytes(kept)
    assert verified(log, await append(log))[0].checkpoint.size == 6
    assert log.running
    await check_chain(log)


async def test_a_callers_own_mistake_stays_its_own(log: Log) -> None:
    with pytest.raises(IntegrityError):
        async with log.writing() as writing:
            await writing.connection.execute(
                text("INSERT INTO access_log.head SELECT * FROM access_log.head")
            )
    assert log.running


async def test_a_clock_that_went_back_is_waited_out_for_a_minute(log: Log) -> None:
    await append(log)
    ahead = (await head(log)).time + 50_000
    await head(log, "time = :ahead", ahead=ahead)
    for _ in range(2):
        async with log.writing() as writing:
            assert writing.now.timestamp() * 1000 == pytest.approx(ahead, abs=0.01)
        assert verified(log, await append(log))[0].entry.time == ahead
    assert (await head(log)).time == ahead


async def test_a_clock_further_back_stops_the_log_until_it_is_right(log: Log) -> None:
    await append(log)
    right = (await head(log)).time
    await head(log, "time = :ahead", ahead=right + 90_000)
    for act in (lambda: append(log), log.start):
        with pytest.raises(LogUnavailableError, match="set the clock right"):
            await act()
    await head(log, "time = :right", right=right)
    verified(log, await append(log))
    assert len(await check_chain(log)) == 2


async def test_the_next_partition_is_made_ahead(log: Log) -> None:
    for _ in range(2):
        await log.make_partitions_ahead()
        async with log.engine.connect() as connection:
            made = await connection.scalars(
                text(
                    "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhparent"
                    " WHERE relname = 'entry' ORDER BY 1"
                )
            )
            assert list(made) == ["access_log.entry_0", "access_log.entry_1", "access_log.entry_2"]
