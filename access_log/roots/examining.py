"""Examine the log of roots in its database (a step of `creditvault log fsck`; FORMAT 4.3).

(1) every root is there, of the format, and may follow the one before it; together they are what was signed;
(2) the head states their frontier, and stored tiles are those of the roots;
(3) every root states what follows from the entries;
(4) every crown is that of the root it names, which is one of its month;
(5) the history of its keys leads from the first to those in force.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading
from access_log.errors import AccessLogError, VerificationError
from access_log.findings import Findings
from access_log.merkle import leaf_hash
from access_log.prefix_tree import PrefixTree
from access_log.rederive import CHUNK
from access_log.roots import store
from access_log.roots.crown import REMEDY, slots_of
from access_log.roots.derivation import Derivation, Milestone
from access_log.roots.key_history import follow, parse_history
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
    await _require_history(connection, roots, findings)  # (5)
    if end is None:
        return RootsExamined(roots=len(sound.roots))
    crowns = (await connection.execute(CROWNS, {"log": roots.number})).all()
    try:
        derived = await _follow(connection, roots, sound, end, {row.root for row in crowns}, progress)  # (3)
    except VerificationError as error:
        findings.add(error.index, f"log of roots: {error.reason}")
        return RootsExamined(roots=len(sound.roots))
    for month, index, slots in crowns:  # (4)
        if derived.get(index) != slots or sound.roots[index].month != month:
            findings.add(
                None, f"log of roots: the crown of {month} is not that of a root of this month: {REMEDY}"
            )
    return RootsExamined(len(sound.roots), len(crowns))


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


async def _follow(  # noqa: PLR0917 -- the walk over the entries, and what is wanted of it
    connection: AsyncConnection,
    roots: RootsLog,
    sound: SoundRoots,
    end: int,
    crowned: Collection[int],
    progress: Callable[[int], None],
) -> dict[int, bytes]:
    """Derives every root from the entries; returns what must be kept of the crowns of some.

    Raises:
        VerificationError: A root does not follow from the entries.
    """
    log, slots = roots.log, {}

    def met(number: int, tree: PrefixTree) -> None:
        if number in crowned:
            slots[number] = slots_of(tree)

    derived = Derivation(sound.roots, Milestone.start(log.origin), met)
    derived.begin()
    for first in range(0, end, CHUNK):
        stop = min(first + CHUNK, end)
        entries = [raw for _, raw in await reading.entries(connection, log.number, log.archive, first, stop)]
        derived.take(entries, [leaf_hash(raw) for raw in entries])
        progress(stop)
    derived.close()
    return slots


async def _require_history(connection: AsyncConnection, roots: RootsLog, findings: Findings) -> None:
    size = (await store.head(connection, roots.number)).size
    first = (await roots.every_verifier_key(connection))[:1]
    in_force = (await roots.keys_of(connection, size))[-1:]
    try:
        found = follow(parse_history(await roots.key_history(connection)), first).keys
    except AccessLogError as error:
        findings.add(None, f"log of roots: the history of its keys does not verify: {error}")
        return
    if found != in_force:
        findings.add(None, "log of roots: the history of its keys does not lead to those in force")
