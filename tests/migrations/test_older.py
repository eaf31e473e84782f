"""A vault that an older release left, with data in its tables, brought to this one: nothing is lost."""

import asyncio
import json
import lzma
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from access_log.endings import ASSUMED, EndingsFile
from consent import bodies
from consent.endings import Kind
from demo.people import Invented
from tests.conftest import settings_in
from tests.crash import killer
from tests.crash.commands import killed
from tests.faults.dumps import restored
from tests.migrations.recording import (
    ASKED,
    CAST,
    DUMP,
    FACTS,
    FILES,
    GRANTING,
    STATEMENTS,
    counted,
    payloads,
)
from tests.migrations.revisions import NEWEST
from tests.migrations.statements import must_be_given, objections
from tests.vault.served import site
from tests.vault.server.commands import CommandLine
from vault.crypto.blind import DEMO_ID, Identifier
from vault.records.adopting import DIGEST, SUBJECT_HASH
from vault.records.keys import INDEX
from vault.rights.own_records import own_records
from vault.server.database import older_than_endings
from vault.server.embedded import EmbeddedDatabase
from vault.server.providers import keyring
from vault.server.settings import Settings

_OLDER = Path(__file__).with_name("older")
_MAY_LOSE = {"vault.citizen_session"}  # whoever is signed in signs in again
RELEASES = sorted(path.name for path in _OLDER.iterdir() if path.is_dir())
BEFORE = RELEASES[-1:]
"""The release before this one: docs/operations.md promises that it goes on while the schema is brought up."""


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    """The folder of an older release's vault."""
    return _OLDER / str(request.param)


@pytest.fixture
def facts(release: Path) -> dict[str, Any]:
    """What that release knew of it."""
    return dict(json.loads((release / FACTS).read_text()))


