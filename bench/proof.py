"""What a log answers from its stored tiles: a start, and the proof of an entry, whatever its size."""

import asyncio
import secrets
import time
from dataclasses import dataclass

from access_log import stored
from access_log.merkle import leaf_hash, verify_inclusion
from bench.stage import Stage
from vault.server.assembly import open_log

_PROOFS = 500


@dataclass(frozen=True)
class ProofFigures:
    """Milliseconds: of a start (head checked, signed, raised); of a proof, the median and the 99th of 100."""

    entries: int
    start: float
    p50: float
    p99: float


def measure(at: Stage) -> ProofFigures:
    """Starts on the log of the stage, then proves entries anywhere in it; each proof must verify."""
    return asyncio.run(_measure(at))


async def _measure(at: Stage) -> ProofFigures:
    async with open_log(at.settings, at.url) as log:
        started = time.perf_counter()
        await log.start()
        start = time.perf_counter() - started
        raised = log.outside.read()
        seconds = []
        async with log.engine.connect() as connection:
            for _ in range(_PROOFS):
                index = secrets.randbelow(raised.size)
                [(_, entry)] = await stored.entries(connection, log.number, index, index + 1)
                started = time.perf_counter()
                found = await stored.proof(connection, log.number, index, raised.size)
                seconds.append(time.perf_counter() - started)
                verify_inclusion(index, raised.size, leaf_hash(entry), found, raised.root)
    seconds.sort()
    return ProofFigures(
        raised.size, start * 1000, seconds[_PROOFS // 2] * 1000, seconds[_PROOFS * 99 // 100] * 1000
    )
