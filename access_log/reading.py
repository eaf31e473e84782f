"""Entries wherever they stand: in the database, or once their partition is gone in the archive.

The archive answers only for ranges that the database says were archived: an entry that was deleted is
missing, also while a copy of it lies in the archive already.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.archive import Archive, Range
from access_log.entry import SIZE, Entry
from access_log.errors import VerificationError
from access_log.tiles import WIDTH

_ARCHIVED = text(
    "SELECT first_index, end_index, labels FROM access_log.archived WHERE log = :log"
    " AND first_index < :end AND end_index > :first ORDER BY first_index"
)
_BUNDLES = text(
    "SELECT index / :width AS n, count(*) AS entries,"
    " string_agg(CAST(:length AS bytea) || entry, CAST('' AS bytea) ORDER BY index) AS bundle"
    " FROM access_log.entry WHERE log = :log AND index >= :first AND index < :end"
    " GROUP BY index / :width ORDER BY n"
)
_EVERYTHING = 1 << 62


async def archived(
    connection: AsyncConnection, log: int, first: int = 0, end: int = _EVERYTHING
) -> dict[Range, bytes]:
    """The archived ranges that hold some of these entries, each with the digest of its index of labels."""
    rows = await connection.execute(_ARCHIVED, {"log": log, "first": first, "end": end})
    return {Range(row[0], row[1]): row[2] for row in rows}


async def entries(
    connection: AsyncConnection, log: int, archive: Archive | None, first: int, end: int
) -> list[tuple[int, bytes]]:
    """Entries first..end-1 as (index, 106 bytes), in order; one that is nowhere is simply absent.

    Raises:
        FolderError: The archive cannot be read.
    """
    found = await stored.entries(connection, log, first, end)
    if archive is None or len(found) == end - first:
        return found
    for each in await archived(connection, log, first, end):
        found += await asyncio.to_thread(archive.entries, max(first, each.first), min(end, each.end))
    return sorted(dict(found).items())


async def first_since(
    connection: AsyncConnection, log: int, archive: Archive | None, size: int, time: int
) -> int:
    """The index of the first entry that is not older than a time (ms); `size` where all are.

    Times never decrease from an entry to the next (FORMAT 1), so some twenty entries are read and no more.

    Raises:
        VerificationError: An entry is missing; names it.
        FolderError: The archive cannot be read.
    """
    first, end = 0, size
    while first < end:
        middle = (first + end) // 2
        found = await entries(connection, log, archive, middle, middle + 1)
        if not found:
            raise VerificationError("it is missing from the database", middle)
        if Entry.decode(found[0][1]).time < time:
            first = middle + 1
        else:
            end = middle
    return first


async def bundles(
    connection: AsyncConnection, log: int, archive: Archive | None, first: int, end: int
) -> list[bytes]:
    """The bundles of entries first..end-1, of which each but the last is full.

    The database cuts them itself: a row for each bundle instead of one for each entry.

    Args:
        connection: To the log's database.
        log: The log's number.
        archive: Where entries stand whose partition is gone.
        first: A multiple of 256.
        end: One more than the last entry.

    Raises:
        VerificationError: An entry is missing; names it.
        FolderError: The archive cannot be read.
    """
    asked = {"log": log, "first": first, "end": end, "width": WIDTH, "length": SIZE.to_bytes(2, "big")}
    rows = {n: (count, bundle) for n, count, bundle in await connection.execute(_BUNDLES, asked)}
    ranges: Sequence[Range] | None = None
    found = []
    for start in range(first, end, WIDTH):
        count, bundle = rows.get(start // WIDTH, (0, None))
        if count == min(WIDTH, end - start):
            found.append(bundle)
            continue
        if ranges is None:
            ranges = list(await archived(connection, log, first, end)) if archive is not None else []
        held = None
        if archive is not None and any(each.first <= start < each.end for each in ranges):
            held = await asyncio.to_thread(archive.bundle, start // WIDTH)
        if held is None:
            raise await _missing(connection, log, start)
        found.append(held)
    return found


async def _missing(connection: AsyncConnection, log: int, start: int) -> VerificationError:
    there = {index for index, _ in await stored.entries(connection, log, start, start + WIDTH)}
    first = next(index for index in range(start, start + WIDTH + 1) if index not in there)
    return VerificationError("it is missing from the database", first)
