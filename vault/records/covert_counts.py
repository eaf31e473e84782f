"""How many covert cases there were, month by month: published, and committed to by an entry (log FORMAT 4.8).

The number of those who are not told yet is all that may be known of them. An entry of the system stream
states it once a month has ended; its opening stands beside it for everybody.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.durable import DurableFolder
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Party, Payload
from access_log.stored_log import StoredLog
from vault.records.tables import covert_count

COUNTED = "covert cases counted"
_FILE = "covert"
_COUNT = text(
    "SELECT count(*) FILTER (WHERE opened_at >= :begin) AS opened,"
    " count(*) FILTER (WHERE ends_at >= :end) AS standing,"
    " count(*) FILTER (WHERE disclosed_at >= :begin AND disclosed_at < :end) AS disclosed"
    " FROM vault.covert_case WHERE opened_at < :end"
)
_KNOWN = text("SELECT 1 FROM vault.covert_count WHERE month = :month")


@dataclass(frozen=True, slots=True)
class CovertCount:
    """The covert cases of one UTC month.

    Attributes:
        month: yyyymm.
        opened: cases whose first query came in it.
        standing: cases whose persons were not to be told yet when it ended.
        disclosed: cases that were disclosed in it.
        origin: of the log whose entry states this.
        index: of that entry.
        opening: of that entry.
    """

    month: int
    opened: int
    standing: int
    disclosed: int
    origin: str
    index: int
    opening: Mapping[str, Any]


async def count_last_month(log: Log) -> bool:
    """Counts the month that ended last, unless it was counted; whether it did.

    Raises:
        AccessLogError: the log cannot append; the next run counts.
    """
    async with log.writing() as writing:
        end = writing.now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        begin = (end - timedelta(days=1)).replace(day=1)
        month = begin.year * 100 + begin.month
        if (await writing.connection.execute(_KNOWN, {"month": month})).one_or_none() is not None:
            return False
        counted = (await writing.connection.execute(_COUNT, {"begin": begin, "end": end})).one()
        numbers = {name: int(number) for name, number in counted._mapping.items()}  # noqa: SLF001 -- a row's own
        payload = Payload.create(
            EntryType.OPERATOR,
            {
                "event": COUNTED,
                "actor": "creditvault",
                "actor_role": "vault",
                "object": {"month": month, **numbers},
            },
        )
        position = writing.add(Event(SYSTEM_STREAM, payload))
    # Durable and raised: its opening may be shown. After a crash before that the month is counted once more.
    await _publish(log, month, numbers, writing.indexes[position], writing.payloads[position])
    return True


async def published(connection: AsyncConnection) -> list[CovertCount]:
    """The months that were counted, the newest first."""
    rows = await connection.execute(covert_count.select().order_by(covert_count.c.month.desc()))
    return [
        CovertCount(
            row.month,
            row.opened,
            row.standing,
            row.disclosed,
            row.origin,
            row.entry_index,
            json.loads(row.opening),
        )
        for row in rows
    ]


async def publish_counts(log: StoredLog, root: Path, size: int) -> None:
    """Puts the counts beside a published log, as `covert` (log FORMAT 6): what `/log/covert` answers.

    Args:
        log: the log.
        root: the folder it is published into.
        size: how many entries that folder covers; a month whose entry is behind them waits.

    Raises:
        FolderError: the folder cannot be written to, or another process publishes into it.
    """
    async with log.engine.connect() as connection:
        counted = [
            asdict(one)
            for one in await published(connection)
            # Closed logs are published whole before.
            if one.origin != log.origin or one.index < size
        ]
    content = json.dumps({"months": counted}, ensure_ascii=False, separators=(",", ":")).encode()
    folder = DurableFolder(root)
    with folder.held():
        if not await asyncio.to_thread(folder.holds, _FILE, content):
            await asyncio.to_thread(folder.put, [(_FILE, content)])
        await asyncio.to_thread(folder.settle)


async def _publish(log: Log, month: int, numbers: Mapping[str, int], index: int, payload: Payload) -> None:
    opening = json.dumps(payload.opening(Party.PERSON), ensure_ascii=False, separators=(",", ":"))
    async with log.engine.begin() as connection:
        await connection.execute(
            insert(covert_count).on_conflict_do_nothing(),
            {"month": month, **numbers, "origin": log.origin, "entry_index": index, "opening": opening},
        )
