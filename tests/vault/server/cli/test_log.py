"""The log from the command line: shown as it is published, examined to the last payload."""

import pytest
from sqlalchemy import create_engine, text

from tests.vault.server.commands import CommandLine


@pytest.fixture
def filled(creditvault: CommandLine) -> CommandLine:
    """Five entries of real acts."""
    for number in range(5):
        added = creditvault(
            "basis", "add", "--code", f"act-{number}", "--title", "Act", "--article", "1",
            "--from", "2024-01-01", "--purpose", "court-enforcement", "--category", "FIN",
        )  # fmt: skip
        assert added.code == 0
    return creditvault


def _tamper(command: CommandLine, statement: str) -> None:
    assert command.settings.owner_database_url is not None
    engine = create_engine(command.settings.owner_database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE access_log.entry DISABLE TRIGGER USER"))
        connection.execute(text(statement))
    engine.dispose()


def test_entries_are_shown(filled: CommandLine) -> None:
    shown = filled.good("log", "show", "--last", "3")
    assert [one["index"] for one in shown] == [2, 3, 4]
    assert all(len(bytes.fromhex(one["entry"])) == 106 for one in shown)
    (one,) = filled.good("log", "show", "--index", "1")
    assert (one["index"], one["type"]) == (1, "authorization")
    assert one["label"] == one["entry"][84:148]
    assert len(filled("log", "show").out.splitlines()) == 6


def test_an_empty_log_is_shown_and_sound(creditvault: CommandLine) -> None:
    assert creditvault.good("log", "show") == []
    assert creditvault.good("log", "fsck")["sound"]


def test_an_entry_that_is_not_there_is_refused(filled: CommandLine) -> None:
    assert "the log has 5 entries" in filled.refused("log", "show", "--index", "5")


def test_a_sound_log(filled: CommandLine) -> None:
    ran = filled("log", "fsck")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "sound"
    report = filled.good("log", "fsck")
    assert (report["size"], report["raised"], report["payloads"], report["streams"]) == (5, 5, 5, 2)
    assert report["placed"]


def test_streams_that_are_right(filled: CommandLine) -> None:
    ran = filled("log", "audit-streams")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "sound"
    report = filled.good("log", "audit-streams")
    assert (report["sound"], report["belonging"]) == (True, 5)
    assert "belonging" not in filled.good("log", "fsck")


def test_a_covert_stream_of_no_case_is_named(filled: CommandLine) -> None:
    _tamper(
        filled,
        "INSERT INTO access_log.stream (stream_id, kind, master, month, seq, last_leaf)"
        " VALUES (decode(repeat('ab', 16), 'hex'), 3, 1, 0, 0, decode(repeat('00', 32), 'hex'))",
    )
    ran = filled("log", "audit-streams")
    assert ran.code == 1
    assert "the log: a covert stream belongs to no case" in ran.out
    assert filled("log", "fsck").code == 0


def test_an_altered_payload_is_named(filled: CommandLine) -> None:
    _tamper(
        filled,
        "UPDATE access_log.payload SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)"
        " WHERE index = 3",
    )
    ran = filled("log", "fsck")
    assert ran.code == 1
    assert "entry 3: its sealed payload was altered" in ran.out
    assert "NOT SOUND" in ran.out
    report = filled("log", "fsck", "--json").json()
    assert [one["index"] for one in report["findings"]] == [3]


def test_an_expiry_month_that_was_altered_is_named(filled: CommandLine) -> None:
    """It leads to the key of another month, or to none."""
    _tamper(filled, "UPDATE access_log.payload SET expiry_id = expiry_id + 1 WHERE index = 2")
    report = filled("log", "fsck", "--json").json()
    assert [one["index"] for one in report["findings"]] == [2]


def test_a_log_that_would_not_start_is_still_examined(filled: CommandLine) -> None:
    _tamper(
        filled,
        "UPDATE access_log.entry SET entry = set_byte(entry, 90, get_byte(entry, 90) # 1) WHERE index = 4",
    )
    assert "run `creditvault log fsck`" in filled.refused("body", "list")
    ran = filled("log", "fsck")
    assert ran.code == 1
    assert "entry 4: " in ran.out
    assert "places in streams were not checked" in ran.out


def test_without_its_keys_nothing_is_examined(filled: CommandLine) -> None:
    filled.settings.keyring_path.unlink()
    assert "the keyring" in filled.refused("log", "fsck")
