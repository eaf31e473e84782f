"""Rotation of the root key: every subject key wrapped anew, in batches, by one process."""

import asyncio
import time
from dataclasses import dataclass

from bench.stage import Stage, opened
from consent.journal import Actor
from vault.records.keys import ROOT
from vault.records.rewrapping import rewrap
from vault.records.rotating import rotate


@dataclass(frozen=True)
class RewrapFigures:
    """Keys a second."""

    rate: float
    count: int


def measure(at: Stage) -> RewrapFigures:
    """Rotates the root key of the stage's persons."""
    return asyncio.run(_measure(at))


async def _measure(at: Stage) -> RewrapFigures:
    async with opened(at) as vault:
        rotation = await rotate(vault.log, vault.keys, ROOT, Actor("bench", "operator"))
        started = time.perf_counter()
        count = await rewrap(vault.engine, vault.keys.provider, rotation.version, lambda _done, _of: None)
        return RewrapFigures(count / (time.perf_counter() - started), count)
