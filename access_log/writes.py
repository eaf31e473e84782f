"""The writer's statements, each used in one place of `log`: what touches the tables when the log grows."""

import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from psycopg import AsyncCopy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import SIZE, first_chain
from access_log.errors import LogStateError
from access_log.merkle import Frontier
from access_log.sequence import Event, Head, KeyState, Place, Sequenced

_ZERO_LEAF = bytes(32)


class StreamKind(IntEnum):
    """Whom a stream belongs to (FORMAT 3)."""

    SYSTEM = 0
    PERSON = 1
    NOT_FOUND = 2
    COVERT = 3


_LOCK_HEAD = text(
    # The clock is read outside the locking query, so that it is read after the wait.
    "WITH locked AS MATERIALIZED (SELECT size, chain, time, frontier, key_epoch, key_changing, successor"
    " FROM access_log.head WHERE log = :log FOR UPDATE)"
    " SELECT size, chain, time, frontier, key_epoch, key_changing, successor,"
    " (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM locked"
)
_KEY_STATE = text("SELECT key_epoch, key_changing FROM access_log.head WHERE log = :log")
# In a log of its own every stream begins at number 1; what comes before its first entry stands in another.
_PLACES: Final = (
    "SELECT stream_id, CASE log WHEN :log THEN month ELSE 0 END AS month,"
    " CASE log WHEN :log THEN seq ELSE 0 END AS seq, last_leaf FROM access_log.stream"
)
_PLACES_OF = text(_PLACES + " WHERE stream_id = ANY(:ids)")
_ALL_PLACES = text(_PLACES + " ORDER BY stream_id")
# Every part of a statement sees the rows as they were before it: those that leave a log are kept first.
_LEAVE: Final = (
    "WITH ends AS (INSERT INTO access_log.stream_end (log, stream_id, month, seq, last_leaf)"
    " SELECT log, stream_id, month, seq, last_leaf FROM access_log.stream"
    " WHERE stream_id = ANY(CAST(:stream_ids AS bytea[])) AND log < :log AND seq > 0"
    " ON CONFLICT DO NOTHING)"
)
_APPEND = text(
    _LEAVE + ", entries AS (INSERT INTO access_log.entry (log, index, entry)"  # noqa: S608 -- our text
    " SELECT :log, CAST(:first AS bigint) + at,"
    " substring(CAST(:entries AS bytea) FROM at * :width + 1 FOR :width)"
    " FROM generate_series(0, CAST(:count AS integer) - 1) AS t (at)),"
    " streams AS (UPDATE access_log.stream SET log = :log, month = t.month, seq = t.seq,"
    " last_leaf = t.last_leaf"
    " FROM unnest(CAST(:stream_ids AS bytea[]), CAST(:months AS integer[]), CAST(:seqs AS bigint[]),"
    " CAST(:last_leaves AS bytea[])) AS t (stream_id, month, seq, last_leaf)"
    " WHERE access_log.stream.stream_id = t.stream_id),"
    " requests AS (INSERT INTO access_log.request"
    " (log, index, request_id, client, idempotency_key, body, time)"
    " SELECT :log, index, request_id, client, idempotency_key, body, clock_timestamp()"
    " FROM unnest(CAST(:marked AS bigint[]), CAST(:request_ids AS uuid[]), CAST(:clients AS uuid[]),"
    " CAST(:keys AS bytea[]), CAST(:bodies AS bytea[]))"
    " AS t (index, request_id, client, idempotency_key, body))"
    " UPDATE access_log.head SET size = :size, chain = :chain, time = :time, frontier = :frontier"
    " WHERE log = :log"
)
_STORE_PAYLOADS = "COPY access_log.payload (log, index, expiry_id, sealed) FROM STDIN (FORMAT binary)"
# PostgreSQL, COPY, binary format: signature, flags, length of an extension; each row its number of fields,
# each field its length; the number -1 at the end.
_COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_PAYLOAD_ROW = struct.Struct(">hihiqiii").pack
_OPEN_STREAMS = text(
    "INSERT INTO access_log.stream (stream_id, log, kind, master, month, seq, last_leaf)"
    " SELECT stream_id, :log, :kind, :master, 0, 0, :zero FROM unnest(CAST(:ids AS bytea[])) AS t (stream_id)"
    " ON CONFLICT (stream_id) DO NOTHING"
)
_MOVE_STREAMS = text(
    _LEAVE + " UPDATE access_log.stream SET log = :log, month = t.month, seq = t.seq,"  # noqa: S608 -- our text
    " last_leaf = t.last_leaf"
    " FROM unnest(CAST(:stream_ids AS bytea[]), CAST(:months AS integer[]), CAST(:seqs AS bigint[]),"
    " CAST(:leaves AS bytea[])) AS t (stream_id, month, seq, last_leaf)"
    " WHERE access_log.stream.stream_id = t.stream_id"
)
_BEFORE = text(
    "SELECT stream_id, CASE WHEN log < :log THEN last_leaf ELSE coalesce((SELECT e.last_leaf"
    " FROM access_log.stream_end e WHERE e.stream_id = s.stream_id AND e.log < :log"
    " ORDER BY e.log DESC LIMIT 1), :zero) END FROM access_log.stream s WHERE stream_id = ANY(:ids)"
)
_CLOSE_HEAD = text("UPDATE access_log.head SET successor = :successor WHERE log = :log")
_FIRST_HEAD = text(
    "INSERT INTO access_log.head (log, origin, size, chain, time, frontier)"
    " VALUES (:log, :origin, 0, :chain, 0, '') ON CONFLICT DO NOTHING"
)
_MAKE_PARTITIONS = text(
    "SELECT access_log.make_partitions(size + 2 * access_log.partition_width())"
    " FROM access_log.head WHERE log = :log"
)
_HEADS = text("SELECT log, origin, successor FROM access_log.head WHERE log > 0 ORDER BY log")


