"""Engines and migrations: where the database is, whether its schema is ours, and how it becomes so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from vault.errors import VaultError
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_LAST_WITHOUT_ENDINGS = "0014"


class SchemaError(VaultError):
    """The database is behind or ahead of this release."""


class DatabaseDownError(VaultError):
    """The database cannot be reached."""


_AHEAD = "the database is ahead of this release: install the release it was migrated by, or a newer one"


@dataclass(frozen=True)
class DatabaseUrls:
    """One database, seen by the application role and by its owner."""

    application: str
    owner: str | None


@contextmanager
def database_urls(settings: Settings) -> Iterator[DatabaseUrls]:
    """The configured database, or the embedded one, running for as long as the block lasts.

    Raises:
        EmbeddedDatabaseError: no database is configured and the embedded one cannot run.
    """
    if settings.database_url is not None:
        yield DatabaseUrls(settings.database_url, settings.owner_database_url)
        return
    embedded = EmbeddedDatabase(settings.home / "postgresql")
    try:
        yield DatabaseUrls(embedded.url(APPLICATION), embedded.url(OWNER))
    finally:
        embedded.stop()


def application_engine(url: str, settings: Settings) -> AsyncEngine:
    """An engine of the application role: sized for the concurrency, with timeouts on every statement."""
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            # By which a move sees that every process knows both (`vault.records.moving`).
            "application_name": f"creditvault keys={'<'.join(settings.key_providers)}",
            "options": f"-c statement_timeout={settings.statement_timeout_ms}"
            f" -c lock_timeout={settings.statement_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={settings.statement_timeout_ms}"
            " -c timezone=UTC -c jit=off",
        },
    )
    event.listen(engine.sync_engine, "connect", _send_arrays_in_binary)
    return engine


def _send_arrays_in_binary(connection: Any, _record: object) -> None:  # noqa: ANN401 -- the driver's own type
    # As text each element of an array is escaped in Python, which cost a quarter of an enrolment.
    connection.driver_connection.adapters.register_dumper(list, ListBinaryDumper)


def migrate(owner_url: str) -> tuple[str | None, str]:
    """Brings the schema to this release; returns the revisions before and after.

    Raises:
        SchemaError: the database is ahead of this release.
        DatabaseDownError: it cannot be reached.
    """
    engine = create_engine(owner_url)
    try:
        before = _revision(engine)
        scripts = _scripts()
        if before is not None and before not in {script.revision for script in scripts.walk_revisions()}:
            raise SchemaError(_AHEAD)
        with engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        head = scripts.get_current_head()
        assert head is not None  # noqa: S101 -- the tree of revisions ships with this package
        return before, head
    finally:
        engine.dispose()


def revision(url: str) -> str | None:
    """The revision of a schema; None where there is none yet.

    Raises:
        DatabaseDownError: it cannot be reached.
    """
    engine = create_engine(url)
    try:
        return _revision(engine)
    finally:
        engine.dispose()


def older_than_endings(revision: str | None) -> bool:
    """Whether a schema of this revision is of a release that kept no file of endings beside the lock."""
    older = {script.revision for script in _scripts().iterate_revisions(_LAST_WITHOUT_ENDINGS, "base")}
    return revision in older


def check_schema(url: str) -> None:
    """Compares the database with this release.

    Raises:
        SchemaError: it is behind or ahead.
        DatabaseDownError: it cannot be reached.
    """
    found = revision(url)
    scripts = _scripts()
    if found == scripts.get_current_head():
        return
    if found is None or found in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaError("the database is behind this release: run `creditvault migrate`")
    raise SchemaError(_AHEAD)


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table_schema": "public"})
            return context.get_current_revision()
    except OperationalError as error:
        raise DatabaseDownError(
            "the database cannot be reached: start PostgreSQL, then check CREDITVAULT_DATABASE_URL "
            "with `creditvault doctor`"
        ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
