"""The migrations: up, down and up again, and the schema they make is the one the code expects."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from migrations.schema import METADATA
from tests.migrations.revisions import NEWEST
from vault.server import database
from vault.server.database import DatabaseDownError, SchemaError, check_schema, migrate

_OURS = ("access_log", "consent", "vault")


@pytest.fixture
def owner(owner_url: str) -> Engine:
    return create_engine(owner_url)


def test_the_migrated_schema_is_the_codes(owner: Engine) -> None:
    with owner.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": "public",
                "include_name": lambda name, kind, _parents: kind != "schema" or name in _OURS,
                "include_object": lambda _object, name, kind, *_rest: (
                    not (kind == "table" and name.startswith("entry_"))
                ),
            },
        )
        differences = compare_metadata(context, METADATA)  # type: ignore[arg-type]  # it takes several, as Alembic documents
    owner.dispose()
    assert differences == []


def test_down_and_up_again(owner: Engine, owner_url: str) -> None:
    with owner.connect() as connection:
        config = database._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('access_log.entry')")) is None
    owner.dispose()
    assert migrate(owner_url) == (None, NEWEST)
    check_schema(owner_url)


def test_a_log_whose_keys_were_changed_does_not_go_back(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(
            text("INSERT INTO access_log.key_change (log, epoch, index, document) VALUES (1, 2, 0, '{}')")
        )
    with owner.connect() as connection:
        config = database._config()
        config.attributes["connection"] = connection
        with pytest.raises(RuntimeError, match="signing keys were changed"):
            command.downgrade(config, "0005")
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM access_log.key_change")) == 1
    owner.dispose()


def test_a_database_ahead_is_refused(owner: Engine, owner_url: str) -> None:
    with owner.begin() as connection:
        connection.execute(text("UPDATE public.alembic_version SET version_num = '9999'"))
    owner.dispose()
    with pytest.raises(SchemaError, match="ahead"):
        migrate(owner_url)
    with pytest.raises(SchemaError, match="ahead"):
        check_schema(owner_url)


def test_a_database_behind_is_refused(owner: Engine, owner_url: str) -> None:
    with owner.begin() as connection:
        connection.execute(text("DELETE FROM public.alembic_version"))
    owner.dispose()
    with pytest.raises(SchemaError, match="behind"):
        check_schema(owner_url)


def test_a_database_that_is_down_is_named() -> None:
    with pytest.raises(DatabaseDownError, match="cannot be reached"):
        check_schema("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
