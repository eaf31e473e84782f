"""What a restored database lacks of the endings that were kept, done once more (FORMAT 9.1).

Register and log stand or fall in one transaction, so a database lacks the acts of exactly those entries
that it had to import from the published log: those whose payloads are declared lost. For these

(1) every object that one of them is about is looked up in the file, with all its records;
(2) a record counts if the log has its leaf at its index: what was never committed is passed over;
(3) the last one that counts says how the object is to stand now, and whoever knows its kind sees to it.

It runs under the head lock, in the transaction that imports or compares: no query meets the gap. Nothing
is done to what stands as it must already, so that it may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import losses, reading
from access_log.endings import ASSUMED, Ending, EndingsFile
from access_log.losses import Ranges
from access_log.merkle import leaf_hash
from access_log.stored_log import StoredLog

if TYPE_CHECKING:
    from access_log.log import Writing

Apply = Callable[["Writing", Sequence[Ending]], Awaitable[int]]
"""Sees to it that each object stands as its ending says, under the head lock; returns how many did not."""

_ENTRIES = text("SELECT index, entry FROM access_log.entry WHERE log = :log AND index = ANY(:indexes)")


@dataclass(frozen=True, slots=True)
class Endings:
    """Where a log's endings are kept, and who applies them once more."""

    file: EndingsFile
    apply: Apply

    async def reapply(self, log: StoredLog, writing: "Writing") -> int:
        """Applies what this database lacks, by events of `writing`; returns how many acts it was.

        Raises:
            OutsideLockError: The file is missing, damaged, or another log's.
            LogUnavailableError: It cannot be read now.
        """
        await asyncio.to_thread(self.file.count)
        lost = await losses.declared_lost(writing.connection, log.number)
        if not lost:
            return 0
        records = await asyncio.to_thread(_about, self.file, lost)  # (1)
        borne_out = await _borne_out(log, writing.connection, records)  # (2)
        last = {each.object: each for each in borne_out}
        return await self.apply(writing, list(last.values()))  # (3)

    async def lost_behind(self, log: StoredLog, connection: AsyncConnection, size: int) -> list[Ending]:
        """How objects stand whose last acts a database has lost for good, with all entries from `size` on.

        No entry bears those acts out any more: they are taken on the file's word. One that was never
        committed ends something that somebody wanted ended; not to believe them would end nothing.

        Raises:
            OutsideLockError: The file is missing, damaged, or another log's.
            LogUnavailableError: It cannot be read now.
        """
        records = await asyncio.to_thread(lambda: list(self.file.each()))
        touched = {each.object for each in records if each.index >= size}
        kept = [each for each in records if each.object in touched]
        borne_out = {
            (each.index, each.leaf)
            for each in await _borne_out(log, connection, [each for each in kept if each.index < size])
        }
        last = {
            each.object: each for each in kept if each.index >= size or (each.index, each.leaf) in borne_out
        }
        return list(last.values())


def _about(file: EndingsFile, lost: Ranges) -> list[Ending]:
    """Every record about an object whose state may be lost, oldest first."""
    # What was assumed when the file was begun happened before the entry it names.
    begun_after = lost.ranges[0][0]
    touched: set[UUID] = {
        each.object
        for each in file.each()
        if (each.index > begun_after if each.leaf == ASSUMED else each.index in lost)
    }
    return [each for each in file.each() if each.object in touched]


async def _borne_out(log: StoredLog, connection: AsyncConnection, records: Sequence[Ending]) -> list[Ending]:
    """Those whose entry stands in the log."""
    indexes = sorted({each.index for each in records if each.leaf != ASSUMED})
    rows = await connection.execute(_ENTRIES, {"log": log.number, "indexes": indexes})
    leaves: dict[int, bytes] = {index: leaf_hash(entry) for index, entry in rows}
    for index in indexes:
        if index not in leaves:  # In the archive, or not in the log at all.
            found = await reading.entries(connection, log.number, log.archive, index, index + 1)
            leaves |= {at: leaf_hash(entry) for at, entry in found}
    return [each for each in records if each.leaf in {ASSUMED, leaves.get(each.index)}]
