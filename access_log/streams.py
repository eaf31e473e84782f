"""Finding the entries of a stream again: by their labels, as no entry names whom it is about (FORMAT 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels
from access_log.entry import Entry
from access_log.log import Log
from access_log.payload import Payload

_CHUNK = 64
_BY_LABELS = text(
    "SELECT e.index, e.entry, p.expiry_id, p.sealed FROM access_log.entry e"
    " LEFT JOIN access_log.payload p ON p.log = e.log AND p.index = e.index"
    " WHERE e.log = :log AND substring(e.entry from 43 for 32) = ANY(:labels)"
)


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of a stream, opened.

    Attributes:
        payload: None once its retention has ended.
    """

    index: int
    entry: Entry
    payload: Payload | None


async def entries_of(
    connection: AsyncConnection, log: Log, stream_id: bytes, since: datetime
) -> list[StreamEntry]:
    """Every entry of a stream since the month of `since`, newest first.

    Raises:
        CryptoError: a payload was altered or moved.
    """
    now = datetime.now(UTC)
    found: list[StreamEntry] = []
    for month in _months(since, now):
        key = log.month_key(stream_id, month)
        first = 1
        while True:
            sought = [labels.label(key, seq) for seq in range(first, first + _CHUNK)]
            rows = (await connection.execute(_BY_LABELS, {"log": log.number, "labels": sought})).all()
            for index, raw, expiry_id, sealed in rows:
                payload = (
                    Payload.decode(await log.sealer.open(index, expiry_id, sealed))
                    if sealed is not None
                    else None
                )
                found.append(StreamEntry(index, Entry.decode(raw), payload))
            if len(rows) < _CHUNK:
                break
            first += _CHUNK
    return sorted(found, key=lambda one: one.index, reverse=True)


def _months(first: datetime, last: datetime) -> Sequence[int]:
    """Months yyyymm from one instant's to another's, UTC."""
    start = first.astimezone(UTC)
    months = (last.year - start.year) * 12 + last.month - start.month
    return [
        (start.year + (start.month - 1 + at) // 12) * 100 + (start.month - 1 + at) % 12 + 1
        for at in range(months + 1)
    ]
