"""What a release sends to its database: noted while it works, and later planned against a newer schema.

PostgreSQL plans a statement without running it, and checks names, types, unique keys and rights with that.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, event, make_url

from vault.server.embedded import APPLICATION

_PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_GIVEN = (
    "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns"
    " WHERE table_schema IN ('access_log', 'consent', 'vault')"
    " AND is_nullable = 'NO' AND column_default IS NULL ORDER BY 1, 2"
)


@contextmanager
def noted() -> Iterator[set[str]]:
    """What the application's role sends in this process while the block lasts, each text once."""
    texts: set[str] = set()

    def note(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if connection.engine.url.username == APPLICATION and statement.lstrip("( ").startswith(_PLANNED):
            texts.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield texts
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def objections(url: str, statements: list[str]) -> dict[str, str]:
    """What PostgreSQL objects to each of these statements of a role; those it plans are absent.

    Args:
        url: SQLAlchemy's, of the role.
        statements: as the driver is handed them.
    """
    found: dict[str, str] = {}
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in statements:
            try:
                connection.execute(b"EXPLAIN (GENERIC_PLAN) " + _numbered(statement).encode())
            except psycopg.Error as error:
                found[statement] = str(error).splitlines()[0]
    return found


def must_be_given(owner_url: str) -> dict[str, list[str]]:
    """For each table the columns without which no row can be added."""
    plain = make_url(owner_url).set(drivername="postgresql").render_as_string(hide_password=False)
    found: dict[str, list[str]] = {}
    with psycopg.connect(plain) as connection:
        for table, column in connection.execute(_GIVEN):
            found.setdefault(table, []).append(column)
    return found


def _numbered(statement: str) -> str:
    """A statement with its parameters as PostgreSQL writes them: $1, $2."""
    names: dict[str, str] = {}
    numbered = _PARAMETER.sub(lambda one: names.setdefault(one[1], f"${len(names) + 1}"), statement)
    return numbered.replace("%%", "%")
