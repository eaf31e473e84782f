"""`creditvault log endings`: the file is examined, and made anew from a database that is whole."""

import json
from pathlib import Path

from access_log.endings import ASSUMED, EndingsFile
from tests.consent.registers import USCC, jwks
from tests.vault.server.commands import CommandLine


def test_it_is_examined_and_made_anew(creditvault: CommandLine, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(jwks()))
    body = creditvault.good(
        "body", "add", "--name", "Fictitious Bank", "--uscc", USCC, "--kind", "bank", "--jwks", str(keys),
        "--address", "1 Test Street", "--contact", "privacy@bank.example",
    )["body"]  # fmt: skip
    assert creditvault("body", "suspend", body, "--reason", "an audit").code == 0
    path = creditvault.settings.endings_of(1, "")
    assert creditvault.good("log", "endings")["kinds"] == {"body_suspended": 1}
    # What is there is never written over.
    assert "is there already" in creditvault.refused("log", "endings", "--begin")
    path.unlink()
    assert "is missing" in creditvault.refused("log", "endings")
    assert "is missing" in creditvault.refused("body", "reinstate", body, "--reason", "it passed")
    assert creditvault.good("log", "endings", "--begin")["kept"] == 1
    (kept,) = EndingsFile(path, creditvault.settings.log_origin).each()
    assert (kept.leaf, str(kept.object)) == (ASSUMED, body)
    assert creditvault("body", "reinstate", body, "--reason", "it passed").code == 0
    assert "1 body reinstated" in creditvault("log", "endings").out


def test_one_that_is_damaged_says_so(creditvault: CommandLine) -> None:
    path = creditvault.settings.endings_of(1, "")
    path.write_bytes(b"junk" + path.read_bytes()[4:512])
    assert "is damaged" in creditvault.refused("log", "endings")
    doctor = creditvault("doctor", "--json")
    assert doctor.code != 0
    assert any(each["name"] == "endings" and each["state"] == "fail" for each in json.loads(doctor.out))
