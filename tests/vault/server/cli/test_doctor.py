"""Each thing the doctor looks at, sound and not: it says what to do, and looks at the rest as well."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from access_log.lock import OutsideLock, Raised
from tests.vault.server.commands import CommandLine
from vault.server import examination
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.examination import FAIL, OK, WARN

Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 -- as shutil's


def _checks(command: CommandLine) -> dict[str, tuple[str, str]]:
    ran = command("doctor", "--json")
    found = {one["name"]: (one["state"], one["says"]) for one in ran.json()}
    assert ran.code == (2 if FAIL in {state for state, _ in found.values()} else 0)
    return found


def _as_owner(command: CommandLine, statement: str) -> None:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_sound_vault(creditvault: CommandLine) -> None:
    ran = creditvault("doctor")
    assert ran.code == 0
    assert ran.err == ""
    states = {line.split()[1]: line.split()[0] for line in ran.out.splitlines()}
    assert {name for name, state in states.items() if state == OK} >= {
        "catalogue", "keyring", "schema", "role", "append-only", "clock", "log", "partitions", "vault",
    }  # fmt: skip
    assert {name for name, state in states.items() if state == WARN} >= {"issuer", "mode", "worker"}


def test_nothing_is_there_yet(
    creditvault: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "not" / "there"
    monkeypatch.setenv("CREDITVAULT_HOME", str(home))
    creditvault.set(database_url=None, owner_database_url=None, passphrase_file=None)
    found = _checks(creditvault)
    assert found["database"][0] == found["keyring"][0] == found["outside lock"][0] == FAIL
    assert "run `creditvault migrate`" in found["database"][1]
    assert not home.exists()  # it looks, and makes nothing


def test_the_role_that_owns_the_log_is_refused(
    creditvault: CommandLine, postgres: EmbeddedDatabase, database_name: str
) -> None:
    for role in (OWNER, "postgres"):
        creditvault.set(database_url=postgres.url(role, database_name))
        state, says = _checks(creditvault)["role"]
        assert state == FAIL
        assert "CREDITVAULT_DATABASE_URL" in says


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT UPDATE ON access_log.entry TO {role}",
        "GRANT UPDATE (entry) ON access_log.entry TO {role}",
        "GRANT DELETE ON access_log.entry_0 TO {role}",
        "GRANT TRUNCATE ON access_log.entry TO {role}",
    ],
)
def test_a_right_too_many_is_found(creditvault: CommandLine, grant: str) -> None:
    _as_owner(creditvault, grant.format(role=APPLICATION))
    assert _checks(creditvault)["role"][0] == FAIL


def test_a_right_too_few_is_found(creditvault: CommandLine) -> None:
    _as_owner(creditvault, f"REVOKE INSERT ON access_log.entry FROM {APPLICATION}")
    state, says = _checks(creditvault)["role"]
    assert state == FAIL
    assert "may not add" in says


def test_disabled_triggers_are_found(creditvault: CommandLine) -> None:
    _as_owner(creditvault, "ALTER TABLE access_log.entry DISABLE TRIGGER USER")
    state, says = _checks(creditvault)["append-only"]
    assert state == FAIL
    assert "fsck" in says


def test_a_database_behind_the_outside_lock_is_found(creditvault: CommandLine) -> None:
    path = creditvault.settings.outside_lock_path
    held = OutsideLock(path).read()
    path.unlink()
    OutsideLock(path).create(Raised(held.size + 3, bytes(32), held.note))
    found = _checks(creditvault)
    assert found["outside lock"][0] == OK
    state, says = found["vault"]
    assert state == FAIL
    assert "behind the outside lock" in says


def test_a_missing_outside_lock_is_found(creditvault: CommandLine) -> None:
    creditvault.settings.outside_lock_path.unlink()
    assert "missing" in _checks(creditvault)["outside lock"][1]


def test_a_keyring_that_others_can_read_is_found(creditvault: CommandLine) -> None:
    creditvault.settings.keyring_path.chmod(0o640)
    state, says = _checks(creditvault)["keyring"]
    assert state == FAIL
    assert "chmod 600" in says


def test_a_keyring_that_others_can_replace_is_found(creditvault: CommandLine) -> None:
    creditvault.settings.home.chmod(0o777)
    state, says = _checks(creditvault)["keyring"]
    assert state == WARN
    assert "chmod go-w" in says


def test_a_wrong_passphrase_is_found(creditvault: CommandLine) -> None:
    assert creditvault.settings.passphrase_file is not None
    creditvault.settings.passphrase_file.write_text("another")
    assert "does not open the keyring" in _checks(creditvault)["keyring"][1]


def test_a_database_that_is_down_leaves_the_rest_looked_at(creditvault: CommandLine, tmp_path: Path) -> None:
    creditvault.set(database_url=f"postgresql+psycopg://app@/vault?host={tmp_path}")
    found = _checks(creditvault)
    assert "start PostgreSQL" in found["schema"][1]
    assert found["keyring"][0] == OK
    assert found["vault"][0] == FAIL


def test_a_schema_ahead_is_found(creditvault: CommandLine) -> None:
    _as_owner(creditvault, "UPDATE public.alembic_version SET version_num = '9999'")
    assert "ahead of this release" in _checks(creditvault)["schema"][1]


def test_a_catalogue_that_is_not_there_is_found(creditvault: CommandLine) -> None:
    creditvault.set(pack="zz")
    assert "there is no such pack" in _checks(creditvault)["catalogue"][1]


@pytest.mark.parametrize(
    ("issuer", "state"),
    [
        ("https://vault.example", OK),
        ("http://127.0.0.1:8440", WARN),
        ("http://localhost", WARN),
        ("http://[::1]:8440", WARN),
        ("http://127.0.0.1.elsewhere.example", FAIL),
        ("http://localhost.elsewhere.example", FAIL),
    ],
)
def test_the_issuer(creditvault: CommandLine, issuer: str, state: str) -> None:
    settings = creditvault.settings.model_copy(update={"issuer": issuer})
    assert next(one for one in examination.examine(settings) if one.name == "issuer").state == state


@pytest.mark.parametrize(("free", "state"), [(10**8, FAIL), (10**9, WARN), (10**11, OK)])
def test_the_room_on_the_disk(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(10**12, 0, free))
    assert _checks(creditvault)["disk"][0] == state


@pytest.mark.parametrize(("seconds", "state"), [(0, OK), (3, WARN), (-30, FAIL)])
def test_clocks_that_differ(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch, seconds: int, state: str
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    assert _checks(creditvault)["clock"][0] == state


def test_a_newest_entry_in_the_future_is_found(creditvault: CommandLine) -> None:
    _as_owner(
        creditvault,
        "UPDATE access_log.head SET time = (extract(epoch FROM now()) * 1000)::bigint + 3600000",
    )
    assert "in the future" in _checks(creditvault)["log"][1]


def test_a_log_that_is_missing_is_found(creditvault: CommandLine) -> None:
    _as_owner(creditvault, "DELETE FROM access_log.head")
    assert _checks(creditvault)["log"][0] == FAIL


@pytest.mark.parametrize(("left", "state"), [(1, WARN), (0, FAIL), (8_000_000, OK)])
def test_partitions_that_run_out(creditvault: CommandLine, left: int, state: str) -> None:
    partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_log.entry'::regclass"
    end = f"({partitions}) * access_log.partition_width()"
    _as_owner(creditvault, f"UPDATE access_log.head SET size = {end} - {left}")
    assert _checks(creditvault)["partitions"][0] == state


def test_a_worker_that_was_heard(creditvault: CommandLine) -> None:
    _as_owner(creditvault, "INSERT INTO jobs.procrastinate_workers DEFAULT VALUES")
    assert _checks(creditvault)["worker"][0] == OK


def test_secrets_in_the_environment_are_warned_of(creditvault: CommandLine) -> None:
    assert _checks(creditvault)["secrets"][0] == OK
    creditvault.set(owner_database_url="postgresql+psycopg://creditvault_owner:hunter2@/vault")
    creditvault.set(sign_in_secret=uuid4().hex)
    state, says = _checks(creditvault)["secrets"]
    assert state == WARN
    assert "CREDITVAULT_OWNER_DATABASE_URL, CREDITVAULT_SIGN_IN_SECRET" in says
    assert "hunter2" not in says


def test_root_and_missing_sign_in_are_warned_of(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    creditvault.set(demo=None)
    found = _checks(creditvault)
    assert found["user"][0] == found["sign-in"][0] == WARN


@pytest.mark.parametrize(
    ("provider", "asked"), [("openbao", "CREDITVAULT_OPENBAO_URL"), ("pkcs11", "CREDITVAULT_PKCS11_LIBRARY")]
)
def test_what_holds_the_keys_is_looked_at_by_its_name(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch, provider: str, asked: str
) -> None:
    monkeypatch.setenv("CREDITVAULT_KEY_PROVIDER", provider)
    found = _checks(creditvault)
    assert found[provider][0] == FAIL
    assert asked in found[provider][1]
    assert "keyring" not in found


@pytest.mark.parametrize("provider", ["openbao", "soft_token"])
def test_a_provider_that_answers_is_sound(
    creditvault: CommandLine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, provider: str
) -> None:
    for name, value in request.getfixturevalue(provider).settings("creditvault-doctor").items():
        monkeypatch.setenv(f"CREDITVAULT_{name.upper()}", str(value))
    state, says = _checks(creditvault)["openbao" if provider == "openbao" else "pkcs11"]
    assert (state, says) == (OK, "the key provider answers, and has no root key yet")
