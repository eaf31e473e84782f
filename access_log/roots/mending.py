"""What follows from the roots, made anew where it does not (a step of `creditvault log rebuild`).

The roots themselves were signed and published: they are held to their checkpoint and never touched.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.errors import LogStateError
from access_log.roots.examining import CROWNS
from access_log.roots.log import RootsLog
from access_log.roots.sound import SoundRoots, sound_roots, wrong_tiles
from access_log.stored import set_tile
from access_log.tiles import tile_path

_LOCK: Final = text("SELECT FROM access_log.root_head WHERE log = :log FOR UPDATE")
_DROP_TILE: Final = text("DELETE FROM access_log.tile WHERE log = :log AND level = :level AND index = :index")
_SET_FRONTIER: Final = text("UPDATE access_log.root_head SET frontier = :frontier WHERE log = :log")
# The worker makes those that follow the newest one kept.
_DROP_CROWNS: Final = text("DELETE FROM access_log.prefix_crown WHERE log = :log AND month >= :first")


async def mend_roots(connection: AsyncConnection, roots: RootsLog) -> list[str]:
    """Makes tiles and frontier anew, and takes away crowns that are not those of their roots.

    Args:
        connection: The owner's, in a transaction; the entries were found sound in it.
        roots: The log of roots.

    Returns:
        What did not follow, in words.

    Raises:
        VerificationError: The roots do not verify: nothing is derived from them.
    """
    log = {"log": roots.number}
    await connection.execute(_LOCK, log)
    sound = await sound_roots(connection, roots)
    done: list[str] = []
    tiles = await wrong_tiles(connection, roots, sound)
    for tile in (*tiles.missing, *tiles.altered):
        done.append(tile_path(tile.level, tile.n))
        await set_tile(connection, roots.number, tile)
    for level, n in tiles.unfilled:
        done.append(f"tile {level}/{n}, which no roots fill")
        await connection.execute(_DROP_TILE, {**log, "level": level, "index": n})
    if sound.stated != sound.frontier.encode():
        done.append("frontier")
        await connection.execute(_SET_FRONTIER, {**log, "frontier": sound.frontier.encode()})
    wrong = [
        month
        for month, index, slots in (await connection.execute(CROWNS, log)).all()
        if not await _holds(connection, roots, sound, month, index, slots)
    ]
    if wrong:
        done += [f"crown of {month}" for month in wrong]
        await connection.execute(_DROP_CROWNS, {**log, "first": min(wrong)})
    return done


async def _holds(  # noqa: PLR0917 -- a crown's row, and where it is to be found
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
