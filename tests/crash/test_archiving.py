"""kill -9 while entries are archived or taken out: each stands in the database, or in a whole archive."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from access_log import reading
from access_log.archive import Archive
from access_log.archiving import archive, drop
from access_log.fsck import examine_log
from access_log.log import Log
from access_log.publishing import publish
from access_log.sources import Directory
from access_log.verify import verify_log
from tests.access_log.logs import append, keys_of, narrow_partitions
from tests.crash import commands, killer
from vault.crypto.errors import UnsealError
from vault.server.assembly import Vault
from vault.server.settings import Settings

pytestmark = pytest.mark.slow
_WIDTH = 512
_SIZE = 3 * _WIDTH + 100
_CLOSED = 3
_AT_ONCE = timedelta(0)
_COMMITTED = "after-drop-is-committed"


@dataclass(frozen=True)
class Shelf:
    """A log of three closed partitions and an open one, and a folder for its archive."""

    settings: Settings
    log: Log
    owner: AsyncEngine
    entries: list[bytes]

    @property
    def place(self) -> Archive:
        assert self.log.archive is not None
        return self.log.archive

    async def killed(self, step: str, nth: int, *more: str) -> None:
        """The command, which dies at the nth pass of a step."""
        await commands.killed(self.settings, step, nth, "log", "archive", "--older-than", "0", *more)

    async def archive(self) -> int:
        """Archives again; returns how many ranges are in the database still."""
        return len((await archive(self.log, self.place, older_than=_AT_ONCE)).ranges)

    async def take_out(self) -> int:
        """Takes out what is archived whole; returns how many ranges it was."""
        return len((await drop(self.log, self.owner, self.place, older_than=_AT_ONCE)).ranges)

    async def require_whole(self, taken_out: int) -> None:
        """Every entry is there, once, and whatever examines the log finds it good."""
        assert await _stored(self.log) == self.entries
        assert await _archived(self.log) == taken_out
        report = await examine_log(self.log, altered=(UnsealError,), retention_years=10)
        assert report.sound, report.findings
        folder = self.settings.home / f"published-{taken_out}"
        await publish(self.log, folder)
        assert verify_log(Directory(folder), keys_of(self.log)).checkpoint.size == _SIZE


async def _stored(log: Log) -> list[bytes]:
    async with log.engine.connect() as connection:
        rows = await reading.entries(connection, log.number, log.archive, 0, _SIZE)
    assert [index for index, _ in rows] == list(range(_SIZE))
    return [entry for _, entry in rows]


async def _archived(log: Log) -> int:
    """Ranges the archive answers for, none of which the database still holds."""
    counted = text("SELECT count(*) FROM access_log.entry WHERE index >= :first AND index < :end")
    async with log.engine.connect() as connection:
        ranges = await reading.archived(connection, log.number)
        for each in ranges:
            held = await connection.execute(counted, {"first": each.first, "end": each.end})
            assert held.scalar_one() == 0
    return len(ranges)


@pytest.fixture
async def shelf(vault: Vault, vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Shelf]:
    assert vault_settings.owner_database_url is not None
    narrow_partitions(vault_settings.owner_database_url, _WIDTH, _SIZE + _WIDTH)
    for _ in range(4):
        await append(vault.log, _SIZE // 4)
    settings = vault_settings.model_copy(update={"archive_dir": tmp_path / "archive"})
    vault.log.archive = Archive(tmp_path / "archive")
    owner = create_async_engine(vault_settings.owner_database_url)
    yield Shelf(settings, vault.log, owner, await _stored(vault.log))
    await owner.dispose()


@pytest.mark.parametrize(
    ("step", "nth"), [*((step, 1) for step in killer.DROPPING), ("after-dropping", 2), (_COMMITTED, 2)]
)
async def test_killed_while_a_range_is_taken_out(shelf: Shelf, step: str, nth: int) -> None:
    assert await shelf.archive() == _CLOSED
    await shelf.killed(step, nth, "--drop")
    done = nth if step == _COMMITTED else nth - 1
    await shelf.require_whole(done)
    assert await shelf.take_out() == _CLOSED - done
    await shelf.require_whole(_CLOSED)


@pytest.mark.parametrize("step", killer.PUBLISHING)
async def test_killed_while_entries_are_archived(shelf: Shelf, step: str) -> None:
    await shelf.killed(step, 2)
    # What an interrupted run left is not relied on: only what is whole may be taken out.
    taken_out = await shelf.take_out()
    await shelf.require_whole(taken_out)
    assert await shelf.archive() == _CLOSED - taken_out
    assert await shelf.take_out() == _CLOSED - taken_out
    await shelf.require_whole(_CLOSED)
