"""Every write of sequencing fails once: without effect (lost), or with it and no word of it (persisted).

A statement fails because PostgreSQL ends the connection right before or after it, so that driver and writer
learn of it as they would of a cut network. A call to the outside lock's file fails with the error a worn-out
disk gives.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored, writes
from access_log.signing_keys import SigningKey
from tests.crash.outcomes import Commits, Outcome

OUTCOMES: tuple[Outcome, ...] = ("lost", "persisted")
STATEMENTS: dict[str, tuple[Any, str]] = {
    "head lock": (writes, "lock_head"),
    "places": (writes, "places_of"),
    "payloads": (writes.PayloadStore, "write"),
    "entries": (writes, "append"),
    "tiles": (stored, "write_tiles"),
}
COMMIT = "commit"
AFTER_COMMIT: dict[str, tuple[Any, str]] = {
    "signature": (SigningKey, "line"),
    "lock taken": (fcntl, "flock"),
    "lock written": (os, "pwrite"),
    "lock synced": (os, "fdatasync"),
}
STEPS = [*STATEMENTS, COMMIT, *AFTER_COMMIT]


def stands(step: str, outcome: Outcome) -> bool:
    """Whether what was being appended is durable when this step has failed so."""
    return step in AFTER_COMMIT or (step, outcome) == (COMMIT, "persisted")


@dataclass
class _Fault:
    superuser: str
    outcome: Outcome
    fired: bool = False

    def statement(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Ends the connection before or after it is used; what is then sent on it fails."""

        async def failing(*arguments: Any, **named: Any) -> object:
            first, self.fired = not self.fired, True
            if first and self.outcome == "lost":
                await self._cut(arguments[0])
            result: object = await function(*arguments, **named)
            if first and self.outcome == "persisted":
                await self._cut(arguments[0])
            return result

        return failing

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Fails before or after it did its work."""

        def failing(*arguments: Any, **named: Any) -> object:
            first, self.fired = not self.fired, True
            if first and self.outcome == "lost":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            result: object = function(*arguments, **named)
            if first and self.outcome == "persisted":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return result

        return failing

    async def _cut(self, used: AsyncConnection | writes.PayloadStore) -> None:
        if isinstance(used, writes.PayloadStore):
            driver: Any = used._copy.connection
        else:
            driver = (await used.get_raw_connection()).driver_connection
        url = make_url(self.superuser).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as admin:
            ended = admin.execute("SELECT pg_terminate_backend(%s, 5000)", (driver.info.backend_pid,))
            assert ended.fetchone() == (True,)


@contextmanager
def failing(superuser: str, step: str, outcome: Outcome) -> Iterator[None]:
    """In the block the step fails the first time it is come to, which must happen.

    Args:
        superuser: URL of the database, as who may end its connections.
        step: One of `STEPS`.
        outcome: Whether it takes effect before it fails.
    """
    if step == COMMIT:
        commits = Commits(superuser, once=True)
        commits.outcome = outcome
        commits.install()
        try:
            yield
        finally:
            commits.remove()
        assert commits.outcome is None, "no commit was come to"
        return
    fault = _Fault(superuser, outcome)
    owner, name = {**STATEMENTS, **AFTER_COMMIT}[step]
    wrap = fault.statement if step in STATEMENTS else fault.call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, wrap(getattr(owner, name)))
        yield
    assert fault.fired, "the step was never come to"
