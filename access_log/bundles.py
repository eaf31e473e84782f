"""Bundles of entries as they are published, cut by the database itself: one row a bundle."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.entry import SIZE
from access_log.errors import VerificationError
from access_log.tiles import WIDTH

_BUNDLES: Final = text(
    "SELECT index / :width AS n, count(*) AS entries,"
    " string_agg(CAST(:length AS bytea) || entry, CAST('' AS bytea) ORDER BY index) AS bundle"
    " FROM access_log.entry WHERE log = :log AND index >= :first AND index < :end"
    " GROUP BY index / :width ORDER BY n"
)


async def bundles(connection: AsyncConnection, log: int, first: int, end: int) -> list[bytes]:
    """The bundles of entries first..end-1, of which each but the last is full.

    Args:
        connection: To the log's database.
        log: The log's number.
        first: A multiple of 256.
        end: One more than the last entry.

    Raises:
        VerificationError: An entry is missing; names it.
    """
    asked = {
        "log": log,
        "first": first,
        "end": end,
        "width": WIDTH,
        "length": SIZE.to_bytes(2, "big"),
    }
    rows = {n: (count, bundle) for n, count, bundle in await connection.execute(_BUNDLES, asked)}
    found = []
    for start in range(first, end, WIDTH):
        count, bundle = rows.get(start // WIDTH, (0, b""))
        if count != min(WIDTH, end - start):
            raise await _missing(connection, log, start)
        found.append(bundle)
    return found


async def _missing(connection: AsyncConnection, log: int, start: int) -> VerificationError:
    there = {index for index, _ in await stored.entries(connection, log, start, start + WIDTH)}
    first = next(index for index in range(start, start + WIDTH + 1) if index not in there)
    return VerificationError("it is missing from the database", first)
