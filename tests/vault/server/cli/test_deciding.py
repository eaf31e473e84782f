"""`creditvault decide`: from options or a file, for people or as JSON; nothing is written."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.consent.registers import jwks
from tests.vault.server.commands import CommandLine


@pytest.fixture
def request_of(creditvault: CommandLine, tmp_path: Path) -> dict[str, Any]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(jwks()))
    body = creditvault.good(
        "body", "add", "--name", "Fictitious Bank", "--uscc", "91999999MA00000079", "--kind", "bank",
        "--jwks", str(keys), "--address", "1 Test Street", "--contact", "privacy@bank.example",
        "--purpose", "credit-granting",
    )["body"]  # fmt: skip
    officer = creditvault.good("officer", "add", "--body", body, "--name", "Clerk", "--role", "loan officer")
    return {
        "body": body,
        "officer": officer["officer"],
        "purpose": "credit-granting",
        "fields": ["FIN.type"],
        "case_reference": "LOAN-1",
        "consent": str(uuid4()),
    }


def test_every_rule_is_shown_and_nothing_is_written(
    creditvault: CommandLine, request_of: dict[str, Any], tmp_path: Path, owner_url: str
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request_of))
    before = _size(owner_url)
    ran = creditvault("decide", str(file), "--explain", "--json")
    assert ran.code == 1
    found = ran.json()
    assert found["refused_by"] == "3.1"
    outcomes = {one["rule"]: one["outcome"] for one in found["rules"]}
    assert (outcomes["1.1"], outcomes["3.1"], outcomes["4.3"]) == ("holds", "fails", "not asked")
    people = creditvault("decide", str(file), "--explain")
    assert people.code == 1
    assert "would be refused by RULES 3.1" in people.out
    assert "The consent was given to this body." in people.out
    suspended = {**request_of, "body": str(uuid4())}
    options = [part for name, value in suspended.items() for part in _option(name, value)]
    outcome = creditvault("decide", *options)
    assert outcome.out == "would be refused by RULES 1.1\n"
    assert creditvault("decide", *options, "--json").json() == {"refused_by": "1.1"}
    assert _size(owner_url) == before


def test_requests_that_are_none(creditvault: CommandLine, request_of: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    for broken, words in (
        ({**request_of, "subject": "990000199305130026"}, "subject"),
        ({**request_of, "body": "nobody"}, "body"),
        ({name: value for name, value in request_of.items() if name != "purpose"}, "purpose"),
        ({**request_of, "authorization": str(uuid4())}, "name one of the two"),
    ):
        file.write_text(json.dumps(broken))
        refused = creditvault.refused("decide", str(file))
        assert words in refused
        assert "990000199305130026" not in refused


def _option(name: str, value: Any) -> list[str]:
    if name == "fields":
        return [part for each in value for part in ("--field", each)]
    return [f"--{name.replace('_', '-')}", str(value)]


def _size(owner_url: str) -> int:
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT size FROM access_log.head")).scalar_one())
    finally:
        engine.dispose()
