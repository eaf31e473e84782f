"""`creditvault log rotate-key`, and what an inspector who has the old key does."""

import json
from pathlib import Path

import pytest

from access_log.cli import main as inspect
from access_log.verifier_keys import ML_DSA_44, VerifierKey
from tests.vault.server.commands import CommandLine


@pytest.fixture
def old_key(creditvault: CommandLine) -> str:
    return str(creditvault.good("migrate")["log_key"])


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = inspect([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


def test_an_inspector_follows_from_the_old_key_to_the_new(
    creditvault: CommandLine, old_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    changed = creditvault.good("log", "rotate-key", "--yes")
    assert (changed["epoch"], changed["index"], changed["resumed"]) == (2, 0, False)
    creditvault.good("log", "rotate-key", "--yes")
    creditvault.good("log", "publish", str(folder))
    code, said = inspected(capsys, "verify", folder, "--log-key", old_key)
    assert code == 1
    assert "signed with another key" in said
    assert "`python -m access_log follow-keys` establishes the new ones from yours" in said
    code, said = inspected(capsys, "follow-keys", folder, "--log-key", old_key)
    assert code == 0
    (tmp_path / "log.key").write_text(said)
    assert (folder / "key").read_text() in said
    assert inspected(capsys, "verify", folder, "--log-key", tmp_path / "log.key")[0] == 0
    code, said = inspected(capsys, "follow-keys", folder, "--log-key", old_key, "--json")
    found = json.loads(said)
    assert [change["index"] for change in found["changes"]] == [0, 1]
    assert found["keys"] == (folder / "key").read_text().split()
    code, said = inspected(capsys, "follow-keys", folder, "--log-key", found["keys"][0])
    assert code == 0
    assert "No change of keys retires yours" in said


def test_a_history_that_was_altered_is_refused(
    creditvault: CommandLine, old_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    creditvault.good("log", "rotate-key", "--yes")
    creditvault.good("log", "publish", str(folder))
    history = json.loads((folder / "keys").read_text())
    history["changes"][0]["document"] += " "
    (folder / "keys").write_text(json.dumps(history))
    code, said = inspected(capsys, "follow-keys", folder, "--log-key", old_key)
    assert code == 1
    assert "the document is not the one the entry commits to" in said
    (folder / "keys").write_text("{}")
    assert inspected(capsys, "follow-keys", folder, "--log-key", old_key)[0] == 1
    (folder / "keys").unlink()
    assert inspected(capsys, "follow-keys", folder, "--log-key", old_key)[0] == 2


def test_post_quantum_signatures_are_switched_on_and_introduced_by_a_change(
    creditvault: CommandLine, old_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    creditvault.set(log_ml_dsa=True)
    creditvault.good("log", "rotate-key", "--yes")
    creditvault.good("log", "publish", str(folder))
    code, said = inspected(capsys, "follow-keys", folder, "--log-key", old_key, "--json")
    assert code == 0
    post_quantum = json.loads(said)["keys"][1]
    assert VerifierKey.parse(post_quantum).type == ML_DSA_44
    assert inspected(capsys, "verify", folder, "--log-key", post_quantum)[0] == 0
    assert creditvault("log", "fsck").code == 0


def test_it_says_what_was_done(creditvault: CommandLine, old_key: str) -> None:
    ran = creditvault("log", "rotate-key", "--yes")
    assert ran.code == 0
    assert "the log signs with its keys of epoch 2 now; entry 0 names them" in ran.out
    assert old_key not in ran.out
    assert "log key  creditvault.test/log+" in ran.out


def test_an_auditor_follows_from_the_old_key_of_the_roots_to_the_new(
    creditvault: CommandLine, old_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    changed = creditvault.good("log", "rotate-key", "--roots", "--yes")
    assert (changed["epoch"], changed["index"], changed["size"], changed["resumed"]) == (2, 0, 1, False)
    said = creditvault("log", "rotate-key", "--roots", "--yes").out
    assert "with its key of epoch 3 now; entry 1 names it, and both keys signed the tree of 2 roots" in said
    creditvault.good("log", "publish", str(folder))
    document = json.loads(json.loads((folder / "roots" / "keys").read_text())["changes"][0]["document"])
    assert document["keys"] == [changed["key"]]
    for key in (*document["retired"], changed["key"]):
        code, found = inspected(
            capsys, "audit-roots", folder, "--log-key", old_key, "--roots-key", key, "--json"
        )
        assert (code, json.loads(found)["size"]) == (0, 2)
    code, found = inspected(capsys, "follow-keys", folder, "--roots-key", document["retired"][0], "--json")
    assert [change["size"] for change in json.loads(found)["changes"]] == [1, 2]
    assert f"roots key  {json.loads(found)['keys'][0]}\n" in said
