"""`creditvault keys expire`: says what is due, destroys it, and says of what it must not destroy why."""

from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from tests.vault.server.commands import CommandLine

_HUNG = (
    "INSERT INTO vault.subject (subject_id, wrapped_key, root_version, stream_id) VALUES"
    " ('00000000-0000-4000-8000-000000000001', '\\x00', 1, '\\x00');"
    "INSERT INTO vault.record (subject_id, record_id, version, category, furnisher, reference, content,"
    " basis, display_from, display_until, how_counted, state, expiry_id, wrapped_key, key_check, fields,"
    " sealed)"
    " VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 1, 'FIN',"
    " '00000000-0000-4000-8000-000000000003', '\\x00', '\\x00', 'CRI-29', '2024-01-01', NULL, 'as long as',"
    " 'shown', 202402, '\\x00', '\\x00', '{}', '{}')"
)


def _sql(command: CommandLine, *statements: str) -> None:
    engine = create_engine(str(command.settings.owner_database_url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_months_that_are_over_are_listed_and_destroyed(creditvault: CommandLine) -> None:
    nothing = creditvault("keys", "expire", "--dry-run", "--json")
    assert (nothing.code, nothing.json()) == (0, [])
    assert "expired months " in creditvault("doctor").out
    _sql(
        creditvault,
        "INSERT INTO vault.expiry_key (expiry_id, wrapped) VALUES (202401, '\\x00'), (202402, '\\x00')",
        *_HUNG.split(";"),
    )
    doctor = {one["name"]: one for one in creditvault("doctor", "--json").json()}["expired months"]
    assert doctor["state"] == "fail"
    assert "2 months are over" in doctor["says"]
    due = creditvault("keys", "expire", "--dry-run", "--json")
    assert due.code == 0
    assert [(one["month"], one["records"], one["lasting"]) for one in due.json()] == [
        (202401, 0, 0),
        (202402, 1, 1),
    ]
    assert "202402" in creditvault("keys", "expire", "--dry-run").out
    # What may still be shown and does not open keeps its month's key, and everybody is told.
    with capture_logs() as events:
        ran = creditvault("keys", "expire", "--json")
    assert [one["event"] for one in events] == ["records_not_carried", "month_destroyed", "month_held_up"]
    assert ran.code == 1
    assert [one["month"] for one in ran.json()["destroyed"]] == [202401]
    assert [(one["month"], one["lasting"]) for one in ran.json()["held_up"]] == [(202402, 1)]
    assert ran.json()["carried"] == {"records": 0, "stuck": 1, "shortened": 0}
    _sql(creditvault, "UPDATE vault.record SET state = 'annulled'")
    again = creditvault("keys", "expire")
    assert again.code == 0
    assert "202402 destroyed with 1 records; final on " in again.out
    assert creditvault("keys", "expire", "--dry-run", "--json").json() == []
