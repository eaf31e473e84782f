"""`creditvault cases`: how they stand, and nothing of what was said."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import create_engine

from tests.vault.server.commands import CommandLine
from vault.records.tables import access_case

NOW = datetime(2026, 11, 3, 2, tzinfo=UTC)
OPEN, ANSWERED = uuid4(), uuid4()


def test_they_are_listed_and_shown(creditvault: CommandLine, owner_url: str) -> None:
    rows = [
        {"case_id": OPEN, "state": "open", "opened_index": 9, "answered_index": None},
        {"case_id": ANSWERED, "state": "answered", "opened_index": 5, "answered_index": 7},
    ]
    moments = {"opened_at": NOW, "changed_at": NOW + timedelta(days=1)}
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.execute(access_case.insert(), [{**row, **moments} for row in rows])
    engine.dispose()
    listed = creditvault.good("cases", "list")
    assert [(one["case_id"], one["state"]) for one in listed] == [
        (str(ANSWERED), "answered"),
        (str(OPEN), "open"),
    ]
    assert [one["case_id"] for one in creditvault.good("cases", "list", "--state", "open")] == [str(OPEN)]
    assert creditvault.good("cases", "show", str(ANSWERED))["answered_index"] == 7
    table = creditvault("cases", "list").out
    assert str(OPEN) in table
    assert "2026-11-03 02:00" in table
    assert str(ANSWERED) in creditvault("cases", "show", str(ANSWERED)).out
    assert "there is no such case" in creditvault.refused("cases", "show", str(uuid4()))
