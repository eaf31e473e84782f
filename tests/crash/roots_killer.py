"""The job that appends roots, as processes that kill themselves, -9, at one statement they send.

    python -m tests.crash.roots_killer <database URL> <outside lock> before|after

Each line of the input names the nth statement to die at, and is answered by how that process ended. Without
any statement left to die at, it ends by itself, with 0. The processes are forked from one that has imported
everything, does nothing else, and never opens the database.
"""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import Engine, event

from access_log.roots import log as writer
from access_log.roots.log import RootsLog
from tests.access_log.logs import another_worker
from tests.access_log.roots.clocked import SIGNERS
from tests.crash.killer import die
from vault.server.database import application_engine
from vault.server.settings import Settings

MOST_ENTRIES = 60
"""So that several transactions are needed."""


async def run(url: str, lock: Path) -> None:
    """Does what the worker's job does."""
    writer.MOST_ENTRIES = MOST_ENTRIES  # type: ignore[misc]  # final to everyone but this test
    engine = application_engine(url, Settings())
    roots = RootsLog(another_worker(engine, lock), SIGNERS)
    await roots.catch_up()
    await roots.crown()
    await engine.dispose()


def attempt(url: str, lock: Path, when: str, nth: int) -> None:
    """Counts the statements."""
    left = nth

    def passed(*_arguments: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    event.listen(Engine, f"{when}_cursor_execute", passed)
    asyncio.run(run(url, lock))


def main(url: str, lock: str, when: str) -> None:
    """A process for each line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            attempt(url, Path(lock), when, int(line))
            sys.exit()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 -- whoever asked reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
