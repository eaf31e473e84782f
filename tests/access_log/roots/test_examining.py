"""The log of roots examined and mended in its database: what its owner alters is found."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint
from access_log.fsck import Report, examine_log
from access_log.losses import Operator
from access_log.merkle import Frontier, leaf_hash
from access_log.rebuild import Rebuilt, rebuild
from access_log.roots import log as writer
from access_log.roots.examining import RootsExamined
from access_log.roots.log import RootsLog
from tests.access_log.logs import as_owner
from tests.access_log.roots.clocked import KEY, ROOTS, SIGNERS, ClockedLog, clocked_log, many_roots, roots_of
from vault.server.database import application_engine
from vault.server.settings import Settings

TRIGGERS_OFF = "ALTER TABLE access_log.root DISABLE TRIGGER USER"


@pytest.fixture
async def roots(database: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RootsLog:
    monkeypatch.setattr(writer, "MOST_ENTRIES", 1)  # a root for each entry
    opened = await many_roots(await clocked_log(database, tmp_path))
    assert await opened.crown() == 2
    return opened


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[AsyncEngine]:
    engine = application_engine(owner_url, Settings())
    yield engine
    await engine.dispose()


async def examined(roots: RootsLog) -> Report:
    return await examine_log(roots.log, altered=(), retention_years=10, roots=roots)


async def mended(roots: RootsLog, owner: AsyncEngine, *, dry_run: bool = False) -> Rebuilt:
    assert isinstance(roots.log, ClockedLog)
    actor = Operator("operator:tester", "operator")
    return await rebuild(roots.log, owner, actor=actor, roots=roots, dry_run=dry_run)


async def test_a_sound_log_of_roots_is_compared_to_the_last_crown(
    roots: RootsLog, owner: AsyncEngine
) -> None:
    report = await examined(roots)
    assert report.sound, report.findings
    assert report.roots == RootsExamined(roots=ROOTS, crowns=2)
    done = await mended(roots, owner)
    assert not done.changed
    assert done.roots_left is None


async def test_a_log_without_roots_is_sound(database: AsyncEngine, tmp_path: Path) -> None:
    opened = RootsLog(await clocked_log(database, tmp_path), SIGNERS)
    await opened.create()
    assert (await examined(opened)).sound


DERIVED = {
    "tile altered": (
        "UPDATE access_log.tile SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE log = -1",
        "tile/0/000 was altered",
    ),
    "root beside a tile altered": (
        "UPDATE access_log.tile SET root = set_byte(root, 3, 255 - get_byte(root, 3)) WHERE log = -1",
        "tile/0/000 was altered",
    ),
    "tile missing": ("DELETE FROM access_log.tile WHERE log = -1", "tile/0/000 is missing"),
    "tile too many": (
        (
            "INSERT INTO access_log.tile (log, level, index, hashes, root)"
            " SELECT log, level, 1, hashes, root FROM access_log.tile WHERE log = -1"
        ),
        "a tile of level 0, number 1, is kept that no roots fill",
    ),
    "frontier": (
        "UPDATE access_log.root_head SET frontier = set_byte(frontier, 0, 255 - get_byte(frontier, 0))",
        "the head's frontier does not follow from the roots",
    ),
    "crown altered": (
        (
            "UPDATE access_log.prefix_crown SET slots = set_byte(slots, 5, 255 - get_byte(slots, 5))"
            " WHERE month = 202607"
        ),
        "the crown of 202607 is not that of a root of this month",
    ),
    "crown of another root": (
        "UPDATE access_log.prefix_crown SET root = root - 1 WHERE month = 202608",
        "the crown of 202608 is not that of a root of this month",
    ),
    "crown of no root": (
        "UPDATE access_log.prefix_crown SET root = 100000 WHERE month = 202608",
        "the crown of 202608 is not that of a root of this month",
    ),
}


@pytest.mark.parametrize(("statement", "reason"), DERIVED.values(), ids=DERIVED)
async def test_what_follows_from_the_roots_is_found_altered_and_made_anew(
    roots: RootsLog, owner: AsyncEngine, owner_url: str, statement: str, reason: str
) -> None:
    as_owner(owner_url, statement)
    report = await examined(roots)
    assert [reason in found.reason for found in report.findings] == [True]

    assert (await mended(roots, owner, dry_run=True)).roots
    assert (await examined(roots)).findings == report.findings
    done = await mended(roots, owner)
    assert done.roots
    assert done.declared is not None
    await RootsLog(roots.log, SIGNERS).crown()
    report = await examined(roots)
    assert report.sound, report.findings
    assert report.roots is not None
    assert report.roots.crowns == 2


SIGNED = {
    "root altered": (
        "UPDATE access_log.root SET leaf = set_byte(leaf, 85, 255 - get_byte(leaf, 85)) WHERE index = 7",
        "the roots are not those whose checkpoint was signed",
    ),
    "root malformed": ("UPDATE access_log.root SET leaf = set_byte(leaf, 0, 9) WHERE index = 7", "malformed"),
    "root missing": ("DELETE FROM access_log.root WHERE index = 7", "root 7 is missing from the database"),
    "last root missing": ("DELETE FROM access_log.root WHERE index = 260", "the database holds 260"),
    "roots changed places": (
        (
            "UPDATE access_log.root SET index = CASE index WHEN 7 THEN 1007 ELSE 7 END WHERE index IN (7, 8);"
            " UPDATE access_log.root SET index = 8 WHERE index = 1007"
        ),
        "out of place",
    ),
    "head missing": ("DELETE FROM access_log.root_head", "the head of the log of roots is missing"),
    "note altered": (
        "UPDATE access_log.root_head SET note = replace(note, '261', '260')",
        "the checkpoint of the log of roots does not verify",
    ),
}


@pytest.mark.parametrize(("statement", "reason"), SIGNED.values(), ids=SIGNED)
async def test_what_was_signed_is_found_altered_and_left_as_it_is(
    roots: RootsLog, owner: AsyncEngine, owner_url: str, statement: str, reason: str
) -> None:
    as_owner(owner_url, TRIGGERS_OFF, *statement.split(";"))
    report = await examined(roots)
    assert [reason in found.reason for found in report.findings] == [True]
    done = await mended(roots, owner)
    assert done.roots_left is not None
    assert reason in done.roots_left
    assert not done.changed


async def test_a_signed_lie_is_found(roots: RootsLog, owner_url: str) -> None:
    """Whoever holds the key leaves a label out and signs anew: only the entries say otherwise."""
    stated = await roots_of(roots)
    stated[260] = replace(stated[260], prefix_root=stated[259].prefix_root)
    raws = [root.encode() for root in stated]
    frontier = Frontier.empty().extend([leaf_hash(raw) for raw in raws])
    note = KEY.sign(Checkpoint(roots.origin, frontier.size, frontier.root()))
    as_owner(
        owner_url,
        TRIGGERS_OFF,
        "UPDATE access_log.root SET leaf = :leaf WHERE index = 260",
        "UPDATE access_log.root_head SET note = :note, frontier = :frontier",
        leaf=raws[260],
        note=note,
        frontier=frontier.encode(),
    )
    (found,) = (await examined(roots)).findings
    assert found.index == 259
    assert "leaves out the label of this entry" in found.reason
