"""From nothing to a vault that runs, as often as wanted; what is missing is said before all else."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.conftest import PASSPHRASE
from tests.vault.server.commands import CommandLine
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings


@pytest.fixture
def empty(
    postgres: EmbeddedDatabase,
    vault_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:
    """On a database nobody migrated yet."""
    name = f"empty_{uuid4().hex}"
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER {OWNER}"))
    settings = vault_settings.model_copy(
        update={
            "database_url": postgres.url(APPLICATION, name),
            "owner_database_url": postgres.url(OWNER, name),
        }
    )
    yield CommandLine(settings, monkeypatch, capsys)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _schemas(command: CommandLine) -> set[str]:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    try:
        return set(inspect(engine).get_schema_names())
    finally:
        engine.dispose()


def _set_revision(command: CommandLine, revision: str) -> None:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE public.alembic_version SET version_num = :new"), {"new": revision})
    engine.dispose()


def test_an_empty_database_becomes_a_vault_and_stays_one(empty: CommandLine) -> None:
    made = empty.good("migrate")
    assert made["before"] is None
    assert made["log_key"].startswith("creditvault.test/log+")
    assert empty.settings.keyring_path.stat().st_mode & 0o777 == 0o600
    keyring = empty.settings.keyring_path.read_bytes()
    again = empty.good("migrate")
    assert again == {**made, "before": made["after"]}
    assert empty.settings.keyring_path.read_bytes() == keyring
    ran = empty("migrate")
    assert "keys and log are ready" in ran.out
    assert made["log_key"] in ran.out
    assert empty.good("log", "fsck")["sound"]


def test_without_a_passphrase_it_says_how_to_make_one_and_makes_nothing(empty: CommandLine) -> None:
    empty.set(passphrase_file=None)
    line = empty.refused("migrate")
    assert f"head -c 32 /dev/urandom | base64 > {empty.settings.home}/passphrase" in line
    assert f"export CREDITVAULT_PASSPHRASE_FILE={empty.settings.home}/passphrase" in line
    assert "access_log" not in _schemas(empty)
    assert not empty.settings.keyring_path.exists()


def test_an_empty_passphrase_is_none(empty: CommandLine) -> None:
    assert empty.settings.passphrase_file is not None
    empty.settings.passphrase_file.write_text("\n")
    assert "no passphrase" in empty.refused("migrate")


def test_a_passphrase_that_others_can_read_is_refused(empty: CommandLine) -> None:
    assert empty.settings.passphrase_file is not None
    empty.settings.passphrase_file.chmod(0o644)
    assert "chmod 600" in empty.refused("migrate")
    assert "access_log" not in _schemas(empty)


def test_a_wrong_passphrase_is_refused_before_the_schema_changes(
    empty: CommandLine, creditvault: CommandLine
) -> None:
    assert creditvault.settings.keyring_path.exists()
    empty.set(database_url=empty.settings.database_url, owner_database_url=empty.settings.owner_database_url)
    assert empty.settings.passphrase_file is not None
    empty.settings.passphrase_file.write_text("another")
    line = empty.refused("migrate")
    assert "the passphrase does not open the keyring" in line
    assert PASSPHRASE not in line
    assert "access_log" not in _schemas(empty)


def test_a_lost_keyring_is_not_replaced_by_an_empty_one(creditvault: CommandLine) -> None:
    path = creditvault.settings.keyring_path
    away = path.rename(path.with_suffix(".away"))
    line = creditvault.refused("migrate")
    assert f"the keyring {path} is missing" in line
    assert "put it back from its newest copy" in line
    assert not path.exists()
    away.rename(path)
    assert creditvault.good("migrate")["keyring"] == str(path)


def test_migrations_need_the_owner(bare: CommandLine) -> None:
    bare.set(owner_database_url=None)
    assert "CREDITVAULT_OWNER_DATABASE_URL" in bare.refused("migrate")


def test_a_database_ahead_of_this_release_is_left_alone(creditvault: CommandLine) -> None:
    _set_revision(creditvault, "9999")
    for command in (("migrate",), ("body", "list"), ("worker",), ("log", "fsck")):
        assert "ahead of this release" in creditvault.refused(*command)


def test_a_database_that_was_never_migrated_says_so(empty: CommandLine) -> None:
    for command in (("body", "list"), ("worker",), ("log", "show")):
        assert "run `creditvault migrate`" in empty.refused(*command)


def test_a_migrated_database_without_keys_says_so(bare: CommandLine, creditvault: CommandLine) -> None:
    assert bare.settings.owner_database_url is not None
    engine = create_engine(bare.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM vault.system_key"))
    engine.dispose()
    assert "run `creditvault migrate`" in creditvault.refused("body", "list")


def test_a_database_that_is_down_says_what_to_do(creditvault: CommandLine, tmp_path: Path) -> None:
    creditvault.set(database_url=f"postgresql+psycopg://app@/vault?host={tmp_path}")
    for command in (("body", "list"), ("log", "show"), ("worker",)):
        assert "start PostgreSQL" in creditvault.refused(*command)
