"""Finding entries again, opened: those of a stream, or some one after the other.

A stream's are found by their labels, as no entry names whom it is about (FORMAT 3).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels, reading
from access_log.entry import Entry
from access_log.payload import Payload
from access_log.stored_log import StoredLog

_CHUNK = 64
_PAYLOADS = text(
    "SELECT index, expiry_id, sealed FROM access_log.payload WHERE log = :log AND index = ANY(:indexes)"
)
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
    connection: AsyncConnection, log: StoredLog, stream_id: bytes, since: datetime
) -> list[StreamEntry]:
    """Every entry of a stream since the month of `since`, newest first.

    Raises:
        CryptoError: a payload was altered or moved.
        FolderError: the archive cannot be read.
    """
    now = datetime.now(UTC)
    found: list[StreamEntry] = []
    for month in labels.months_between(_month(since), _month(now)):
        key = log.month_key(stream_id, month)
        first = 1
        while True:
            sought = [labels.label(key, seq) for seq in range(first, first + _CHUNK)]
            rows = await _by_labels(connection, log, sought)
            for index, raw, expiry_id, sealed in rows:
                payload = (
                    await _opened(log, index, expiry_id, sealed)
                    if sealed is not None and expiry_id is not None
                    else None
                )
                found.append(StreamEntry(index, Entry.decode(raw), payload))
            if len(rows) < _CHUNK:
                break
            first += _CHUNK
    return sorted(found, key=lambda one: one.index, reverse=True)


async def indexes_of(
    connection: AsyncConnection, log: StoredLog, stream_id: bytes, since: datetime
) -> list[int]:
    """Where the entries of a stream stand since the month of `since`; no payload is opened.

    Raises:
        FolderError: the archive cannot be read.
    """
    found: list[int] = []
    for month in labels.months_between(_month(since), _month(datetime.now(UTC))):
        key, first = log.month_key(stream_id, month), 1
        while True:
            sought = [labels.label(key, seq) for seq in range(first, first + _CHUNK)]
            rows = await _by_labels(connection, log, sought)
            found += [row[0] for row in rows]
            if len(rows) < _CHUNK:
                break
            first += _CHUNK
    return found


async def entries_between(
    connection: AsyncConnection, log: StoredLog, first: int, end: int
) -> list[StreamEntry]:
    """Entries first..end-1, in order, whatever their streams; one that is nowhere is simply absent.

    Raises:
        CryptoError: a payload was altered or moved.
        FolderError: the archive cannot be read.
    """
    raw = await reading.entries(connection, log.number, log.archive, first, end)
    rows = await connection.execute(_PAYLOADS, {"log": log.number, "indexes": [index for index, _ in raw]})
    sealed = {row[0]: (row[1], row[2]) for row in rows}
    return [
        StreamEntry(
            index,
            Entry.decode(entry),
            await _opened(log, index, *sealed[index]) if index in sealed else None,
        )
        for index, entry in raw
    ]


def stands_in(log: StoredLog, one: StreamEntry, stream_id: bytes) -> bool:
    """Whether an entry stands in this stream, at the place its payload names; a lost payload names none."""
    if one.payload is None:
        return False
    seq = one.payload.values()["seq"]
    key = log.month_key(stream_id, labels.month_of(one.entry.time))
    return isinstance(seq, int) and compare_digest(labels.label(key, seq), one.entry.label)


async def _opened(log: StoredLog, index: int, expiry_id: int, sealed: bytes) -> Payload | None:
    opened = await log.sealer.open(index, expiry_id, sealed)
    return None if opened is None else Payload.decode(opened)


async def _by_labels(
    connection: AsyncConnection, log: StoredLog, sought: Sequence[bytes]
) -> list[tuple[int, bytes, int | None, bytes | None]]:
    """Entries with these labels, as (index, entry, expiry id, sealed payload), archived ones too."""
    rows = await connection.execute(_BY_LABELS, {"log": log.number, "labels": sought})
    found = [(row[0], row[1], row[2], row[3]) for row in rows]
    if log.archive is None or len(found) == len(sought):
        return found
    there = {Entry.decode(raw).label for _, raw, _, _ in found}
    archived = await asyncio.to_thread(log.archive.find, [one for one in sought if one not in there])
    payloads = await connection.execute(_PAYLOADS, {"log": log.number, "indexes": list(archived)})
    sealed = {row[0]: (row[1], row[2]) for row in payloads}
    return found + [(index, raw, *sealed.get(index, (None, None))) for index, raw in archived.items()]


def _month(moment: datetime) -> int:
    return labels.month_of(int(moment.timestamp() * 1000))