@dataclass(frozen=True, slots=True)
class Named:
    """A log of the database: its number, its origin, and that of the log opened in its place."""

    number: int
    origin: str
    successor: str | None


async def create_head(connection: AsyncConnection, log: int, origin: str) -> None:
    """Makes the head row of a new log; harmless when it is there."""
    await connection.execute(_FIRST_HEAD, {"log": log, "origin": origin, "chain": first_chain(origin)})


async def close_head(connection: AsyncConnection, log: int, successor: str) -> None:
    """Closes a log for good: from here on the database refuses its head every change.

    Args:
        connection: A transaction that holds the head lock.
        log: The log's number.
        successor: Origin of the log that is opened in its place.
    """
    await connection.execute(_CLOSE_HEAD, {"log": log, "successor": successor})


async def logs(connection: AsyncConnection) -> list[Named]:
    """Every log of the database, the oldest first: each but the newest is closed."""
    return [Named(*row) for row in await connection.execute(_HEADS)]


async def lock_head(connection: AsyncConnection, log: int) -> Head:
    """Takes the head lock, the first statement of every writer, and reads head and clock after the wait.

    Raises:
        LogStateError: there is no log.
    """
    row = (await connection.execute(_LOCK_HEAD, {"log": log})).one_or_none()
    if row is None:
        raise LogStateError("the database holds no log: run `creditvault migrate`")
    return Head(
        row.size,
        row.chain,
        row.time,
        Frontier.decode(row.size, row.frontier),
        row.now,
        KeyState(row.key_epoch, row.key_changing),
        row.successor,
    )


async def key_state(connection: AsyncConnection, log: int) -> KeyState:
    """Which keys sign now, read without the head lock: for showing them, never for signing.

    Raises:
        LogStateError: there is no log.
    """
    row = (await connection.execute(_KEY_STATE, {"log": log})).one_or_none()
    if row is None:
        raise LogStateError("the database holds no log: run `creditvault migrate`")
    return KeyState(row.key_epoch, row.key_changing)


async def places_of(connection: AsyncConnection, log: int, streams: set[bytes]) -> dict[bytes, Place]:
    """Where these streams stand in a log; one that was never opened is absent."""
    rows = await connection.execute(_PLACES_OF, {"log": log, "ids": list(streams)})
    return {row[0]: Place(row[1], row[2], row[3]) for row in rows}


