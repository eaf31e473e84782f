"""Roots that a restored database lacks come back from where they were published, and only what follows."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint
from access_log.errors import LogStateError, VerificationError
from access_log.fsck import examine_log
from access_log.merkle import Frontier, leaf_hash
from access_log.roots import log as writer
from access_log.roots.leaf import Kind, PrefixRoot
from access_log.roots.log import RootsLog
from access_log.roots.publishing import FOLDER, publish_roots
from access_log.roots.reimport import bring_back
from access_log.sources import Directory
from access_log.tiles import Tile, encode_bundle
from tests.access_log.logs import as_owner
from tests.access_log.roots.clocked import KEY, ROOTS, SIGNERS, clocked_log, many_roots, roots_of

KEPT = 100


@pytest.fixture
async def roots(database: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RootsLog:
    monkeypatch.setattr(writer, "MOST_ENTRIES", 1)  # a root for each entry
    opened = await many_roots(await clocked_log(database, tmp_path))
    assert len(await roots_of(opened)) == ROOTS
    await publish_roots(opened, tmp_path)
    return opened


def restore(owner_url: str, stated: list[PrefixRoot], size: int) -> None:
    """The tables of the log of roots as a backup had them when it held so many."""
    leaves = [leaf_hash(root.encode()) for root in stated[:size]]
    frontier = Frontier.empty().extend(leaves)
    as_owner(
        owner_url,
        "ALTER TABLE access_log.root DISABLE TRIGGER USER",
        "DELETE FROM access_log.root WHERE index >= :size",
        "DELETE FROM access_log.tile WHERE log < 0 AND (level > 0 OR (index + 1) * 256 > :size)",
        "DELETE FROM access_log.prefix_crown",
        "UPDATE access_log.root_head SET size = :size, frontier = :frontier, note = :note",
        "ALTER TABLE access_log.root ENABLE TRIGGER USER",
        size=size,
        frontier=frontier.encode(),
        note=KEY.sign(Checkpoint(KEY.name, size, frontier.root())),
    )


def publish_others(folder: Path, stated: list[PrefixRoot]) -> None:
    """What a thief of the key would publish: these roots, well signed."""
    raws = [root.encode() for root in stated]
    for n in range(0, len(raws), 256):
        bundle = Tile(None, n // 256, min(256, len(raws) - n))
        path = folder / FOLDER / bundle.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_bundle(raws[n : n + 256]))
    root = Frontier.empty().extend([leaf_hash(raw) for raw in raws]).root()
    (folder / FOLDER / "checkpoint").write_text(KEY.sign(Checkpoint(KEY.name, len(raws), root)))


async def _size(roots: RootsLog) -> int:
    return len(await roots_of(roots))


@pytest.mark.parametrize("kept", [0, KEPT, 257])
async def test_what_is_missing_comes_back_and_the_log_goes_on(
    roots: RootsLog, owner_url: str, tmp_path: Path, kept: int
) -> None:
    stated = await roots_of(roots)
    assert Kind.FINAL in {root.kind for root in stated}
    restore(owner_url, stated, kept)
    back = RootsLog(roots.log, SIGNERS)
    assert await bring_back(back, Directory(tmp_path / FOLDER)) == ROOTS - kept
    assert await roots_of(back) == stated
    await back.crown()
    report = await examine_log(roots.log, altered=(), retention_years=10, roots=back)
    assert report.sound, report.findings
    assert await bring_back(back, Directory(tmp_path / FOLDER)) == 0
    assert await back.catch_up() == 0
    # Published anew, it continues what was there.
    await publish_roots(back, tmp_path)


async def test_where_none_are_published_there_is_nothing_to_bring_back(
    roots: RootsLog, tmp_path: Path
) -> None:
    assert await bring_back(roots, Directory(tmp_path / "elsewhere")) is None


async def test_a_signed_root_that_does_not_follow_is_refused(
    roots: RootsLog, owner_url: str, tmp_path: Path
) -> None:
    stated = await roots_of(roots)
    restore(owner_url, stated, KEPT)
    at = KEPT + 7
    one = stated[at]
    wrong = PrefixRoot(one.kind, one.month, one.first, one.size, one.log_root, bytes(32))
    early = PrefixRoot(Kind.FINAL, one.month, one.first, one.size, one.log_root, one.prefix_root)
    for forged in (wrong, early):
        publish_others(tmp_path, [*stated[:at], forged])
        with pytest.raises(VerificationError, match=f"root {at} of the published log of roots"):
            await bring_back(RootsLog(roots.log, SIGNERS), Directory(tmp_path / FOLDER))
        assert await _size(roots) == KEPT


async def test_roots_that_parted_from_those_of_the_database_are_refused(
    roots: RootsLog, tmp_path: Path
) -> None:
    stated = await roots_of(roots)
    publish_others(tmp_path, [*stated[:3], *stated[4:10]])
    with pytest.raises(LogStateError, match="other roots than were published"):
        await bring_back(roots, Directory(tmp_path / FOLDER))
    assert await _size(roots) == ROOTS
