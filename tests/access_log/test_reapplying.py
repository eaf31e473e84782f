"""Endings kept through a restore: those the log bears out are applied once more, and no others."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from access_log.endings import ASSUMED, Ending, EndingsFile
from access_log.errors import LogUnavailableError, OutsideLockError
from access_log.log import SYSTEM_STREAM, Log, Writing
from access_log.losses import Operator
from access_log.reapplying import Endings
from access_log.reimport import reimport
from tests.access_log.logs import append, check_chain, operated
from tests.access_log.restored import Disaster, disaster
from tests.conftest import ORIGIN
from vault.server.embedded import EmbeddedDatabase

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
GONE, BACK = 1, 2


class Register:
    """What a register does: it brings an object to how it must stand, and writes an event where it did."""

    def __init__(self) -> None:
        self.standing: dict[UUID, int] = {}
        self.applied: list[tuple[int, UUID]] = []

    async def apply(self, writing: Writing, endings: Sequence[Ending]) -> int:
        done = 0
        for each in endings:
            if self.standing.get(each.object) == each.kind:
                continue
            self.standing[each.object] = each.kind
            self.applied.append((each.kind, each.object))
            writing.add(operated(SYSTEM_STREAM, "applied"))
            writing.end(each.kind, each.object)
            done += 1
        return done


async def end(log: Log, kind: int, of: UUID) -> None:
    async with log.writing() as writing:
        writing.add(operated(SYSTEM_STREAM, "before it"))
        writing.add(operated(SYSTEM_STREAM, "ended"))
        writing.end(kind, of)


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
async def left(postgres: EmbeddedDatabase, tmp_path: Path, register: Register) -> AsyncIterator[Disaster]:
    """A database restored without what its newest entries did; both logs keep endings in one file."""
    async with disaster(postgres, tmp_path, before=300, after=20) as made:
        file = EndingsFile(tmp_path / "outside.lock.endings", ORIGIN)
        file.create()
        for log in (made.log, made.restored):
            log.endings = Endings(file, register.apply)
        yield made


def file_of(log: Log) -> EndingsFile:
    assert log.endings is not None
    return log.endings.file


async def imported(left: Disaster) -> int:
    done = await reimport(left.restored, await left.published(), actor=Operator("operator:x", "operator"))
    return done.reapplied


async def test_an_ending_is_kept_with_its_entry(left: Disaster) -> None:
    await end(left.log, GONE, ONE)
    entries = await check_chain(left.log)
    (kept,) = file_of(left.log).each()
    assert (kept.kind, kept.object, kept.index) == (GONE, ONE, len(entries) - 1)


async def test_a_restored_database_is_given_what_it_lacks(left: Disaster, register: Register) -> None:
    await end(left.log, GONE, ONE)
    await end(left.log, GONE, TWO)
    await end(left.log, BACK, TWO)
    assert await imported(left) == 2
    assert register.applied == [(GONE, ONE), (BACK, TWO)]
    await check_chain(left.restored)
    # What was applied once more is kept again, with its new entry.
    assert [(each.kind, each.object) for each in file_of(left.log).each()][3:] == register.applied


async def test_what_a_failed_transaction_left_is_passed_over(left: Disaster, register: Register) -> None:
    """It was durable there before the commit, and the commit never came."""
    with pytest.raises(RuntimeError, match="the power is cut"):  # noqa: PT012 -- the block is what fails
        async with left.log.transaction() as connection:
            head = await left.log._lock_head(connection)
            writing = Writing(connection, head, head.keys)
            writing.add(operated(SYSTEM_STREAM, "ended"))
            writing.end(GONE, ONE)
            await left.log._append(writing)
            raise RuntimeError("the power is cut")
    await end(left.log, GONE, TWO)
    assert [each.object for each in file_of(left.log).each()] == [ONE, TWO]
    assert await imported(left) == 1
    assert register.applied == [(GONE, TWO)]


async def test_an_attempt_that_failed_decides_nothing_about_what_happened(
    left: Disaster, register: Register
) -> None:
    await end(left.log, GONE, ONE)
    file_of(left.log).keep([Ending(BACK, 0, 321, bytes(32)[:-1] + b"\1", ONE)])
    assert await imported(left) == 1
    assert register.applied == [(GONE, ONE)]


async def test_nothing_is_applied_where_nothing_was_lost(left: Disaster, register: Register) -> None:
    await end(left.log, GONE, ONE)
    for _ in range(2):
        await left.log.start()
    assert not register.applied


async def test_what_came_after_the_restore_decides(left: Disaster, register: Register) -> None:
    """The newest record of an object, whether or not it was imported."""
    await end(left.log, GONE, ONE)
    await imported(left)
    await end(left.restored, BACK, ONE)
    register.standing[ONE] = BACK
    await left.restored.start()
    assert register.applied == [(GONE, ONE)]
    # Whatever puts it back to what it was meets the next start.
    register.standing[ONE] = GONE
    await left.restored.start()
    assert register.applied[1:] == [(BACK, ONE)]


async def test_what_was_assumed_at_the_beginning_counts_if_it_may_be_lost(
    left: Disaster, register: Register
) -> None:
    file_of(left.log).path.unlink()
    known = [Ending(GONE, 0, at, ASSUMED, of) for at, of in ((300, ONE), (301, TWO))]
    file_of(left.log).create(known)
    assert await imported(left) == 1
    assert register.applied == [(GONE, TWO)]


async def test_without_the_file_nothing_starts_and_nothing_is_imported(left: Disaster) -> None:
    file_of(left.log).path.unlink()
    with pytest.raises(OutsideLockError, match=r"is missing.*--begin"):
        await left.log.start()
    with pytest.raises(OutsideLockError, match=r"is missing.*--begin"):
        await imported(left)
    async with left.restored.transaction() as connection:
        assert (await left.restored.checked_head(connection)).size == left.size


async def test_what_cannot_be_kept_does_not_happen(left: Disaster) -> None:
    size = len(await check_chain(left.log))
    path = file_of(left.log).path
    aside = path.rename(path.with_name("aside"))
    path.mkdir()
    with pytest.raises(LogUnavailableError, match="cannot be used"):
        await end(left.log, GONE, ONE)
    path.rmdir()
    aside.rename(path)
    assert len(await check_chain(left.log)) == size
    await append(left.log)
    await end(left.log, GONE, ONE)


async def test_damage_stops_a_start_that_needs_it(left: Disaster) -> None:
    await end(left.log, GONE, ONE)
    path = file_of(left.log).path
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(OutsideLockError, match="damaged"):
        await imported(left)
