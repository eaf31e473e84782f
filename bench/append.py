"""Durable append: entries in batches, each commit fsynced and each checkpoint raised in the outside lock."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import JSON, Payload
from bench.stage import Stage, opened
from vault.server import collecting

_QUERY: dict[str, JSON] = {
    "body": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11",
    "officer": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c12",
    "officer_role": "case officer",
    "purpose": "court-enforcement",
    "case_reference": "(2026) Bench No. 1",
    "basis": "5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c13",
    "decision": "permitted",
    "fields": ["FIN.type", "FIN.amount_class", "FIN.status"],
    "request_digest": "0" * 64,
    "record_versions": [["5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c14", 1, ["type", "amount_class", "status"]]],
}
_WRITERS = 64
_SINGLES = 10_000


@dataclass(frozen=True)
class AppendFigures:
    """Entries a second: in large batches, and by 64 writers that append one after the other.

    Attributes:
        cpu: µs of this process's time for an entry of a batch; PostgreSQL works beside it.
    """

    batched: float
    cpu: float
    singles: float
    batch: int
    entries: int


def measure(at: Stage, entries: int, batch: int) -> AppendFigures:
    """Appends query-sized entries to the log of the stage."""
    return asyncio.run(_measure(at, entries, batch))


async def _measure(at: Stage, entries: int, batch: int) -> AppendFigures:
    async with opened(at) as vault:
        collecting.settle()  # as a worker does once it has started
        started, used = time.perf_counter(), time.process_time()
        for _ in range(entries // batch):
            async with vault.log.writing() as writing:
                for _ in range(batch):
                    writing.add(_event())
        batched, cpu = entries / (time.perf_counter() - started), time.process_time() - used
        singles = min(_SINGLES, entries)
        started = time.perf_counter()
        waiting = iter(range(singles))
        await asyncio.gather(*(_one_by_one(vault.log, waiting) for _ in range(_WRITERS)))
        singly = singles / (time.perf_counter() - started)
        return AppendFigures(batched, cpu / entries * 1e6, singly, batch, entries)


async def _one_by_one(log: Log, waiting: Iterator[int]) -> None:
    """Takes its turns from an iterator that all writers share."""
    for _ in waiting:
        await log.append([_event()])


def _event() -> Event:
    return Event(SYSTEM_STREAM, Payload.create(EntryType.QUERY_PERMITTED, _QUERY))
