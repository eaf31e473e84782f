"""`creditvault consent verify-copy`: what a copy states, or that it does not verify."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent.copies import CopySigner
from consent.journal import digest
from tests.consent.test_record import record
from vault.server.cli.main import run

SIGNER = CopySigner(bytes(range(32)))
RECORD = json.dumps(record())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A copy and the keys."""
    copy, keys = tmp_path / "consent.jws", tmp_path / "keys.json"
    copy.write_text(SIGNER.sign(RECORD.encode()) + "\n")
    keys.write_text(json.dumps({"keys": [SIGNER.public_key()]}))
    return copy, keys


def test_it_says_what_a_copy_states(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    copy, keys = files
    assert run(["consent", "verify-copy", str(copy), "--keys", str(keys)]) == 0
    said = capsys.readouterr().out
    for words in ("Fictitious Bank", "Fictitious Registry", "credit-granting", "FIN.type", digest(RECORD)):
        assert words in said
    assert f"given {datetime(2026, 7, 1, 12, tzinfo=UTC).isoformat()}" in said
    assert run(["consent", "verify-copy", str(copy), "--keys", str(keys), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"digest": digest(RECORD), "record": json.loads(RECORD)}


def test_a_copy_that_does_not_verify_is_code_1_and_one_line(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    copy, keys = files
    copy.write_text(CopySigner(bytes(32)).sign(RECORD.encode()))
    assert run(["consent", "verify-copy", str(copy), "--keys", str(keys)]) == 1
    assert "does not verify" in capsys.readouterr().err


def test_keys_that_are_none_are_code_2(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    copy, keys = files
    keys.write_text("not JSON")
    assert run(["consent", "verify-copy", str(copy), "--keys", str(keys)]) == 2
    assert "is not a JSON object" in capsys.readouterr().err
