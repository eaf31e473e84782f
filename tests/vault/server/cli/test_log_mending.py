"""A log mended from the command line: what follows from its entries, and entries from the published log."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.vault.server.commands import CommandLine


@pytest.fixture
def filled(creditvault: CommandLine) -> CommandLine:
    """Three entries of real acts."""
    for number in range(3):
        added = creditvault(
            "basis", "add", "--code", f"act-{number}", "--title", "Act", "--article", "1",
            "--from", "2024-01-01", "--purpose", "court-enforcement", "--category", "FIN",
        )  # fmt: skip
        assert added.code == 0
    return creditvault


def _as_owner(command: CommandLine, *statements: str) -> None:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE access_log.entry DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_a_whole_log_needs_no_mending(filled: CommandLine) -> None:
    assert "nothing to do" in filled("log", "rebuild").out
    assert filled.good("log", "rebuild")["changed"] is False
    assert filled.good("log", "fsck")["size"] == 3


def test_it_is_looked_at_first_and_changed_when_told_to(filled: CommandLine) -> None:
    _as_owner(filled, "UPDATE access_log.stream SET seq = 1 WHERE kind = 0")
    _as_owner(filled, "UPDATE access_log.head SET chain = decode(repeat('07', 32), 'hex')")
    looked = filled("log", "rebuild", "--dry-run")
    assert looked.code == 0
    assert "head: does not follow from the entries: chain" in looked.out
    assert "streams: does not follow from the entries: 1 rows" in looked.out
    assert "add --yes" in filled.refused("log", "rebuild")
    assert filled("log", "fsck").code == 1
    done = filled.good("log", "rebuild", "--yes")
    assert (done["changed"], done["head"], done["streams"], done["declared"]) == (True, ["chain"], 1, 3)
    report = filled.good("log", "fsck")
    assert (report["sound"], report["size"], report["raised"]) == (True, 4, 4)


def test_entries_that_do_not_verify_are_left_alone(filled: CommandLine) -> None:
    _as_owner(
        filled,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = 1",
    )
    ran = filled("log", "rebuild", "--yes")
    assert ran.code == 1
    assert "NOT SOUND, nothing was changed: entry " in ran.err
    told = filled("log", "rebuild", "--yes", "--json")
    assert (told.code, told.json()["index"]) == (1, 2)


def test_the_owner_is_needed(filled: CommandLine) -> None:
    filled.set(owner_database_url=None)
    assert "CREDITVAULT_OWNER_DATABASE_URL" in filled.refused("log", "rebuild")


def test_nothing_is_imported_where_nothing_is_missing(filled: CommandLine, tmp_path: Path) -> None:
    published = str(tmp_path / "published")
    assert filled("log", "publish", published).code == 0
    done = filled.good("log", "reimport", published)
    assert (done["held"], done["missing"], done["imported"], done["declared"]) == (3, 0, 0, None)
    assert "nothing is missing" in filled("log", "reimport", published).out


def test_a_database_that_lost_its_end_gets_it_back(filled: CommandLine, tmp_path: Path) -> None:
    published = str(tmp_path / "published")
    assert filled("log", "publish", published).code == 0
    _as_owner(
        filled,
        "DELETE FROM access_log.entry",
        "DELETE FROM access_log.payload",
        "UPDATE access_log.stream SET month = 0, seq = 0, last_leaf = decode(repeat('00', 32), 'hex')",
        "UPDATE access_log.head SET size = 0, time = 0, frontier = '',"
        " chain = sha256('\\x11'::bytea || convert_to(origin, 'UTF8'))",
    )
    assert "log reimport" in filled.refused("body", "list")
    looked = filled("log", "reimport", published, "--dry-run")
    assert "3 entries from 0 on are missing, and would be imported: they verify" in looked.out
    ran = filled("log", "reimport", published)
    assert ran.code == 0, ran.err
    assert "3 entries from 0 on were imported; 1 streams moved" in ran.out
    assert "entry 3 declares their payloads lost" in ran.out
    report = filled.good("log", "fsck")
    assert (report["size"], report["lost"], report["payloads"]) == (4, 3, 1)
    assert filled("body", "list").code == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/not/there", "is no directory"),
        ("http://127.0.0.1:9/log", "cannot be reached"),
        ("https://", "address"),
        ("ftp://vault.example/log", "http"),
    ],
)
def test_a_place_that_is_none_is_one_line(filled: CommandLine, place: str, said: str) -> None:
    assert said in filled.refused("log", "reimport", place)


def test_a_published_log_that_was_altered_is_named(filled: CommandLine, tmp_path: Path) -> None:
    published = tmp_path / "published"
    assert filled("log", "publish", str(published)).code == 0
    (bundle,) = (published / "tile" / "entries").rglob("*/3")
    raw = bytearray(bundle.read_bytes())
    raw[108 + 90] ^= 1
    bundle.chmod(0o600)
    bundle.write_bytes(bytes(raw))
    _as_owner(
        filled,
        "DELETE FROM access_log.entry WHERE index > 0",
        "DELETE FROM access_log.payload WHERE index > 0",
        "UPDATE access_log.head SET size = 0, time = 0, frontier = '',"
        " chain = sha256('\\x11'::bytea || convert_to(origin, 'UTF8'))",
        "DELETE FROM access_log.entry",
    )
    ran = filled("log", "reimport", str(published))
    assert ran.code == 1
    assert "NOT SOUND, nothing was imported: entry " in ran.err
    (published / "checkpoint").write_text("nonsense")
    assert filled("log", "reimport", str(published)).code == 2
