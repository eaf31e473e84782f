"""What follows from the roots, made anew where it does not (a step of `creditvault log rebuild`).

The roots themselves were signed and published: they are held to their checkpoint and never touched.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.roots.examining import CROWNS, TILES, holds
from access_log.roots.log import RootsLog
from access_log.roots.sound import sound_roots
from access_log.tiles import tile_path

_LOCK: Final = text("SELECT FROM access_log.root_head WHERE log = :log FOR UPDATE")
_SET_TILE: Final = text(
    "INSERT INTO access_log.tile (log, level, index, hashes, root)"
    " VALUES (:log, :level, :index, :hashes, :root)"
    " ON CONFLICT (log, level, index) DO UPDATE SET hashes = excluded.hashes, root = excluded.root"
)
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
    rows = await connection.execute(TILES, log)
    stored = {(level, n): (hashes, root) for level, n, hashes, root in rows}
    for tile in sound.tiles():
        if stored.pop((tile.level, tile.n), None) != (tile.hashes, tile.root):
            done.append(tile_path(tile.level, tile.n))
            row = {"level": tile.level, "index": tile.n, "hashes": tile.hashes, "root": tile.root}
            await connection.execute(_SET_TILE, {**log, **row})
    for level, n in stored:
        done.append(f"tile {level}/{n}, which no roots fill")
        await connection.execute(_DROP_TILE, {**log, "level": level, "index": n})
    if sound.stated != sound.frontier.encode():
        done.append("frontier")
        await connection.execute(_SET_FRONTIER, {**log, "frontier": sound.frontier.encode()})
    wrong = [
        month
        for month, index, slots in (await connection.execute(CROWNS, log)).all()
        if not await holds(connection, roots, sound, month, index, slots)
    ]
    if wrong:
        done += [f"crown of {month}" for month in wrong]
        await connection.execute(_DROP_CROWNS, {**log, "first": min(wrong)})
    return done
