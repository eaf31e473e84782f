"""The log of roots in a folder: an auditor reads it there, and what was published is never taken back."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint, open_signed_note
from access_log.errors import FolderError
from access_log.note import split_note
from access_log.publishing import publish
from access_log.roots.audit import audit_roots
from access_log.roots.cosigning import accept_cosignature
from access_log.roots.log import RootsLog
from access_log.roots.publishing import publish_roots
from access_log.signing_keys import CosigningKey
from access_log.sources import Directory
from access_log.verifier_keys import ED25519_COSIGNATURE
from tests.access_log.roots.clocked import KEY, SIGNERS, ClockedLog, clocked_log

AUDITOR = CosigningKey.from_seed("inspectorate.test/auditor", ED25519_COSIGNATURE, b"a" * 32)


@pytest.fixture
async def log(database: AsyncEngine, tmp_path: Path) -> ClockedLog:
    return await clocked_log(database, tmp_path)


@pytest.fixture
async def roots(log: ClockedLog) -> RootsLog:
    opened = RootsLog(log, SIGNERS, [AUDITOR.key])
    await opened.create()
    return opened


async def test_what_is_published_is_audited_and_cosigned(
    log: ClockedLog, roots: RootsLog, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    assert await publish_roots(roots, folder) == 0
    for month in range(1, 8):
        for day in range(1, 28, 9):
            await log.at(f"2026-0{month}-{day:02}", 5)
            await roots.catch_up()
        await publish(log, folder)
        assert await publish_roots(roots, folder) == month * 4 - 1
        found = audit_roots(
            Directory(folder), Directory(folder / "roots"), log_keys=[log.key.key], roots_keys=[KEY.key]
        )
        assert (found.covered, found.months) == (month * 15, month - 1)
    note = (folder / "roots" / "checkpoint").read_text()
    line = AUDITOR.line(Checkpoint.parse(split_note(note)[0]), 1_790_000_000)
    await accept_cosignature(roots, (note + line).encode())
    await publish_roots(roots, folder)
    _, signatures = open_signed_note((folder / "roots" / "checkpoint").read_bytes(), [KEY.key, AUDITOR.key])
    assert len(signatures) == 2


@pytest.mark.slow
async def test_full_tiles_are_published_once(log: ClockedLog, roots: RootsLog, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    for count in (255, 1, 2):
        for _ in range(count):
            await log.at("2026-07-01")
            await roots.catch_up()
        await publish_roots(roots, folder)
    await publish(log, folder)
    found = audit_roots(
        Directory(folder), Directory(folder / "roots"), log_keys=[log.key.key], roots_keys=[KEY.key]
    )
    assert found.seen.roots.checkpoint.size == 258
    full = folder / "roots" / "tile" / "entries" / "000"
    before = full.stat().st_mtime_ns
    await publish_roots(roots, folder)
    assert full.stat().st_mtime_ns == before


async def test_another_tree_is_refused(log: ClockedLog, roots: RootsLog, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    await log.at("2026-07-01", 3)
    await roots.catch_up()
    checkpoint = folder / "roots" / "checkpoint"
    checkpoint.parent.mkdir(parents=True)
    for other, words in (
        (b"garbage", "not of this log of roots"),
        (log.key.sign(Checkpoint(log.origin, 1, bytes(32))).encode(), "not of this log of roots"),
        (KEY.sign(Checkpoint(KEY.name, 1, bytes(32))).encode(), "another tree"),
        (KEY.sign(Checkpoint(KEY.name, 2, bytes(32))).encode(), "another tree"),
    ):
        checkpoint.write_bytes(other)
        with pytest.raises(FolderError, match=words):
            await publish_roots(roots, folder)
        assert checkpoint.read_bytes() == other
