"""The log of roots follows the log: every month, every entry, once (FORMAT 4.3), on a real database."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import open_note
from access_log.errors import LogStateError
from access_log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from access_log.roots import log as writer
from access_log.roots import store
from access_log.roots.leaf import Kind
from access_log.roots.log import RootsLog
from tests.access_log.logs import as_owner, stored_entries
from tests.access_log.roots.clocked import (
    SIGNERS,
    ClockedLog,
    SeededRootsSigners,
    clocked_log,
    new_stream,
    root_over,
    roots_of,
)


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> ClockedLog:
    return await clocked_log(database, tmp_path)


@pytest.fixture
async def roots(log: ClockedLog) -> RootsLog:
    opened = RootsLog(log, SIGNERS)
    await opened.create()
    return opened


async def check(roots: RootsLog) -> list[tuple[int, Kind, int, int]]:
    """Compares every root with the entries, and the signed checkpoint with all roots."""
    entries, found = await stored_entries(roots.log), await roots_of(roots)
    before = None
    for root in found:
        assert root == root_over(entries, root.month, root.size, root.kind)
        assert root.misplaced(before) is None
        before = root
    async with roots.log.engine.connect() as connection:
        note = await roots.checkpoint(connection)
    checkpoint = open_note(note, await roots.verifier_keys())
    leaves = [leaf_hash(root.encode()) for root in found]
    assert (checkpoint.origin, checkpoint.size) == (roots.origin, len(found))
    assert checkpoint.root == (Frontier.empty().extend(leaves).root() if leaves else EMPTY_ROOT)
    return [(root.month, root.kind, root.first, root.size) for root in found]


async def test_an_empty_log_has_no_roots(roots: RootsLog) -> None:
    await roots.create()
    assert await roots.catch_up() == 0
    assert await roots.crown() == 0
    assert await check(roots) == []


async def test_months_follow_each_other(log: ClockedLog, roots: RootsLog) -> None:
    person = await new_stream(log)
    await log.at("2026-07-30T10:00:00", 3)
    await log.at("2026-07-31T23:59:59.999", 2, person)
    assert await roots.catch_up() == 1
    assert await roots.catch_up() == 0  # Nothing changed, so nothing is said.
    await log.at("2026-07-31T23:59:59.999")
    await log.at("2026-08-01T00:00:00", 4, person)
    assert await roots.catch_up() == 2
    await log.at("2026-11-05T00:00:00", 1)  # Two months passed without an entry.
    assert await roots.catch_up() == 4
    assert await check(roots) == [
        (202607, Kind.INTERIM, 0, 5),
        (202607, Kind.FINAL, 0, 6),
        (202608, Kind.INTERIM, 6, 10),
        (202608, Kind.FINAL, 6, 10),
        (202609, Kind.FINAL, 10, 10),
        (202610, Kind.FINAL, 10, 10),
        (202611, Kind.INTERIM, 10, 11),
    ]


async def test_another_worker_goes_on_where_the_first_stopped(log: ClockedLog, roots: RootsLog) -> None:
    other = RootsLog(log, SIGNERS)
    for worker, day in ((roots, "07-01"), (other, "07-02"), (roots, "07-03"), (other, "09-03")):
        await log.at(f"2026-{day}", 5)
        await worker.catch_up()
    assert len(await check(roots)) == 6


async def test_a_long_log_is_covered_in_parts(
    log: ClockedLog, roots: RootsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_ENTRIES", 100)
    monkeypatch.setattr(writer, "_CHUNK", 30)
    await log.at("2026-07-01", 250)
    await log.at("2026-08-01", 60)
    assert await roots.catch_up() == 5
    assert [size for *_, size in await check(roots)] == [100, 200, 250, 300, 310]


@pytest.mark.slow
async def test_tiles_of_many_roots(log: ClockedLog, roots: RootsLog) -> None:
    for _ in range(258):
        await log.at("2026-07-01")
        await roots.catch_up()
    await check(roots)
    async with log.engine.connect() as connection:
        found = await connection.execute(text("SELECT level, index FROM access_log.tile WHERE log = -1"))
        assert [tuple(row) for row in found] == [(0, 0)]


async def test_only_what_was_raised_is_covered(
    log: ClockedLog, roots: RootsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.at("2026-07-01", 3)
    held = log.outside.read()
    await log.at("2026-07-01", 2)
    monkeypatch.setattr(log.outside, "read", lambda: held)
    await roots.catch_up()
    assert [size for *_, size in await check(roots)] == [3]


async def test_altered_entries_stop_it(log: ClockedLog, roots: RootsLog, owner_url: str) -> None:
    await log.at("2026-07-01", 5)
    await roots.catch_up()
    await log.at("2026-07-01", 5)
    as_owner(owner_url, "UPDATE access_log.entry SET entry = set_byte(entry, 50, 1) WHERE index = 2")
    with pytest.raises(LogStateError, match="not those that were covered"):
        await RootsLog(log, SIGNERS).catch_up()
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 7")
    with pytest.raises(LogStateError, match="not those that were covered"):
        await roots.catch_up()


async def test_an_interrupted_append_leaves_nothing(
    log: ClockedLog, roots: RootsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.at("2026-07-01", 5)

    async def fail(*_arguments: object) -> None:
        raise RuntimeError("cut")

    with monkeypatch.context() as patched:
        patched.setattr(store, "append", fail)
        with pytest.raises(RuntimeError, match="cut"):
            await roots.catch_up()
    assert await check(roots) == []
    await roots.catch_up()
    assert await check(roots) == [(202607, Kind.INTERIM, 0, 5)]


async def test_names_must_agree(log: ClockedLog, roots: RootsLog) -> None:
    with pytest.raises(LogStateError, match="another name"):
        await RootsLog(log, SeededRootsSigners(log.key)).create()
    async with log.engine.begin() as connection:
        await connection.execute(text("UPDATE access_log.root_head SET origin = 'other/roots'"))
    await log.at("2026-07-01")
    with pytest.raises(LogStateError, match="'other/roots'"):
        await roots.catch_up()
    other = replace_origin(log)
    with pytest.raises(LogStateError, match="no log of roots"):
        await other.catch_up()


def replace_origin(log: ClockedLog) -> RootsLog:
    """A log of roots that was never created."""
    other = RootsLog(log, SIGNERS)
    other.number = -7
    return other
