"""A database restored from a backup that lacks entries others were shown: refused, with what to do."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.flows.audit import check_whole, verify_published
from tests.flows.serving import Server, at_port, free_port, serving
from tests.flows.world import opened
from vault.server.embedded import EmbeddedDatabase
from vault.server.jobs import heartbeat
from vault.server.settings import Settings

_REFUSED = 2


@pytest.fixture
def backup(postgres: EmbeddedDatabase) -> Iterator[str]:
    """The name of a database to be: the copy of another."""
    name = f"backup_{uuid4().hex}"
    yield name
    _administer(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _administer(postgres: EmbeddedDatabase, statement: str) -> None:
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()


async def test_a_backup_is_refused_and_the_newest_database_is_not(
    vault_settings: Settings, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str, backup: str
) -> None:
    settings = at_port(vault_settings, free_port())
    async with opened(settings, tmp_path):
        pass
    _administer(postgres, f"CREATE DATABASE {backup} TEMPLATE {database_name}")
    async with opened(settings, tmp_path) as world:
        index = await heartbeat(world.log)
    assert settings.database_url is not None
    restored = make_url(settings.database_url).set(database=backup).render_as_string(hide_password=False)
    server = Server(settings.model_copy(update={"database_url": restored}), tmp_path / "backup.log")
    server.launch()
    assert await server.ended() == _REFUSED
    (said,) = [line for line in server.said().splitlines() if line.startswith("creditvault:")]
    assert f"it holds {index} entries, {index + 1} were raised" in said
    assert "Restore a newer backup" in said
    async with serving(settings, tmp_path / "server.log") as newest, opened(settings, tmp_path) as world:
        assert len(await check_whole(world.vault)) == index + 1
        await verify_published(world.vault, newest.url)
