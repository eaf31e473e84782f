"""The job that appends roots, as a process that kills itself, -9, at one statement it sends.

    python -m tests.crash.roots_killer <database URL> <outside lock> before|after <nth statement>

Without any statement left to die at, it ends by itself and returns 0.
"""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import Engine, event

from access_log.roots import log as writer
from access_log.roots.log import RootsLog
from tests.access_log.logs import another_worker
from tests.access_log.roots.clocked import KEY
from tests.crash.killer import die
from vault.server.database import application_engine
from vault.server.settings import Settings

MOST_ENTRIES = 60
"""So that several transactions are needed."""


async def run(url: str, lock: Path) -> None:
    """Does what the worker's job does."""
    writer.MOST_ENTRIES = MOST_ENTRIES  # type: ignore[misc]  # final to everyone but this test
    engine = application_engine(url, Settings())
    roots = RootsLog(another_worker(engine, lock), KEY)
    await roots.catch_up()
    await roots.crown()
    await engine.dispose()


def main(url: str, lock: str, when: str, nth: str) -> None:
    """Counts the statements."""
    left = int(nth)

    def passed(*_arguments: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    event.listen(Engine, f"{when}_cursor_execute", passed)
    asyncio.run(run(url, Path(lock)))


if __name__ == "__main__":
    main(*sys.argv[1:])
