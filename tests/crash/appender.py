"""Many callers of one process that append side by side, until it kills itself, -9, at a named step.

    python appender.py <step> <nth> <armed file> <database URL> <outside lock>

Each receipt it holds it prints, as a client would keep it.
"""

import asyncio
import base64
import sys
from pathlib import Path

from access_log.log import SYSTEM_STREAM, Log
from tests.access_log.logs import another_worker, operated
from tests.crash.killer import WRITING, Trigger
from vault.server.database import application_engine
from vault.server.settings import Settings

_CALLERS = 64
_MOST = 200


async def _caller(log: Log) -> None:
    for number in range(_MOST):
        appended = await log.append([operated(SYSTEM_STREAM, f"act {number}")])
        line = base64.b64encode(appended.receipts[0].encode()).decode()
        sys.stdout.write(f"{appended.indexes[0]} {line}\n")
        sys.stdout.flush()


async def _append(url: str, lock: Path) -> None:
    log = another_worker(application_engine(url, Settings()), lock)
    await log.start()
    await asyncio.gather(*(_caller(log) for _ in range(_CALLERS)))


def main() -> None:
    """Wraps the step, then appends."""
    step, nth, armed, url, lock = sys.argv[1:]
    WRITING[step].wrap(Trigger(int(nth), Path(armed)))
    asyncio.run(_append(url, Path(lock)))


if __name__ == "__main__":
    main()
