"""What is kept of each request beside its entry: enough to find it again, never an answer (FORMAT 9).

After an unknown commit outcome the writer looks its request ids up before it does anything again; a client
that lost an answer may repeat its request under the same idempotency key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.merkle import leaf_hash

_KNOWN = text(
    "SELECT r.request_id, e.entry FROM access_log.request r"
    " JOIN access_log.entry e ON e.log = r.log AND e.index = r.index"
    " WHERE r.log = :log AND r.request_id = ANY(:ids)"
)
_FORGET = text("DELETE FROM access_log.request WHERE log = :log AND request_id = ANY(:ids)")
# The application may not update a request, so the row is taken out and put back under its new id.
_TAKE_OVER = text(
    "WITH taken AS (DELETE FROM access_log.request r"
    " USING unnest(CAST(:indexes AS bigint[]), CAST(:ids AS uuid[])) AS t (index, request_id)"
    " WHERE r.log = :log AND r.index = t.index"
    " RETURNING r.log, r.index, t.request_id, r.client, r.idempotency_key, r.body, r.time)"
    " INSERT INTO access_log.request (log, index, request_id, client, idempotency_key, body, time)"
    " SELECT log, index, request_id, client, idempotency_key, body, time FROM taken"
)
_EARLIER = text(
    "SELECT DISTINCT ON (r.client, r.idempotency_key) r.client, r.idempotency_key, r.request_id, r.index,"
    " r.body, e.entry, p.expiry_id, p.sealed"
    " FROM unnest(CAST(:clients AS uuid[]), CAST(:keys AS bytea[])) AS asked (client, idempotency_key)"
    " JOIN access_log.request r ON r.client = asked.client AND r.idempotency_key = asked.idempotency_key"
    " AND r.log = :log AND r.time > :since"
    " JOIN access_log.entry e ON e.log = r.log AND e.index = r.index"
    " JOIN access_log.payload p ON p.log = r.log AND p.index = r.index"
    " ORDER BY r.client, r.idempotency_key, r.index DESC"
)
_BY_IDS = text(
    "SELECT r.request_id, r.index, r.body, e.entry, p.expiry_id, p.sealed FROM access_log.request r"
    " JOIN access_log.entry e ON e.log = r.log AND e.index = r.index"
    " JOIN access_log.payload p ON p.log = r.log AND p.index = r.index"
    " WHERE r.log = :log AND r.request_id = ANY(:ids)"
)


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """A request that has an entry: where, what it asked, its sealed payload."""

    request_id: UUID
    index: int
    body: bytes
    entry: bytes
    expiry_id: int
    sealed: bytes


async def known_leaves(connection: AsyncConnection, log: int, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Which of these requests have an entry, with its leaf hash."""
    rows = await connection.execute(_KNOWN, {"log": log, "ids": list(ids)})
    return {row[0]: leaf_hash(row[1]) for row in rows}


async def forget(connection: AsyncConnection, log: int, ids: Sequence[UUID]) -> None:
    """Forgets requests that were never answered, so that a repeat of one is a request of its own."""
    await connection.execute(_FORGET, {"log": log, "ids": list(ids)})


async def take_over(connection: AsyncConnection, log: int, repeats: Mapping[int, UUID]) -> None:
    """Has the entries at these indexes answered by other requests: the repeats of those they were made for.

    The first request may have been answered or not; whoever still thinks it was not finds nothing owed.
    """
    if repeats:
        await connection.execute(
            _TAKE_OVER, {"log": log, "indexes": list(repeats), "ids": list(repeats.values())}
        )


async def earlier(
    connection: AsyncConnection, log: int, asked: Sequence[tuple[UUID, bytes]], since: datetime
) -> dict[tuple[UUID, bytes], EarlierRequest]:
    """The newest request of each (client, digest of its idempotency key) after `since`."""
    rows = await connection.execute(
        _EARLIER,
        {
            "log": log,
            "clients": [client for client, _ in asked],
            "keys": [key for _, key in asked],
            "since": since,
        },
    )
    return {(row[0], row[1]): EarlierRequest(*row[2:]) for row in rows}


async def by_ids(connection: AsyncConnection, log: int, ids: Sequence[UUID]) -> dict[UUID, EarlierRequest]:
    """Which of these requests have an entry whose payload is kept."""
    rows = await connection.execute(_BY_IDS, {"log": log, "ids": list(ids)})
    return {row[0]: EarlierRequest(*row) for row in rows}
