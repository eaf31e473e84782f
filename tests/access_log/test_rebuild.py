"""What follows from the entries is made anew, whatever was done to it; the entries are never touched."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.errors import LogStateError, OutsideLockError, VerificationError
from access_log.fsck import Report, examine_log
from access_log.log import Log, StreamKind
from access_log.losses import Operator
from access_log.rebuild import Rebuilt, rebuild
from tests.access_log.logs import another_worker, append, as_owner, stored_entries
from tests.access_log.restored import FIRST, SECOND, disaster, fill
from vault.server.database import application_engine
from vault.server.embedded import EmbeddedDatabase
from vault.server.settings import Settings

ACTOR = Operator("operator:tester", "operator")
SIZE = 600
DERIVED = ("access_log.head", "access_log.tile", "access_log.stream")


class PowerCutError(Exception):
    """The end of a process in the middle of its work."""


@pytest.fixture
async def filled(log: Log) -> Log:
    async with log.engine.begin() as connection:
        await log.open_streams(connection, StreamKind.PERSON, [FIRST, SECOND])
    await fill(log, SIZE)
    return log


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[AsyncEngine]:
    engine = application_engine(owner_url, Settings())
    yield engine
    await engine.dispose()


async def derived(log: Log) -> Mapping[str, list[Any]]:
    async with log.engine.connect() as connection:
        return {
            name: sorted(tuple(row) for row in await connection.execute(text(f"SELECT * FROM {name}")))
            for name in DERIVED
        }


async def examined(log: Log) -> Report:
    return await examine_log(log, altered=(), retention_years=10)


async def made_anew(log: Log, owner: AsyncEngine, *, dry_run: bool = False) -> Rebuilt:
    fresh = another_worker(log.engine, log.outside.path)
    return await rebuild(fresh, owner, actor=ACTOR, dry_run=dry_run)


async def test_a_whole_log_is_left_alone(filled: Log, owner: AsyncEngine) -> None:
    before = await derived(filled)
    done = await made_anew(filled, owner)
    assert not done.changed
    assert done.declared is None
    assert await derived(filled) == before
    assert len(await stored_entries(filled)) == SIZE


async def test_an_empty_log_is_left_alone(log: Log, owner: AsyncEngine) -> None:
    assert not (await made_anew(log, owner)).changed


TAMPERED: dict[str, tuple[str, Callable[[Rebuilt], object], object]] = {
    "a hash of a tile": (
        "UPDATE access_log.tile SET hashes = set_byte(hashes, 33, get_byte(hashes, 33) # 1) WHERE index = 1",
        lambda done: done.tiles,
        ["0/1"],
    ),
    "the root beside a tile": (
        "UPDATE access_log.tile SET root = set_byte(root, 3, get_byte(root, 3) # 1) WHERE index = 0",
        lambda done: done.tiles,
        ["0/0"],
    ),
    "a tile cut short": (
        "UPDATE access_log.tile SET hashes = substring(hashes from 1 for 100) WHERE index = 0",
        lambda done: done.tiles,
        ["0/0"],
    ),
    "every tile gone": ("DELETE FROM access_log.tile", lambda done: done.tiles, ["0/0", "0/1"]),
    "a tile that nothing fills": (
        "INSERT INTO access_log.tile SELECT log, 0, 7, hashes, root FROM access_log.tile WHERE index = 0",
        lambda done: done.tiles,
        ["0/7"],
    ),
    "the head's size": ("UPDATE access_log.head SET size = 599", lambda done: done.head, ["size"]),
    "the head's chain and time": (
        "UPDATE access_log.head SET chain = decode(repeat('07', 32), 'hex'), time = 5",
        lambda done: done.head,
        ["chain", "time"],
    ),
    "the head's frontier": (
        "UPDATE access_log.head SET frontier = substring(frontier from 1 for 40)",
        lambda done: done.head,
        ["frontier"],
    ),
    "every stream at its beginning": (
        "UPDATE access_log.stream SET month = 0, seq = 0, last_leaf = decode(repeat('00', 32), 'hex')",
        lambda done: done.streams,
        4,
    ),
    "a stream behind": (
        "UPDATE access_log.stream SET seq = seq - 1 WHERE kind = 0",
        lambda done: done.streams,
        1,
    ),
    "a stream ahead": (
        "UPDATE access_log.stream SET seq = seq + 100 WHERE kind = 0",
        lambda done: done.streams,
        1,
    ),
    "a stream in no month": (
        "UPDATE access_log.stream SET month = 999999, seq = -3 WHERE kind = 2",
        lambda done: done.streams,
        1,
    ),
    "the shared streams gone": (
        "DELETE FROM access_log.stream WHERE kind <> 1",
        lambda done: done.streams,
        2,
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_was_altered_is_as_it_was(
    filled: Log, owner: AsyncEngine, owner_url: str, what: str
) -> None:
    statement, named, expected = TAMPERED[what]
    before, entries = await derived(filled), await stored_entries(filled)
    as_owner(owner_url, statement)
    altered = await derived(filled)
    assert not (await examined(filled)).sound
    looked = await made_anew(filled, owner, dry_run=True)
    assert (named(looked), looked.declared) == (expected, None)
    assert await derived(filled) == altered
    done = await made_anew(filled, owner)
    assert (named(done), done.declared) == (expected, SIZE)
    assert (await stored_entries(filled))[:SIZE] == entries
    after = await derived(filled)
    assert after["access_log.tile"] == before["access_log.tile"]
    report = await examined(filled)
    assert report.sound, report.findings
    assert report.size == report.raised == SIZE + 1
    assert not (await made_anew(filled, owner)).changed
    await append(another_worker(filled.engine, filled.outside.path), 3)
    assert (await examined(filled)).sound


@pytest.mark.parametrize("index", [0, 255, 256, 598, 599])
async def test_altered_entries_are_refused_and_nothing_changes(
    filled: Log, owner: AsyncEngine, owner_url: str, index: int
) -> None:
    as_owner(
        owner_url,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = :at",
        at=index,
    )
    as_owner(owner_url, "DELETE FROM access_log.tile")
    before = await derived(filled)
    with pytest.raises(VerificationError, match="restore a backup") as refused:
        await made_anew(filled, owner)
    assert refused.value.index in {index, index + 1}
    assert await derived(filled) == before


async def test_a_head_that_is_gone_is_refused(filled: Log, owner: AsyncEngine, owner_url: str) -> None:
    """Which keys sign is stated there alone."""
    as_owner(owner_url, "DELETE FROM access_log.head")
    with pytest.raises(LogStateError, match="creditvault migrate"):
        await made_anew(filled, owner)


async def test_a_missing_entry_is_refused(filled: Log, owner: AsyncEngine, owner_url: str) -> None:
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 300")
    with pytest.raises(VerificationError, match="missing from the database") as refused:
        await made_anew(filled, owner)
    assert refused.value.index == 300


async def test_entries_that_were_never_raised_are_not_blessed(
    filled: Log, owner: AsyncEngine, owner_url: str
) -> None:
    """Whoever may add entries could chain one on: only the head, or the lock, says that the log wrote it."""
    held = filled.outside.path.read_bytes()
    await append(filled, 2)
    filled.outside.path.write_bytes(held)
    as_owner(owner_url, f"UPDATE access_log.head SET size = {SIZE}")
    with pytest.raises(LogStateError, match="never raised"):
        await made_anew(filled, owner)


async def test_a_database_that_is_behind_is_sent_to_the_import(
    postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    async with disaster(postgres, tmp_path, before=10, after=5) as lost:
        engine = application_engine(lost.owner_url, Settings())
        with pytest.raises(OutsideLockError, match="log reimport"):
            await rebuild(lost.restored, engine, actor=ACTOR)
        await engine.dispose()


@pytest.mark.parametrize(
    "step", ["INSERT INTO access_log.tile", "UPDATE access_log.stream", "INSERT INTO access_log.document"]
)
async def test_a_failure_on_the_way_changes_nothing(
    filled: Log, owner: AsyncEngine, owner_url: str, step: str
) -> None:
    as_owner(owner_url, "DELETE FROM access_log.tile", "UPDATE access_log.stream SET seq = 1")
    before = await derived(filled)

    def cut(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if step in statement:
            raise PowerCutError

    event.listen(owner.sync_engine, "after_cursor_execute", cut)
    with pytest.raises(PowerCutError):
        await made_anew(filled, owner)
    event.remove(owner.sync_engine, "after_cursor_execute", cut)
    assert await derived(filled) == before
    assert (await made_anew(filled, owner)).declared == SIZE
    assert (await examined(filled)).sound


async def test_an_index_over_labels_that_lacks_entries_is_found_and_made_anew(
    filled: Log, owner: AsyncEngine, postgres: EmbeddedDatabase, database_name: str
) -> None:
    """The way an index goes wrong: rows came while it was not kept."""
    admin = create_engine(postgres.url("postgres", database_name))
    over_labels = "indrelid = 'access_log.entry_0'::regclass AND indexprs IS NOT NULL"
    with admin.begin() as connection:
        connection.execute(text(f"UPDATE pg_index SET indisready = false WHERE {over_labels}"))
    await filled.engine.dispose()
    await append(filled, 3)
    with admin.begin() as connection:
        connection.execute(text(f"UPDATE pg_index SET indisready = true WHERE {over_labels}"))
    admin.dispose()
    await filled.engine.dispose()
    report = await examined(filled)
    assert [one.index for one in report.findings] == [SIZE, SIZE + 1, SIZE + 2]
    assert "log rebuild" in report.findings[0].reason
    done = await made_anew(filled, owner)
    assert len(done.indexes) == 3
    assert (await examined(filled)).sound


async def test_an_index_over_labels_that_is_gone_is_found_and_made_anew(
    filled: Log, owner: AsyncEngine, owner_url: str
) -> None:
    as_owner(owner_url, "DROP INDEX access_log.entry_by_label")
    report = await examined(filled)
    assert [one.reason for one in report.findings] == [
        "the index over labels is missing or invalid: `creditvault log rebuild` makes it anew"
    ]
    assert (await made_anew(filled, owner)).declared == SIZE
    assert (await examined(filled)).sound
