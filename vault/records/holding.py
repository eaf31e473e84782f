"""Payloads of the log that a legal hold keeps past their retention: sealed anew under a later month.

A hold keeps evidence, and nobody's record: so it must not keep the key of a month, which would open all that
ended with it. What a hold needs is moved on instead, before its month is over, as records are (`carrying`).
Once the hold is lifted a payload ends with the month it was moved to.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log.stored_log import StoredLog
from vault.crypto.payloads import PayloadSealer
from vault.records.keys import LOG_PAYLOAD, VaultKeys

Holding = Callable[[AsyncConnection], Awaitable[Mapping[int, Sequence[int]]]]
"""Tells which payloads are held now: by the number of their log, the indexes of their entries."""

_AT_ONCE: Final = 256
_DUE = text(
    "SELECT index, expiry_id, sealed FROM access_log.payload"
    " WHERE log = :log AND index = ANY(CAST(:held AS bigint[]))"
    " AND expiry_id < :before AND expiry_id <> :month"
    " LIMIT :most"
)
_TAKE = text(
    "DELETE FROM access_log.payload WHERE log = :log AND index = ANY(CAST(:indexes AS bigint[]))"
    " RETURNING index"
)
_PUT = text(
    "INSERT INTO access_log.payload (log, index, expiry_id, sealed) SELECT :log, t.index, :month, t.sealed"
    " FROM unnest(CAST(:indexes AS bigint[]), CAST(:sealed AS bytea[])) AS t (index, sealed)"
)
_HANGING = text(
    "SELECT count(*) FROM access_log.payload"
    " WHERE log = :log AND index = ANY(CAST(:held AS bigint[])) AND expiry_id = :month"
)


async def nothing_held(_connection: AsyncConnection) -> Mapping[int, Sequence[int]]:
    """Where there are no holds."""
    return {}


async def hanging(connection: AsyncConnection, held: Mapping[int, Sequence[int]], month: int) -> int:
    """How many payloads that are held hang on a month."""
    found = 0
    for log, indexes in held.items():
        if indexes:
            asked = {"log": log, "held": list(indexes), "month": month}
            found += int((await connection.execute(_HANGING, asked)).scalar_one())
    return found


async def move_on(
    engine: AsyncEngine,
    keys: VaultKeys,
    logs: Sequence[StoredLog],
    held: Mapping[int, Sequence[int]],
    *,
    before: int,
    month: int,
) -> int:
    """Seals held payloads of months before `before` under `month`; returns how many. It may be repeated.

    Raises:
        UnsealError: one does not open; its month keeps its key.
        ProviderError: the key provider does not answer.
    """
    moved = 0
    for log in logs:
        sealer = PayloadSealer(keys.system(LOG_PAYLOAD), log.origin)
        indexes = held.get(log.number, ())
        while indexes:
            async with engine.begin() as connection:
                asked = {"log": log.number, "held": list(indexes), "before": before, "month": month}
                rows = (await connection.execute(_DUE, {**asked, "most": _AT_ONCE})).all()
                months = await keys.expiry.load({row.expiry_id for row in rows})
                # What was destroyed already, nobody moves.
                rows = [row for row in rows if row.expiry_id in months]
                if not rows:
                    break
                later = sealer.until((await keys.expiry.keys([month]))[month])
                sealed = {
                    index: later.seal(index, sealer.until(months[expiry_id]).open(index, ciphertext))
                    for index, expiry_id, ciphertext in rows
                }
                # What retention removes at this very moment is not put back.
                asked = {"log": log.number, "indexes": list(sealed)}
                taken = list(await connection.scalars(_TAKE, asked))
                put = {"log": log.number, "month": month, "indexes": taken}
                await connection.execute(_PUT, {**put, "sealed": [sealed[index] for index in taken]})
            moved += len(taken)
    return moved
