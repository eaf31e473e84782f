"""The tables of the log of roots: its head, its leaves, the auditors' cosignatures, the crowns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.errors import LogStateError
from access_log.merkle import Frontier, leaf_hash
from access_log.roots.leaf import PrefixRoot
from access_log.tiles import WIDTH

_FIRST_HEAD: Final = text(
    "INSERT INTO access_log.root_head (log, origin, size, frontier, note)"
    " VALUES (:log, :origin, 0, '', :note) ON CONFLICT DO NOTHING"
)
_HEAD: Final = text("SELECT origin, size, frontier, note FROM access_log.root_head WHERE log = :log")
_LOCK_HEAD: Final = text(
    "SELECT origin, size, frontier, note FROM access_log.root_head WHERE log = :log FOR UPDATE"
)
_APPEND: Final = text(
    "WITH leaves AS (INSERT INTO access_log.root (log, index, leaf)"
    " SELECT :log, index, leaf FROM unnest(CAST(:indexes AS bigint[]), CAST(:leaves AS bytea[]))"
    " AS t (index, leaf))"
    " UPDATE access_log.root_head SET size = :size, frontier = :frontier, note = :note WHERE log = :log"
)
_ADD_COSIGNATURE: Final = text(
    "INSERT INTO access_log.root_cosignature (log, signer, size, line) VALUES (:log, :signer, :size, :line)"
    " ON CONFLICT (log, signer) DO UPDATE SET size = excluded.size, line = excluded.line"
    " WHERE access_log.root_cosignature.size <= excluded.size"
)
_COSIGNATURES: Final = text(
    "SELECT signer, size, line FROM access_log.root_cosignature WHERE log = :log ORDER BY signer"
)
_UNCROWNED: Final = text(
    "SELECT DISTINCT ON (substring(leaf from 3 for 4)) index, leaf FROM access_log.root"
    " WHERE log = :log AND index < :size AND index >"
    " coalesce((SELECT max(root) FROM access_log.prefix_crown WHERE log = :log), -1)"
    " ORDER BY substring(leaf from 3 for 4), index DESC"
)
_SET_CROWN: Final = text(
    "INSERT INTO access_log.prefix_crown (log, month, root, slots) VALUES (:log, :month, :root, :slots)"
    " ON CONFLICT (log, month) DO UPDATE SET root = excluded.root, slots = excluded.slots"
    " WHERE access_log.prefix_crown.root < excluded.root"
)
_CROWN_ROOT: Final = text("SELECT root FROM access_log.prefix_crown WHERE log = :log AND month = :month")
_CROWN_SLOTS: Final = text(
    "SELECT slots FROM access_log.prefix_crown WHERE log = :log AND month = :month AND root = :root"
)


@dataclass(frozen=True, slots=True)
class RootsHead:
    """Where the log of roots stands, and its signed checkpoint."""

    origin: str
    size: int
    frontier: Frontier
    note: str


@dataclass(frozen=True, slots=True)
class Cosignature:
    """An auditor's newest word: its verifier key, the size it cosigned, its signature line."""

    signer: str
    size: int
    line: str


async def create_head(connection: AsyncConnection, log: int, origin: str, note: str) -> None:
    """Makes the head of an empty log of roots; harmless when it is there."""
    await connection.execute(_FIRST_HEAD, {"log": log, "origin": origin, "note": note})


async def head(connection: AsyncConnection, log: int, *, lock: bool = False) -> RootsHead:
    """The head; with `lock` nobody else appends until the transaction ends.

    Raises:
        LogStateError: there is no log of roots.
    """
    row = (await connection.execute(_LOCK_HEAD if lock else _HEAD, {"log": log})).one_or_none()
    if row is None:
        raise LogStateError("the database holds no log of roots: run `creditvault migrate`")
    return RootsHead(row.origin, row.size, Frontier.decode(row.size, row.frontier), row.note)


async def root(connection: AsyncConnection, log: int, index: int) -> PrefixRoot:
    """One leaf.

    Raises:
        LogStateError: it is missing.
    """
    found = await stored.entries(connection, log, index, index + 1)
    if not found:
        raise LogStateError(f"root {index} is missing from the database")
    return PrefixRoot.decode(found[0][1])


async def append(
    connection: AsyncConnection, log: int, roots: Sequence[bytes], frontier: Frontier, note: str
) -> None:
    """Adds the last leaves of a tree, the tiles they fill, and the head that covers them."""
    size = frontier.size - len(roots)
    await connection.execute(
        _APPEND,
        {
            "log": log,
            "indexes": list(range(size, size + len(roots))),
            "leaves": list(roots),
            "size": frontier.size,
            "frontier": frontier.encode(),
            "note": note,
        },
    )
    hashes = await stored.leaves(connection, log, size - size % WIDTH, size)
    hashes += [leaf_hash(raw) for raw in roots]
    full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
    if full:
        await stored.write_tiles(connection, log, 0, size // WIDTH, full)


async def add_cosignature(connection: AsyncConnection, log: int, cosignature: Cosignature) -> None:
    """Keeps an auditor's line, unless a newer one of it is kept."""
    await connection.execute(
        _ADD_COSIGNATURE,
        {
            "log": log,
            "signer": cosignature.signer,
            "size": cosignature.size,
            "line": cosignature.line,
        },
    )


async def cosignatures(connection: AsyncConnection, log: int) -> list[Cosignature]:
    """Every auditor's newest line."""
    rows = await connection.execute(_COSIGNATURES, {"log": log})
    return [Cosignature(row.signer, row.size, row.line) for row in rows]


async def uncrowned(connection: AsyncConnection, log: int, size: int) -> list[tuple[int, PrefixRoot]]:
    """The newest root of each month among the first `size` that came after the newest crown."""
    rows = await connection.execute(_UNCROWNED, {"log": log, "size": size})
    return [(index, PrefixRoot.decode(leaf)) for index, leaf in rows]


async def set_crown(connection: AsyncConnection, log: int, month: int, index: int, slots: bytes) -> None:
    """Keeps the crown of a month's root in place of that of an older one."""
    await connection.execute(_SET_CROWN, {"log": log, "month": month, "root": index, "slots": slots})


async def crowned(connection: AsyncConnection, log: int, month: int) -> int | None:
    """The index of the root of a month whose crown is kept; None where there is none yet."""
    index: int | None = (
        await connection.execute(_CROWN_ROOT, {"log": log, "month": month})
    ).scalar_one_or_none()
    return index


async def crown(connection: AsyncConnection, log: int, month: int, index: int) -> bytes | None:
    """The slots of that crown; None where a newer one has taken its place."""
    slots: bytes | None = (
        await connection.execute(_CROWN_SLOTS, {"log": log, "month": month, "root": index})
    ).scalar_one_or_none()
    return slots
