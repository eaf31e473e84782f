"""Reading the stored log back: entries, leaves, tiles, roots at any size, entries of a stream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.encoding import HASH_SIZE
from access_log.entry import next_chain
from access_log.errors import LogStateError
from access_log.merkle import Frontier, Node, consistency_proof, full_root, inclusion_proof, leaf_hash
from access_log.tiles import WIDTH, node_reader, tiles_needed

_ENTRIES = text(
    "SELECT index, entry FROM access_log.entry"
    " WHERE log = :log AND index >= :first AND index < :end ORDER BY index"
)
_ROOTS = text(
    "SELECT index, leaf FROM access_log.root"
    " WHERE log = :log AND index >= :first AND index < :end ORDER BY index"
)
_TILE_ROOTS = text(
    "SELECT index, root FROM access_log.tile"
    " WHERE log = :log AND level = :level AND index >= :first AND index < :end ORDER BY index"
)
_TILE_HASHES = text(
    "SELECT hashes FROM access_log.tile WHERE log = :log AND level = :level AND index = :index"
)
# All that a proof reads, each tile as one row: full tiles; tiles made of the roots of those below; the
# unfinished tile of level 0, made of the entries, which for a log of roots stand in a table of their own.
_TILES_AT_ONCE = text(
    "WITH cut AS (SELECT level, index, index * :wide AS first, index * :wide + width AS beyond"
    " FROM unnest(CAST(:cut_levels AS smallint[]), CAST(:cut_indexes AS bigint[]),"
    " CAST(:cut_widths AS bigint[])) AS t (level, index, width))"
    " SELECT t.level, t.index, t.hashes AS raw FROM access_log.tile t"
    " JOIN unnest(CAST(:levels AS smallint[]), CAST(:indexes AS bigint[])) AS f (level, index)"
    " ON t.level = f.level AND t.index = f.index WHERE t.log = :log"
    " UNION ALL"
    " SELECT level, index, (SELECT string_agg(t.root, '' ORDER BY t.index) FROM access_log.tile t"
    "  WHERE t.log = :log AND t.level = cut.level - 1 AND t.index >= first AND t.index < beyond)"
    " FROM cut WHERE level > 0"
    " UNION ALL"
    " SELECT level, index, (SELECT string_agg(sha256('\\x00'::bytea || t.raw), '' ORDER BY t.index) FROM ("
    "  SELECT index, entry AS raw FROM access_log.entry"
    "  WHERE log = :log AND index >= first AND index < beyond"
    "  UNION ALL"
    "  SELECT index, leaf FROM access_log.root WHERE log = :log AND index >= first AND index < beyond) AS t)"
    " FROM cut WHERE level = 0"
)
_WRITE_TILES = text(
    "INSERT INTO access_log.tile (log, level, index, hashes, root)"
    " SELECT :log, :level, index, hashes, root"
    " FROM unnest(CAST(:indexes AS bigint[]), CAST(:hashes AS bytea[]), CAST(:roots AS bytea[]))"
    " AS t (index, hashes, root)"
)

_SET_TILE = text(
    "INSERT INTO access_log.tile (log, level, index, hashes, root)"
    " VALUES (:log, :level, :index, :hashes, :root)"
    " ON CONFLICT (log, level, index) DO UPDATE SET hashes = excluded.hashes, root = excluded.root"
)


@dataclass(frozen=True, slots=True)
class Full:
    """A full tile as it must stand in the database."""

    level: int
    n: int
    hashes: bytes
    root: bytes


async def entries(connection: AsyncConnection, log: int, first: int, end: int) -> list[tuple[int, bytes]]:
    """The stored entries first..end-1 as (index, bytes), in order; a deleted one is simply absent.

    Those of a log of roots, which has a number below 0, stand in a table of their own.
    """
    statement = _ENTRIES if log > 0 else _ROOTS
    rows = await connection.execute(statement, {"log": log, "first": first, "end": end})
    return [(row[0], row[1]) for row in rows]


async def leaves(connection: AsyncConnection, log: int, first: int, end: int) -> list[bytes]:
    """Leaf hashes of entries first..end-1.

    Raises:
        LogStateError: one is missing.
    """
    found = await entries(connection, log, first, end)
    if len(found) != end - first:
        raise LogStateError(f"entries between {first} and {end - 1} are missing from the database")
    return [leaf_hash(raw) for _, raw in found]


async def hashes(connection: AsyncConnection, log: int, level: int, index: int, width: int) -> list[bytes]:
    """The first `width` hashes of a tile (1 to 256), from the stored tile or from what lies below it.

    Raises:
        LogStateError: what lies below is missing.
    """
    if width == WIDTH and (full := await _full(connection, log, level, index)):
        return full
    first = index * WIDTH
    if level == 0:
        try:
            return await leaves(connection, log, first, first + width)
        except LogStateError:
            # Entries that were archived left their tile behind, which is cut to the tree it had then.
            if full := await _full(connection, log, level, index):
                return full[:width]
            raise
    rows = await connection.execute(
        _TILE_ROOTS, {"log": log, "level": level - 1, "first": first, "end": first + width}
    )
    roots = [row[1] for row in rows]
    if len(roots) != width:
        raise LogStateError(f"tiles of level {level - 1} from {first} on are missing from the database")
    return roots


async def _full(connection: AsyncConnection, log: int, level: int, index: int) -> list[bytes]:
    """The hashes of a full tile; none where it is not stored."""
    asked = {"log": log, "level": level, "index": index}
    raw: bytes = (await connection.execute(_TILE_HASHES, asked)).scalar_one_or_none() or b""
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


async def write_tiles(
    connection: AsyncConnection, log: int, level: int, first: int, tiles: Sequence[Sequence[bytes]]
) -> None:
    """Stores full tiles `first`, `first + 1`, … of a level, and those they fill above."""
    await connection.execute(
        _WRITE_TILES,
        {
            "log": log,
            "level": level,
            "indexes": list(range(first, first + len(tiles))),
            "hashes": [b"".join(tile) for tile in tiles],
            "roots": [full_root(tile) for tile in tiles],
        },
    )
    end = first + len(tiles)
    above = range(first // WIDTH, end // WIDTH)
    if above:
        await write_tiles(
            connection,
            log,
            level + 1,
            above.start,
            [await hashes(connection, log, level + 1, index, WIDTH) for index in above],
        )


async def root_at(connection: AsyncConnection, log: int, size: int) -> bytes:
    """The root of the stored tree when it had `size` entries: at most one partial tile a level is read.

    Raises:
        LogStateError: entries or tiles are missing.
    """
    return (await frontier_at(connection, log, size)).root()


async def frontier_at(connection: AsyncConnection, log: int, size: int) -> Frontier:
    """The roots of the full subtrees of the stored tree at `size`, read from its tiles."""
    found: list[bytes] = []
    top = 0
    while size >> (8 * (top + 1)):
        top += 1
    for level in range(top, -1, -1):
        nodes = size >> (8 * level)
        width = nodes % WIDTH
        if not width:
            continue
        tile = await hashes(connection, log, level, nodes // WIDTH, width)
        at = 0
        for bit in range(7, -1, -1):
            if width >> bit & 1:
                found.append(full_root(tile[at : at + (1 << bit)]))
                at += 1 << bit
    return Frontier(size, tuple(found))


async def proof(connection: AsyncConnection, log: int, index: int, size: int) -> tuple[bytes, ...]:
    """The inclusion proof of an entry in the stored tree of `size`.

    Raises:
        LogStateError: entries or tiles are missing.
    """
    return await _prove(connection, log, size, lambda node: inclusion_proof(index, size, node))


async def consistency(connection: AsyncConnection, log: int, old: int, size: int) -> tuple[bytes, ...]:
    """The proof that the stored tree of `size` begins with that of `old`, which is not 0.

    Raises:
        LogStateError: entries or tiles are missing.
    """
    return await _prove(connection, log, size, lambda node: consistency_proof(old, size, node))


async def _prove(
    connection: AsyncConnection, log: int, size: int, proof_of: Callable[[Node], tuple[bytes, ...]]
) -> tuple[bytes, ...]:
    widths = {
        (level, n): min(WIDTH, (size >> (8 * level)) - n * WIDTH) for level, n in tiles_needed(proof_of)
    }
    tiles = await _tiles_at_once(connection, log, widths)
    for (level, n), width in widths.items():
        if (level, n) not in tiles:
            tiles[level, n] = b"".join(await hashes(connection, log, level, n, width))
    return proof_of(node_reader(lambda level, n: tiles[level, n]))


async def _tiles_at_once(
    connection: AsyncConnection, log: int, widths: Mapping[tuple[int, int], int]
) -> dict[tuple[int, int], bytes]:
    """Those of these tiles that are stored, or are made of what is stored below: one statement for all."""
    full = [place for place, width in widths.items() if width == WIDTH]
    cut = [place for place, width in widths.items() if width < WIDTH]
    rows = await connection.execute(
        _TILES_AT_ONCE,
        {
            "log": log,
            "wide": WIDTH,
            "levels": [level for level, _ in full],
            "indexes": [n for _, n in full],
            "cut_levels": [level for level, _ in cut],
            "cut_indexes": [n for _, n in cut],
            "cut_widths": [widths[place] for place in cut],
        },
    )
    found = {(level, n): raw for level, n, raw in rows if raw is not None}
    return {place: raw for place, raw in found.items() if len(raw) == widths[place] * HASH_SIZE}


async def check_head(
    connection: AsyncConnection, log: int, *, size: int, chain: bytes, frontier: Frontier
) -> None:
    """Compares the head with the entries behind it: root, and the chain over the newest entry.

    A cheap check for every start; the whole chain is the verifier's work.

    Raises:
        LogStateError: they disagree.
    """
    if await root_at(connection, log, size) != frontier.root():
        raise LogStateError("the head does not match its entries: run `creditvault log fsck`")
    if size:
        newest = await entries(connection, log, size - 1, size + 1)
        if len(newest) != 1 or next_chain(newest[0][1][10:42], leaf_hash(newest[0][1])) != chain:
            raise LogStateError("the newest entry does not match its head: run `creditvault log fsck`")


async def set_tile(connection: AsyncConnection, log: int, tile: Full) -> None:
    """Puts a full tile where another stands, or none: the right of the owner alone."""
    await connection.execute(
        _SET_TILE,
        {"log": log, "level": tile.level, "index": tile.n, "hashes": tile.hashes, "root": tile.root},
    )
