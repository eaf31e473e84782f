"""The log of the stage published into an empty folder: every file synced, audited on its way."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from access_log.publishing import publish
from bench.stage import Stage, opened


@dataclass(frozen=True)
class PublishFigures:
    """Entries and files a second, and how long a second run takes that finds nothing to do."""

    rate: float
    files: float
    again: float
    entries: int


def measure(at: Stage) -> PublishFigures:
    """Publishes on the file system of temporary files."""
    return asyncio.run(_measure(at))


async def _measure(at: Stage) -> PublishFigures:
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-") as folder:
        async with opened(at) as vault:
            started = time.perf_counter()
            done = await publish(vault.log, Path(folder))
            seconds = time.perf_counter() - started
            started = time.perf_counter()
            await publish(vault.log, Path(folder))
            again = time.perf_counter() - started
    return PublishFigures(done.size / seconds, done.written / seconds, again, done.size)
