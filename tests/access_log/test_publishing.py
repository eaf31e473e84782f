"""The log published into a folder: the verifier finds it good at every moment, and nothing is taken back."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint, SigningKey, open_note
from access_log.contradiction import Signed
from access_log.durable import DurableFolder
from access_log.errors import FolderError, OutsideLockError, VerificationError
from access_log.fetch import read_tile
from access_log.lock import Raised
from access_log.log import Log
from access_log.merkle import leaf_hash
from access_log.publishing import publish
from access_log.sources import Directory
from access_log.tiles import Tile, bundles_of, tiles_of
from access_log.verify import Audit, verify_log
from tests.access_log.logs import another_worker, append, as_owner, keys_of, root_of, stored_entries
from tests.conftest import ORIGIN


@dataclass(frozen=True)
class _Earlier:
    """A folder as who kept an older checkpoint of it reads it."""

    folder: Directory
    note: bytes

    def read(self, path: str, limit: int) -> bytes | None:
        return self.note if path == "checkpoint" else self.folder.read(path, limit)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published" / "log"


def audit(log: Log, folder: Path) -> Audit:
    return verify_log(Directory(folder), keys_of(log))


def files(folder: Path) -> dict[str, bytes]:
    """Every published file: what stands under a hidden name is no part of it."""
    return {
        path: file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not (path := str(file.relative_to(folder))).startswith(".")
    }


async def test_an_empty_log(log: Log, folder: Path) -> None:
    done = await publish(log, folder)
    assert (done.size, done.before, done.written) == (0, None, 1)
    assert sorted(files(folder)) == ["checkpoint", "key", "keys"]
    assert audit(log, folder).checkpoint.size == 0


async def test_every_file_of_the_checkpoint_and_no_other(log: Log, folder: Path) -> None:
    await append(log, 1_000)
    await append(log, 700)
    size = 1_700
    told: list[tuple[int, int]] = []
    done = await publish(log, folder, progress=lambda at, of: told.append((at, of)))
    names = {tile.path for tile in (*bundles_of(size), *tiles_of(size))}
    assert files(folder).keys() == {"checkpoint", "key", "keys", *names}
    assert (done.size, done.before, done.written, done.same) == (size, None, len(names) + 1, 0)
    assert told[0] == (0, size)
    assert told[-1] == (size, size)
    assert audit(log, folder).checkpoint.root == root_of(await stored_entries(log))


async def test_whoever_serves_it_may_read_it(log: Log, folder: Path) -> None:
    """Whatever the mask of the service that publishes."""
    await append(log, 300)
    mask = os.umask(0o077)
    try:
        await publish(log, folder)
    finally:
        os.umask(mask)
    for path in sorted(folder.rglob("*")):  # noqa: ASYNC240 -- a test may wait for its disk
        if not path.name.startswith("."):
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


async def test_a_second_time_nothing_is_written(log: Log, folder: Path) -> None:
    await append(log, 600)
    await publish(log, folder)
    before = files(folder)
    done = await publish(log, folder)
    assert (done.size, done.before, done.written) == (600, 600, 0)
    done = await publish(log, folder, whole=True)
    assert (done.written, done.same) == (0, len(before) - 3)
    assert files(folder) == before


async def test_partial_files_stay_until_the_full_one_stands(log: Log, folder: Path) -> None:
    await append(log, 300)
    await publish(log, folder)
    await append(log, 100)
    await publish(log, folder)
    assert {"tile/0/001.p/44", "tile/0/001.p/144"} <= files(folder).keys()
    await append(log, 200)
    done = await publish(log, folder)
    assert done.removed == 2
    left = {path for path in files(folder) if ".p/" in path}
    assert left == {"tile/entries/002.p/88", "tile/0/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2"}
    assert audit(log, folder).checkpoint.size == 600


async def test_every_checkpoint_ever_published_stays_verifiable(
    database: AsyncEngine, tmp_path: Path
) -> None:
    """Property: whatever the sizes at which it was published, files of the older ones are found."""
    number = 0

    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(st.integers(1, 700), min_size=1, max_size=4), whole=st.booleans())
    def holds(steps: list[int], *, whole: bool) -> None:
        nonlocal number
        number += 1
        plan.append((number, steps, whole))

    plan: list[tuple[int, list[int], bool]] = []
    holds()
    log = another_worker(database, tmp_path / "outside.lock")
    await log.create()
    await log.start()
    for number, steps, whole in plan:
        folder = tmp_path / f"published-{number}"
        notes = []
        for step in steps:
            await append(log, step)
            await publish(log, folder, whole=whole)
            notes.append((folder / "checkpoint").read_bytes())
        earlier: list[Signed] = []
        for note in notes:
            found = verify_log(_Earlier(Directory(folder), note), keys_of(log), earlier=earlier)
            earlier.append(found.signed)


async def test_files_of_a_run_that_was_interrupted_are_compared(log: Log, folder: Path) -> None:
    """What stands beyond the published checkpoint is kept where it is right, and written anew where not."""
    await append(log, 1_000)
    await publish(log, folder)
    (folder / "checkpoint").unlink()
    wrong = folder / "tile/entries/001"
    wrong.write_bytes(wrong.read_bytes()[:-1])
    (folder / "tile/0/002").unlink()
    long = folder / "tile/0/001"
    long.write_bytes(long.read_bytes() + b"x")
    done = await publish(log, folder)
    assert done.written == 4
    assert audit(log, folder).checkpoint.size == 1_000


async def test_the_tail_of_what_was_published_is_not_believed(log: Log, folder: Path) -> None:
    await append(log, 768)
    await publish(log, folder)
    (folder / "tile/entries/002").write_bytes(b"")
    (folder / "tile/1/000.p/3").unlink()
    await append(log, 1)
    await publish(log, folder)
    assert audit(log, folder).checkpoint.size == 769


async def test_the_whole_is_mended_when_asked_for(log: Log, folder: Path) -> None:
    await append(log, 1_000)
    await publish(log, folder)
    (folder / "tile/entries/000").write_bytes(b"")
    await publish(log, folder)
    with pytest.raises(VerificationError):
        audit(log, folder)
    done = await publish(log, folder, whole=True)
    assert done.written == 1
    audit(log, folder)


async def test_leftovers_of_a_crash_are_thrown_away(log: Log, folder: Path) -> None:
    (folder / ".new").mkdir(parents=True)
    (folder / ".new" / "17").write_bytes(b"torn")
    await publish(log, folder)
    assert list((folder / ".new").iterdir()) == []


# ── What must not be replaced ────────────────────────────────────────────────────────────────────


async def _refused(log: Log, folder: Path, match: str) -> None:
    before = files(folder)
    with pytest.raises(FolderError, match=match):
        await publish(log, folder)
    assert files(folder) == before


async def test_a_larger_checkpoint_is_never_replaced(log: Log, folder: Path, tmp_path: Path) -> None:
    await append(log, 10)
    lock = tmp_path / "outside.lock"
    older = lock.read_bytes()
    await append(log, 10)
    await publish(log, folder)
    lock.write_bytes(older)
    await _refused(log, folder, "covers 20 entries, the outside lock 10: what was published is never taken")


async def test_another_tree_is_never_replaced(log: Log, folder: Path) -> None:
    """The same key signed another history: both are kept for who examines it."""
    await append(log, 10)
    folder.mkdir(parents=True)  # noqa: ASYNC240 -- the same
    other = log.key.sign(Checkpoint(ORIGIN, 5, bytes(32)))
    (folder / "checkpoint").write_text(other)
    await _refused(log, folder, "is of another tree than the log's first 5 entries")
    (folder / "checkpoint").write_text(log.key.sign(Checkpoint(ORIGIN, 10, bytes(32))))
    await _refused(log, folder, "is of another tree than the log's first 10 entries")


async def test_what_is_no_checkpoint_of_this_log_is_left_alone(log: Log, folder: Path) -> None:
    folder.mkdir(parents=True)  # noqa: ASYNC240 -- the same
    other = SigningKey.from_seed("another.example/log", bytes(32))
    for content in (
        b"",
        b"\xff" * 100,
        b"x" * 70_000,
        other.sign(Checkpoint(other.name, 0, bytes(32))).encode(),
    ):
        (folder / "checkpoint").write_bytes(content)
        await _refused(log, folder, "the folder this log was published into, or an empty one")


async def test_a_note_that_was_cosigned_is_kept(log: Log, folder: Path) -> None:
    """A checkpoint of the same tree with more signatures on it is not replaced by one with fewer."""
    await append(log, 3)
    await publish(log, folder)
    place = folder / "checkpoint"
    witness = SigningKey.from_seed("witness.example", bytes([7]) * 32)
    line = witness.sign(Checkpoint("witness.example", 0, bytes(32))).splitlines()[-1]
    place.write_text(place.read_text() + line + "\n")
    cosigned = place.read_bytes()
    assert (await publish(log, folder)).written == 0
    assert place.read_bytes() == cosigned


async def test_entries_that_were_altered_are_not_published(log: Log, folder: Path, owner_url: str) -> None:
    await append(log, 300)
    await publish(log, folder)
    before = files(folder)
    await append(log, 700)
    as_owner(
        owner_url,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = 600",
    )
    with pytest.raises(VerificationError, match="does not follow") as caught:
        await publish(log, folder)
    assert caught.value.index == 601
    assert files(folder)["checkpoint"] == before["checkpoint"]
    audit(log, folder)


async def test_an_entry_that_is_gone_is_named(log: Log, folder: Path, owner_url: str) -> None:
    await append(log, 700)
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 300")
    with pytest.raises(VerificationError, match="missing from the database") as caught:
        await publish(log, folder)
    assert caught.value.index == 300
    assert not (folder / "checkpoint").exists()


async def test_an_end_that_was_rewritten_gets_no_checkpoint(log: Log, folder: Path, owner_url: str) -> None:
    await append(log, 300)
    as_owner(
        owner_url,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = 299",
    )
    with pytest.raises(VerificationError, match="do not give the signed root"):
        await publish(log, folder)
    assert not (folder / "checkpoint").exists()


async def test_only_what_was_raised_is_published(log: Log, folder: Path, tmp_path: Path) -> None:
    await append(log, 10)
    older = (tmp_path / "outside.lock").read_bytes()
    await append(log, 10)
    (tmp_path / "outside.lock").write_bytes(older)
    assert (await publish(log, folder)).size == 10
    assert audit(log, folder).checkpoint.size == 10
    assert len(files(folder)["tile/entries/000.p/10"]) == 10 * 108


async def test_a_lock_with_another_note_is_refused(log: Log, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.lock").unlink()
    log.outside.create(Raised(0, bytes(32), "no note\n"))
    with pytest.raises(OutsideLockError, match="does not verify"):
        await publish(log, folder)


# ── The folder ───────────────────────────────────────────────────────────────────────────────────


async def test_one_at_a_time(log: Log, folder: Path) -> None:
    with DurableFolder(folder).held(), pytest.raises(FolderError, match="another process is adding"):
        await publish(log, folder)
    await publish(log, folder)


async def test_a_file_in_the_way_is_one_line(log: Log, folder: Path) -> None:
    await append(log, 300)
    folder.mkdir(parents=True)  # noqa: ASYNC240 -- the same
    (folder / "tile").write_text("a file")
    with pytest.raises(FolderError, match="cannot be used"):
        await publish(log, folder)
    folder.parent.joinpath("file").write_text("")
    with pytest.raises(FolderError, match="cannot be used"):
        await publish(log, folder.parent / "file")
    (folder / "tile").unlink()
    await publish(log, folder)
    audit(log, folder)


async def test_a_copy_is_as_good(log: Log, folder: Path, tmp_path: Path) -> None:
    """What an object store's sync carries elsewhere verifies there, without the hidden names."""
    await append(log, 600)
    await publish(log, folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*"))
    audit(log, copy)
    note = (copy / "checkpoint").read_bytes()
    assert open_note(note, keys_of(log)).size == 600
    leaf = read_tile(Directory(copy), Tile(0, 2, 88))
    assert leaf is not None
    assert leaf[:32] == leaf_hash((await stored_entries(log))[512])
