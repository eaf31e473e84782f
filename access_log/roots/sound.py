"""What the tables of the log of roots must hold if they are sound: told from its leaves (FORMAT 4.3, 6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.checkpoint import open_note
from access_log.errors import AccessLogError, VerificationError
from access_log.merkle import Frontier, full_root, leaf_hash
from access_log.roots.leaf import PrefixRoot, placed
from access_log.roots.log import RootsLog
from access_log.stored import Full
from access_log.tiles import WIDTH

_LEAVES: Final = text("SELECT index, leaf FROM access_log.root WHERE log = :log ORDER BY index")
_TILES: Final = text("SELECT level, index, hashes, root FROM access_log.tile WHERE log = :log")
_HEAD: Final = text("SELECT origin, size, frontier, note FROM access_log.root_head WHERE log = :log")


@dataclass(frozen=True, slots=True)
class SoundRoots:
    """Roots whose order and signed checkpoint hold.

    Attributes:
        roots: All of them, in order.
        leaves: Their leaf hashes.
        frontier: Of the tree over them.
        stated: The frontier the head states; it may be another.
    """

    roots: Sequence[PrefixRoot]
    leaves: Sequence[bytes]
    frontier: Frontier
    stated: bytes

    def tiles(self) -> Iterator[Full]:
        """Every full tile, lower levels first."""
        row, level = list(self.leaves), 0
        while len(row) >= WIDTH:
            above = []
            for n in range(len(row) // WIDTH):
                hashes = row[n * WIDTH : (n + 1) * WIDTH]
                above.append(full_root(hashes))
                yield Full(level, n, b"".join(hashes), above[-1])
            row, level = above, level + 1


async def sound_roots(connection: AsyncConnection, roots: RootsLog) -> SoundRoots:
    """Reads the whole log of roots, which is small, and holds it to its signed checkpoint.

    Raises:
        VerificationError: A root is missing, malformed or out of place, or they are not what was signed.
    """
    found: list[PrefixRoot] = []
    leaves: list[bytes] = []
    for index, raw in await connection.execute(_LEAVES, {"log": roots.number}):
        if index != len(found):
            raise VerificationError(f"root {len(found)} is missing from the database")
        found.append(placed(raw, found))
        leaves.append(leaf_hash(raw))
    frontier = Frontier.empty().extend(leaves)
    row = (await connection.execute(_HEAD, {"log": roots.number})).one_or_none()
    if row is None:
        raise VerificationError("the head of the log of roots is missing from the database")
    try:
        checkpoint = open_note(row.note, await roots.keys_of(connection, row.size))
    except AccessLogError as error:
        raise VerificationError(f"the checkpoint of the log of roots does not verify: {error}") from None
    if (row.origin, row.size) != (roots.origin, len(found)):
        raise VerificationError(
            f"the head of the log of roots states {row.size} roots of {row.origin}, the database holds "
            f"{len(found)} of {roots.origin}"
        )
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (row.origin, row.size, frontier.root()):
        raise VerificationError(
            "the roots are not those whose checkpoint was signed: one of them was altered"
        )
    return SoundRoots(found, leaves, frontier, row.frontier)


@dataclass(frozen=True, slots=True)
class WrongTiles:
    """Where stored tiles are not those of the roots.

    Attributes:
        missing: Tiles that are not there.
        altered: Tiles that are there with another content; what they must hold.
        unfilled: Tiles (level, number) that are there although no roots fill them.
    """

    missing: Sequence[Full]
    altered: Sequence[Full]
    unfilled: Sequence[tuple[int, int]]


async def wrong_tiles(connection: AsyncConnection, roots: RootsLog, sound: SoundRoots) -> WrongTiles:
    """Compares every stored tile of the log of roots with what follows from its roots."""
    rows = await connection.execute(_TILES, {"log": roots.number})
    stored = {(level, n): (hashes, root) for level, n, hashes, root in rows}
    missing, altered = [], []
    for tile in sound.tiles():
        kept = stored.pop((tile.level, tile.n), None)
        if kept is None:
            missing.append(tile)
        elif kept != (tile.hashes, tile.root):
            altered.append(tile)
    return WrongTiles(missing, altered, list(stored))
