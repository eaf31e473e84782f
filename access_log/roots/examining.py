"""Examine the log of roots in its database (a step of `creditvault log fsck`; FORMAT 4.3).

(1) every root is there, of the format, and may follow the one before it; together they are what was signed;
(2) the head states their frontier, and stored tiles are those of the roots;
(3) every root states what follows from the entries;
(4) every crown is that of the root it names, which is one of its month.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading
from access_log.errors import LogStateError, VerificationError
from access_log.findings import Findings
from access_log.merkle import leaf_hash
from access_log.rederive import CHUNK
from access_log.roots.crown import REMEDY
from access_log.roots.derivation import Derivation, Milestone
from access_log.roots.log import RootsLog
from access_log.roots.sound import SoundRoots, sound_roots, wrong_tiles
from access_log.tiles import tile_path

CROWNS: Final = text("SELECT month, root, slots FROM access_log.prefix_crown WHERE log = :log ORDER BY month")


@dataclass(frozen=True, slots=True)
class RootsExamined:
    """How much of the log of roots was compared."""

    roots: int = 0
    crowns: int = 0


async def examine_roots(
    connection: AsyncConnection,
    roots: RootsLog,
    findings: Findings,
    *,
    end: int | None,
    progress: Callable[[int], None],
) -> RootsExamined:
    """Compares the log of roots with its log, in one state of the database.

    Args:
        connection: Sees one state of the database throughout.
        roots: The log of roots.
        findings: Where to put what does not hold.
        end: The number of entries; None where these do not hold, so that nothing follows from them.
        progress: Told how many entries were taken.
    """
    try:
        sound = await sound_roots(connection, roots)  # (1)
    except VerificationError as error:
        findings.add(None, f"log of roots: {error.reason}")
        return RootsExamined()
    await _check_tiles(connection, roots, sound, findings)  # (2)
    if end is None:
        return RootsExamined(roots=len(sound.roots))
    try:
        await _follow(connection, roots, sound, end, progress)  # (3)
    except VerificationError as error:
        findings.add(error.index, f"log of roots: {error.reason}")
        return RootsExamined(roots=len(sound.roots))
    return RootsExamined(len(sound.roots), await _check_crowns(connection, roots, sound, findings))  # (4)


async def _check_tiles(
    connection: AsyncConnection, roots: RootsLog, sound: SoundRoots, findings: Findings
) -> None:
    if sound.stated != sound.frontier.encode():
        findings.add(None, "log of roots: the head's frontier does not follow from the roots: it was altered")
    wrong = await wrong_tiles(connection, roots, sound)
    for tile in wrong.missing:
        findings.add(None, f"log of roots: {tile_path(tile.level, tile.n)} is missing")
    for tile in wrong.altered:
        findings.add(None, f"log of roots: {tile_path(tile.level, tile.n)} was altered")
    for level, n in wrong.unfilled:
        findings.add(None, f"log of roots: a tile of level {level}, number {n}, is kept that no roots fill")


async def _follow(
    connection: AsyncConnection, roots: RootsLog, sound: SoundRoots, end: int, progress: Callable[[int], None]
) -> None:
    log = roots.log
    derived = Derivation(sound.roots, Milestone.start(log.origin))
    derived.begin()
    for first in range(0, end, CHUNK):
        stop = min(first + CHUNK, end)
        entries = [raw for _, raw in await reading.entries(connection, log.number, log.archive, first, stop)]
        derived.take(entries, [leaf_hash(raw) for raw in entries])
        progress(stop)
    derived.close()


async def _check_crowns(
    connection: AsyncConnection, roots: RootsLog, sound: SoundRoots, findings: Findings
) -> int:
    crowns = (await connection.execute(CROWNS, {"log": roots.number})).all()
    for month, index, slots in crowns:
        if not await holds(connection, roots, sound, month, index, slots):
            findings.add(
                None,
                f"log of roots: the crown of {month} is not that of a root of this month: {REMEDY}",
            )
    return len(crowns)


async def holds(  # noqa: PLR0917 -- a crown's row, and where it is to be found
    connection: AsyncConnection, roots: RootsLog, sound: SoundRoots, month: int, index: int, slots: bytes
) -> bool:
    """Whether a crown's row is what follows from the root it names, and that from the entries.

    Args:
        connection: Sees the log and its roots.
        roots: The log of roots.
        sound: Its roots.
        month: Of the crown, yyyymm.
        index: The root it names.
        slots: What it holds.
    """
    if not 0 <= index < len(sound.roots) or sound.roots[index].month != month:
        return False
    try:
        return await roots.slots(connection, sound.roots[index]) == slots
    except LogStateError:
        return False
