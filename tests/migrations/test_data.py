"""Migrations of a database in use: they lose nothing, run once, and leave nothing half done."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from tests.conftest import settings_in
from tests.flows.world import contract
from tests.migrations.revisions import NEWEST
from tests.vault.served import site
from vault.server import database
from vault.server.database import SchemaError, check_schema, migrate
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings


@pytest.fixture
def empty(postgres: EmbeddedDatabase) -> Iterator[str]:
    """The name of a database that was never migrated."""
    name = f"empty_{uuid4().hex}"
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER {OWNER}"))
    yield name
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def downgrade(owner_url: str) -> None:
    engine = create_engine(owner_url)
    with engine.connect() as connection:
        config = database._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    engine.dispose()


def tables(engine: Engine) -> dict[str, int]:
    """How many rows each table of ours has."""
    with engine.connect() as connection:
        names = connection.scalars(
            text(
                "SELECT schemaname || '.' || tablename FROM pg_tables"
                " WHERE schemaname IN ('access_log', 'consent', 'vault')"
            )
        ).all()
        return {name: int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0) for name in names}


async def test_migrating_a_database_in_use_again_changes_nothing(
    vault_settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with site(vault_settings, tmp_path) as served:
        await served.enrol(1, 2)
        owner = create_engine(owner_url)
        before = tables(owner)
        assert before["vault.record"] == 4
        assert migrate(owner_url) == (NEWEST, NEWEST)
        assert tables(owner) == before
        owner.dispose()
        assert (await (await served.court(1)).ask()).json()["records"]


async def test_down_and_up_with_data_is_an_empty_vault_that_works(
    postgres: EmbeddedDatabase, database_name: str, owner_url: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with site(settings_in(first, postgres, database_name), first) as served:
        await served.enrol(1)
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        # Where a desk is registered the way down is closed.
        connection.execute(
            text("UPDATE consent.body SET capacities = '{ask}' WHERE 'desk' = ANY(capacities)")
        )
    owner.dispose()
    downgrade(owner_url)
    with pytest.raises(SchemaError, match="behind"):
        check_schema(owner_url)
    assert migrate(owner_url) == (None, NEWEST)
    owner = create_engine(owner_url)
    assert set(tables(owner).values()) == {0}
    owner.dispose()
    async with site(settings_in(second, postgres, database_name), second) as served:
        answer = await (await served.furnisher()).lines(contract(1))
        assert answer["enrolled"] == 1


def test_three_that_migrate_at_once(postgres: EmbeddedDatabase, empty: str) -> None:
    url = postgres.url(OWNER, empty)
    # Processes, as operators start them: Alembic's context is one for a whole process.
    command_line = [
        sys.executable,
        "-c",
        f"from vault.server.database import migrate; print(migrate({url!r})[1])",
    ]
    started = [subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {one.communicate(timeout=60)[0].strip() for one in started} == {NEWEST}
    assert {one.returncode for one in started} == {0}
    check_schema(url)


def test_a_migration_that_fails_leaves_nothing(postgres: EmbeddedDatabase, empty: str) -> None:
    url = postgres.url(OWNER, empty)
    owner = create_engine(url)
    with owner.begin() as connection:
        connection.execute(text("CREATE SCHEMA jobs"))  # in the way of a later step
    with pytest.raises(ProgrammingError):
        migrate(url)
    assert tables(owner) == {}
    with owner.begin() as connection:
        connection.execute(text("DROP SCHEMA jobs"))
    owner.dispose()
    assert migrate(url) == (None, NEWEST)


def test_the_application_role_cannot_migrate_and_can_check(postgres: EmbeddedDatabase, empty: str) -> None:
    application = postgres.url(APPLICATION, empty)
    with pytest.raises(SchemaError, match="behind"):
        check_schema(application)
    with pytest.raises(ProgrammingError):
        migrate(application)
    migrate(postgres.url(OWNER, empty))
    check_schema(application)