@pytest.fixture
def older(
    release: Path,
    postgres: EmbeddedDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:
    """That vault, as its release left it; this one has done nothing yet."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in FILES if (release / name).exists()]:
        shutil.copy(release / name, home / name)
        (home / name).chmod(0o600)
    file = tmp_path / "older.dump"
    file.write_bytes(lzma.decompress((release / DUMP).read_bytes()))
    with restored(postgres, file, settings_in(home, postgres, "to_be_restored")) as settings:
        yield CommandLine(settings, monkeypatch, capsys)


def _owner(settings: Settings) -> str:
    assert settings.owner_database_url is not None
    return settings.owner_database_url


def test_a_vault_of_an_older_release_loses_nothing(older: CommandLine, facts: dict[str, Any]) -> None:
    if facts["revision"] != NEWEST:
        assert "run `creditvault migrate`" in older.refused("log", "fsck")
    done = older.good("migrate")
    assert (done["before"], done["after"]) == (facts["revision"], NEWEST)
    rows = counted(_owner(older.settings))
    fewer = {name for name, count in facts["rows"].items() if rows.get(name, 0) < count}
    assert fewer <= _MAY_LOSE
    for examination in ("fsck", "audit-streams"):
        report = older.good("log", examination)
        assert report["sound"], report["findings"]
        assert (report["payloads"], report["expired"], report["lost"]) == (report["size"], 0, 0)
    # What was ended before there was a file for it is in the file.
    kept = list(EndingsFile(older.settings.endings_of(1, ""), older.settings.log_origin).each())
    assert {(each.kind, str(each.object)) for each in kept} == {
        (Kind.CONSENT_WITHDRAWN, facts["withdrawn"]),
        (Kind.BODY_SUSPENDED, facts["suspended"]),
    }
    assert all((each.leaf == ASSUMED) == older_than_endings(facts["revision"]) for each in kept)


@pytest.mark.parametrize("release", BEFORE, indirect=True)
def test_the_release_before_goes_on_while_the_schema_is_brought_up(older: CommandLine, release: Path) -> None:
    before = json.loads((release / STATEMENTS).read_text())
    assert older("migrate").code == 0
    assert older.settings.database_url is not None
    assert objections(older.settings.database_url, before["sent"]) == {}
    after = must_be_given(_owner(older.settings))
    new = {table: set(after.get(table, ())) - set(given) for table, given in before["given"].items()}
    assert {table: columns for table, columns in new.items() if columns} == {}


def test_what_was_taken_away_too_early_is_objected_to(vault_settings: Settings) -> None:
    assert vault_settings.database_url is not None
    owner = create_engine(_owner(vault_settings))
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE vault.flag RENAME COLUMN raised_at TO at"))
        connection.execute(text("ALTER TABLE vault.watched DROP CONSTRAINT watched_pkey"))
        connection.execute(text("REVOKE DELETE ON access_log.payload FROM creditvault_app"))
        connection.execute(text("ALTER TABLE vault.flag ADD COLUMN why TEXT NOT NULL"))
    owner.dispose()
    sent = [
        "INSERT INTO vault.flag (flag_index, raised_at) VALUES (%(index)s, %(at)s)",
        "INSERT INTO vault.watched VALUES (%(log)s, 1) ON CONFLICT (log) DO NOTHING",
        "DELETE FROM access_log.payload WHERE log = %(log)s AND sealed LIKE '%%'::bytea",
        "SELECT size FROM vault.watched WHERE log = %(log)s",
    ]
    assert objections(vault_settings.database_url, sent).keys() == set(sent[:3])
    assert must_be_given(_owner(vault_settings))["vault.flag"] == ["at", "flag_index", "why"]


@pytest.mark.slow
async def test_it_serves_its_persons_and_bodies_as_before(
    older: CommandLine, facts: dict[str, Any], tmp_path: Path
) -> None:
    ran = older.start("migrate")
    assert ran.wait(60) == 0
    shutil.copy(older.settings.home / CAST, tmp_path / CAST)
    async with site(older.settings, tmp_path) as served:
        opened = await payloads(served)
        assert {index: opened.get(index) for index in facts["payloads"]} == facts["payloads"]
        asked = await served.bank(GRANTING)
        answer = await asked.ask()
        assert answer.status_code == httpx.codes.OK, answer.text
        assert [record["fields"] for record in answer.json()["records"]] == facts["contract"]
        assert served.receipt(answer.json()["receipt"]).index > facts["entries"]
        vault, person = served.world.vault, await served.world.person(ASKED)
        async with vault.engine.connect() as connection:
            suspended = await bodies.read_body(connection, served.world.cast["furnisher"].body_id)
        assert suspended is not None
        assert suspended.status == "suspended"
        former = keyring(older.settings)
        hashed = Identifier(DEMO_ID, Invented.of(ASKED).number)
        assert (
            vault.keys.subject_hashes([hashed])[0]
            == (await former.mac(SUBJECT_HASH, hashed.index_message(), 1)).value
        )
        name = DIGEST if await former.versions(DIGEST) else INDEX
        assert vault.keys.keyed_digests([b"reference"])[0] == (await former.mac(name, b"reference", 1)).value
        own, _ = await own_records(vault.log, vault.keys, person.subject_id)
        assert {record.record.category: record.record.fields for record in own}["FIN"] == {
            "type": "vehicle",
            "amount_class": "10k-50k",
            "contract_start": "2026-01-15",
            "contract_end": "2029-01-15",
            "status": "performing",
        }


@pytest.mark.slow
@pytest.mark.parametrize("release", ["0014"], indirect=True)
def test_a_migrate_that_was_killed_goes_on_by_itself(older: CommandLine, facts: dict[str, Any]) -> None:
    file = older.settings.endings_of(1, "")
    for step in killer.UPGRADING:
        asyncio.run(killed(older.settings, step, 1, "migrate"))
        assert older.settings.endings_owed.exists()
        assert file.exists() == (step == "after-first-endings")
    assert older.good("migrate")["before"] == NEWEST
    assert not older.settings.endings_owed.exists()
    kept = list(EndingsFile(file, older.settings.log_origin).each())
    assert {str(each.object) for each in kept} == {facts["withdrawn"], facts["suspended"]}
    file.unlink()
    assert "is missing: put its newest copy back" in older.refused("migrate")


def test_a_file_of_endings_that_should_be_there_is_never_begun_by_itself(
    older: CommandLine, facts: dict[str, Any]
) -> None:
    assert older("migrate").code == 0
    older.settings.endings_of(1, "").unlink()
    for command in (["migrate"], ["body", "reinstate", facts["suspended"], "--reason", "it passed"]):
        assert "is missing: put its newest copy back" in older.refused(*command)
    assert not older.settings.endings_of(1, "").exists()
