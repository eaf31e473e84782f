"""Payloads whose retention has ended, removed: the log says so first, and the rows go then.

    1. under the head lock, for each month that is over: an entry of type 9, and a row of `vault.removal`
    2. rows go, some at a time, without that lock

Killed between, the next run goes on with 2. Entries stay: the chain, every proof and the absence of labels
verify as before. What a legal hold needs stays too, and goes with the first run after it was lifted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import losses
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from access_log.stored_log import StoredLog
from consent.journal import VAULT
from vault.records.tables import removal
from vault.rights.accesses import Access
from vault.rights.holds import held

REMOVED: Final = "payloads.removed"
_AT_ONCE: Final = 10_000
_YEAR: Final = 100  # a month is written yyyymm

_DUE = text(
    "SELECT expiry_id, count(*) FROM access_log.payload"
    " WHERE log = :log AND expiry_id < :month AND NOT index = ANY(CAST(:held AS bigint[]))"
    " GROUP BY expiry_id ORDER BY expiry_id"
)
_HELD = text(
    "SELECT count(*) FROM access_log.payload WHERE log = :log AND index = ANY(CAST(:held AS bigint[]))"
)
_DECLARED = text("SELECT month FROM vault.removal WHERE log = :log")
_REMOVE = text(
    "DELETE FROM access_log.payload WHERE log = :log AND index IN ("
    "SELECT index FROM access_log.payload"
    " WHERE log = :log AND expiry_id < :month AND NOT index = ANY(CAST(:held AS bigint[])) LIMIT :most)"
)
_NEWEST = text("SELECT max(removed_at) FROM vault.removal")


@dataclass(frozen=True, slots=True)
class Removed:
    """What retention took of a list of accesses.

    Attributes:
        entries: of how many the contents were removed.
        newest: when that was last done; None where a backup from before it was restored.
    """

    entries: int
    newest: datetime | None


def month_of(moment: datetime, zone: ZoneInfo) -> int:
    """The month (yyyymm) in which retention is counted."""
    local = moment.astimezone(zone)
    return local.year * _YEAR + local.month


async def due(
    connection: AsyncConnection, log: StoredLog, month: int, kept: Sequence[int]
) -> Mapping[int, int]:
    """How many payloads of a log are to go before this month, by the month their retention ended in."""
    asked = {"log": log.number, "month": month, "held": list(kept)}
    return {row[0]: row[1] for row in await connection.execute(_DUE, asked)}


async def held_back(connection: AsyncConnection, log: StoredLog, kept: Sequence[int]) -> int:
    """How many payloads of a log a hold needs, whatever month they were moved to (`holding`)."""
    return int((await connection.execute(_HELD, {"log": log.number, "held": list(kept)})).scalar_one())


async def removed_of(connection: AsyncConnection, found: Sequence[Access]) -> Removed | None:
    """What retention took of these accesses; None if nothing. What a database lost is no such thing."""
    empty = [one for one in found if one.opening is None]
    lost = {
        number: await losses.declared_lost(connection, number) for number in {one.log.number for one in empty}
    }
    entries = sum(one.index not in lost[one.log.number] for one in empty)
    return Removed(entries, await connection.scalar(_NEWEST)) if entries else None


async def remove_payloads(log: Log, logs: Sequence[StoredLog], month: int) -> int:
    """Removes what is due before this month in any of the logs; returns how many payloads.

    Args:
        log: the open one, which says so.
        logs: every log of the database.
        month: that of now (`month_of`).

    Raises:
        AccessLogError: the log cannot append; nothing was removed.
    """
    removed = 0
    for each in logs:
        await _declare(log, each, logs, month)
        while True:
            async with log.engine.begin() as connection:
                kept = (await held(connection, [each])).payloads[each.number]
                asked = {"log": each.number, "month": month, "held": kept, "most": _AT_ONCE}
                gone = (await connection.execute(_REMOVE, asked)).rowcount
            removed += gone
            if gone < _AT_ONCE:
                break
    return removed


async def _declare(log: Log, each: StoredLog, logs: Sequence[StoredLog], month: int) -> None:
    async with log.engine.connect() as connection:
        if not await _undeclared(connection, each, logs, month):
            return
    async with log.writing() as writing:
        for expiry_id, count in (await _undeclared(writing.connection, each, logs, month)).items():
            await writing.connection.execute(
                removal.insert(),
                {"log": each.number, "month": expiry_id, "removed_at": writing.now, "payloads": count},
            )
            payload = Payload.create(
                EntryType.OPERATOR,
                {
                    "event": REMOVED,
                    "actor": VAULT.name,
                    "actor_role": VAULT.role,
                    "object": f"{each.origin} {expiry_id}",
                },
            )
            writing.add(Event(SYSTEM_STREAM, payload))


async def _undeclared(
    connection: AsyncConnection, each: StoredLog, logs: Sequence[StoredLog], month: int
) -> dict[int, int]:
    """What is due of a log, of months nothing was yet removed of."""
    kept = (await held(connection, logs)).payloads[each.number]
    found = await due(connection, each, month, kept)
    declared = set(await connection.scalars(_DECLARED, {"log": each.number})) if found else set()
    return {expiry_id: count for expiry_id, count in found.items() if expiry_id not in declared}