async def all_places(connection: AsyncConnection, log: int) -> list[tuple[bytes, Place]]:
    """Where every stream stands in a log, in the order of their ids."""
    rows = await connection.execute(_ALL_PLACES, {"log": log})
    return [(row[0], Place(row[1], row[2], row[3])) for row in rows]


async def before(connection: AsyncConnection, log: int, streams: Iterable[bytes]) -> dict[bytes, bytes]:
    """The leaf hash of each stream's newest entry in the logs before this one; zeros where it has none."""
    asked = {"log": log, "ids": list(streams), "zero": _ZERO_LEAF}
    return {row[0]: row[1] for row in await connection.execute(_BEFORE, asked)}


async def open_streams(
    connection: AsyncConnection,
    log: int,
    kind: StreamKind,
    stream_ids: Iterable[bytes],
    master_version: int,
) -> None:
    """Makes the rows of new streams; harmless when they are there."""
    await connection.execute(
        _OPEN_STREAMS,
        {
            "log": log,
            "ids": list(stream_ids),
            "kind": int(kind),
            "master": master_version,
            "zero": _ZERO_LEAF,
        },
    )


class PayloadStore:
    """Takes sealed payloads one after the other while PostgreSQL stores those before."""

    def __init__(self, copy: AsyncCopy, log: int, expiry_id: int) -> None:
        self._copy = copy
        self._log = log
        self._expiry_id = expiry_id

    async def write(self, first: int, sealed: Sequence[bytes]) -> None:
        """Sends those of some consecutive entries; returns when they are on their way, not when stored."""
        log, expiry_id = self._log, self._expiry_id
        rows: list[bytes] = []
        for index, payload in enumerate(sealed, first):
            rows += _PAYLOAD_ROW(4, 2, log, 8, index, 4, expiry_id, len(payload)), payload
        await self._copy.write(b"".join(rows))


@asynccontextmanager
async def storing_payloads(
    connection: AsyncConnection, log: int, expiry_id: int
) -> AsyncIterator[PayloadStore]:
    """Stores payloads that are kept until one month (yyyymm) in the connection's transaction.

    All are stored when the block ends.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    async with driver.cursor() as cursor, cursor.copy(_STORE_PAYLOADS) as copy:
        await copy.write(_COPY_SIGNATURE)
        yield PayloadStore(copy, log, expiry_id)
        await copy.write(_COPY_END)


async def move_streams(connection: AsyncConnection, log: int, places: Mapping[bytes, Place]) -> None:
    """Sets where streams stand in a log: for what mends it. Who appends moves them with the entries."""
    await connection.execute(
        _MOVE_STREAMS,
        {
            "log": log,
            "stream_ids": list(places),
            "months": [place.month for place in places.values()],
            "seqs": [place.seq for place in places.values()],
            "leaves": [place.last_leaf for place in places.values()],
        },
    )


async def append(connection: AsyncConnection, log: int, new: Sequenced, events: Sequence[Event]) -> None:
    """Writes entries, stream places, request marks and the head, in one statement."""
    marks = [(new.first + at, event.request) for at, event in enumerate(events) if event.request is not None]
    await connection.execute(
        _APPEND,
        {
            "log": log,
            # All have one width: taken apart there, they come in a tenth of the time a list of them takes.
            "first": new.first,
            "count": len(new.entries),
            "entries": b"".join(new.entries),
            "width": SIZE,
            "stream_ids": list(new.places),
            "months": [place.month for place in new.places.values()],
            "seqs": [place.seq for place in new.places.values()],
            "last_leaves": [place.last_leaf for place in new.places.values()],
            "marked": [index for index, _ in marks],
            "request_ids": [mark.request_id for _, mark in marks],
            "clients": [mark.client for _, mark in marks],
            "keys": [mark.idempotency_key for _, mark in marks],
            "bodies": [mark.body for _, mark in marks],
            "size": new.frontier.size,
            "chain": new.chain,
            "time": new.time,
            "frontier": new.frontier.encode(),
        },
    )


async def make_partitions_ahead(connection: AsyncConnection, log: int) -> None:
    """Makes the partitions of the entry table up to two past the head; harmless when they are there.

    Two, because the job that asks for them comes every ten minutes: one holds what 14,000 entries a second
    fill in that time.
    """
    await connection.execute(_MAKE_PARTITIONS, {"log": log})
