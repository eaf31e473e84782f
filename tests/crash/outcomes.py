"""Commits whose outcome the writer never learns: the connection ends before the commit, or right after it."""

from typing import Any, Literal

import psycopg
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg

Outcome = Literal["lost", "persisted"]
_APPENDS = "INSERT INTO access_log.entry"
_WITHIN_MS = 5000


class Commits:
    """While `outcome` is set, every commit of a transaction that appended to the log fails so.

    Args:
        superuser: URL of the database; the backend that commits is ended by PostgreSQL itself.
        once: whether `outcome` is unset by the first that fails.
    """

    def __init__(self, superuser: str, *, once: bool = False) -> None:
        self.outcome: Outcome | None = None
        self._once = once
        self._superuser = (
            make_url(superuser).set(drivername="postgresql").render_as_string(hide_password=False)
        )
        self._appended: set[int] = set()
        self._commit = PGDialectAsync_psycopg.do_commit

    def install(self) -> None:
        """Stands between SQLAlchemy and the driver."""
        event.listen(Engine, "after_cursor_execute", self._sent)
        commits = self

        def do_commit(dialect: PGDialectAsync_psycopg, connection: Any) -> None:
            commits._on_commit(dialect, connection)

        PGDialectAsync_psycopg.do_commit = do_commit  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Steps aside."""
        event.remove(Engine, "after_cursor_execute", self._sent)
        PGDialectAsync_psycopg.do_commit = self._commit  # type: ignore[method-assign]

    def _sent(self, connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if _APPENDS in statement:
            self._appended.add(id(connection.connection))

    def _on_commit(self, dialect: PGDialectAsync_psycopg, connection: Any) -> None:
        counts = id(connection) in self._appended
        self._appended.discard(id(connection))
        if not counts or self.outcome is None:
            self._commit(dialect, connection)
            return
        outcome = self.outcome
        if self._once:
            self.outcome = None
        if outcome == "persisted":
            self._commit(dialect, connection)
        self._end_backend(connection.dbapi_connection.driver_connection.info.backend_pid)
        connection.cursor().execute("SELECT 1")  # The driver finds out, as it would from a lost answer.
        raise AssertionError("the backend outlived its end")

    def _end_backend(self, pid: int) -> None:
        with psycopg.connect(self._superuser, autocommit=True) as admin:
            ended = admin.execute("SELECT pg_terminate_backend(%s, %s)", (pid, _WITHIN_MS)).fetchone()
            assert ended == (True,)
