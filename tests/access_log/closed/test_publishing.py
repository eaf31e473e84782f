"""What was published of a closed log moves below the next one, whatever stops it, and both verify."""

import os
from pathlib import Path
from typing import Any

import pytest

from access_log.closed.log import ClosedLog, closed_folder
from access_log.closed.publishing import publish_closed, publish_succession
from access_log.closing import close, says
from access_log.errors import FolderError, LogClosedError, OutsideLockError
from access_log.lock import OutsideLock
from access_log.log import Log
from access_log.publishing import publish
from access_log.roots.leaf import roots_origin
from access_log.roots.log import RootsLog
from access_log.signing_keys import SigningKey
from access_log.sources import Directory
from access_log.succession import parse_succession
from access_log.verify import verify_log
from tests.access_log.logs import append, keys_of, stored_entries
from tests.access_log.restored import disaster
from tests.access_log.roots.clocked import SeededRootsSigners
from tests.access_log.test_closing import AS_IT_STANDS, NEXT, ORDER, successor
from tests.conftest import ORIGIN, PlainSealer, SeededSigners
from vault.server.embedded import EmbeddedDatabase


async def closed(log: Log) -> ClosedLog:
    """The log as the next one's worker holds it, once it was closed."""
    return ClosedLog(
        log.engine,
        origin=log.origin,
        master=bytes(range(32)),
        sealer=PlainSealer(),
        signers=SeededSigners(log.origin),
        outside=OutsideLock(log.outside.path),
        number=log.number,
        says=await says(successor(log)),
    )


def roots_of(log: Log | ClosedLog) -> RootsLog:
    return RootsLog(log, SeededRootsSigners(SigningKey.from_seed(roots_origin(log.origin), bytes(32))))


async def test_the_published_log_moves_and_is_completed(log: Log, tmp_path: Path) -> None:
    root = tmp_path / "published"
    await append(log, 300)
    await roots_of(log).create()
    await publish(log, root)
    new = successor(log)
    await close(log, new, ORDER)
    await append(new, 5)
    old = await closed(log)
    with pytest.raises(FolderError, match="is not this log's"):
        await publish(new, root)
    for _ in range(2):
        await publish_closed(old, roots_of(old), root)
        await publish_succession(new, root)
        await publish(new, root)
    assert verify_log(Directory(root), keys_of(new)).checkpoint.size == 6
    place = root / closed_folder(ORIGIN)
    assert verify_log(Directory(place), keys_of(log)).checkpoint.size == 301
    (opening,) = parse_succession((root / "succession").read_bytes())
    assert (opening.says.closed, opening.says.origin) == (ORIGIN, NEXT)


@pytest.mark.parametrize("at", range(1, 5))
async def test_stopped_on_its_way_it_goes_on(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    root = tmp_path / "published"
    await append(log, 300)
    await publish(log, root)
    new = successor(log)
    await close(log, new, ORDER)
    old = await closed(log)
    roots = roots_of(old)
    await roots.create()
    moved = 0
    rename = os.rename

    def failing(*given: Any, **named: Any) -> None:
        nonlocal moved
        moved += 1
        if moved == at:
            raise OSError(5, "gone")
        rename(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", failing)
        with pytest.raises(FolderError):
            await publish_closed(old, roots, root)
        checkpoints = [
            each for each in (root, root / closed_folder(ORIGIN)) if (each / "checkpoint").exists()
        ]
        for each in checkpoints:
            verify_log(Directory(each), keys_of(log))
    await publish_closed(old, roots, root)
    await publish(new, root)
    assert verify_log(Directory(root / closed_folder(ORIGIN)), keys_of(log)).checkpoint.size == 301
    assert verify_log(Directory(root), keys_of(new)).checkpoint.size == 1


async def test_the_lock_of_a_closed_log_is_compared(log: Log) -> None:
    await append(log, 3)
    earlier = log.outside.path.read_bytes()
    await append(log)
    new = successor(log)
    await close(log, new, ORDER)
    old = await closed(log)
    await old.require_kept()
    log.outside.path.write_bytes(earlier)
    with pytest.raises(OutsideLockError, match="is not as it was when the log was closed"):
        await old.require_kept()
    log.outside.path.unlink()
    with pytest.raises(OutsideLockError, match="is missing"):
        await old.require_kept()


async def test_a_lock_that_was_not_ended_is_ended_at_the_next_start(log: Log) -> None:
    await append(log)
    await close(log, successor(log), ORDER)
    whole = log.outside.path.read_bytes()
    log.outside.path.write_bytes(whole[: 48 * 1024])
    assert log.outside.successor() is None
    await (await closed(log)).require_kept()
    assert log.outside.successor() == NEXT


async def test_without_a_checkpoint_that_is_whole_here_nothing_is_proved(
    postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    """The lock is ahead of the database: what it covers beyond is gone, and every proof against it."""
    async with disaster(postgres, tmp_path, before=40, after=60) as lost:
        log = lost.restored
        await close(log, successor(log), AS_IT_STANDS)
        old = await closed(log)
        await old.require_kept()
        entry = (await stored_entries(log))[3]
        async with log.engine.connect() as connection:
            assert await old.provable(connection) is None
            with pytest.raises(LogClosedError, match="no checkpoint of the log"):
                await old.receipt(connection, 3, entry)
        assert (await old.newest()).size == 100


async def test_what_was_published_of_a_log_that_lost_entries_stays(
    postgres: EmbeddedDatabase, tmp_path: Path
) -> None:
    root = tmp_path / "published"
    async with disaster(postgres, tmp_path, before=40, after=60) as lost:
        await publish(lost.log, root)
        new = successor(lost.restored)
        await close(lost.restored, new, AS_IT_STANDS)
        old = await closed(lost.restored)
        await publish_closed(old, roots_of(old), root)
        await publish(new, root)
        place = root / closed_folder(ORIGIN)
        assert verify_log(Directory(place), keys_of(lost.log)).checkpoint.size == 100


async def test_the_last_checkpoint_proves_every_entry(log: Log) -> None:
    await append(log, 4)
    await close(log, successor(log), ORDER)
    old = await closed(log)
    async with log.engine.connect() as connection:
        covering = await old.provable(connection)
    assert covering is not None
    assert covering.size == (await old.newest()).size == 5
