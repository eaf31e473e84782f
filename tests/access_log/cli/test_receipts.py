"""`check-receipt --policy`: logged or witnessed, by whom and when (FORMAT 7)."""

import json
from pathlib import Path
from typing import Any

import pytest

from access_log import cli
from access_log.checkpoint import Checkpoint
from access_log.merkle import leaf_hash
from access_log.receipt import write_receipt
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44
from tests.access_log.simulator import ORIGIN, SIGNER, make_entries

KEY = SIGNER.verifier_key()
(ENTRY,) = make_entries(1)
CHECKPOINT = Checkpoint(ORIGIN, 1, leaf_hash(ENTRY))
ONE = CosigningKey.from_seed("one.example", ED25519_COSIGNATURE, bytes(32))
TWO = CosigningKey.from_seed("two.example", ML_DSA_44, bytes(32))
NOW = 1_790_000_000
POLICY = f"witness one {ONE.key}\nwitness two {TWO.key}\ngroup both all one two\nquorum both\n"


def written(folder: Path, policy: str, *lines: str) -> list[str]:
    (folder / "policy").write_text(policy)
    note = SIGNER.sign(CHECKPOINT) + "".join(lines)
    (folder / "receipt").write_text(write_receipt(ENTRY, 0, (), note))
    key = [] if policy.startswith("log ") else ["--log-key", KEY]
    return ["check-receipt", str(folder / "receipt"), *key, "--policy", str(folder / "policy")]


def checked(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = cli.main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_witnessed_by_whom_and_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = written(tmp_path, POLICY, ONE.line(CHECKPOINT, NOW), TWO.line(CHECKPOINT, NOW + 1))
    code, found = checked(capsys, arguments)
    assert (code, found["status"], found["lacking"]) == (0, "witnessed", None)
    assert found["witnesses"] == [
        {"name": "one", "time": "2026-09-21T14:13:20.000Z"},
        {"name": "two", "time": "2026-09-21T14:13:21.000Z"},
    ]
    assert cli.main(arguments) == 0
    assert "by one at 2026-09-21T14:13:20.000Z, two at" in capsys.readouterr().out


def test_logged_while_a_witness_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = written(tmp_path, POLICY, ONE.line(CHECKPOINT, NOW))
    code, found = checked(capsys, arguments)
    assert (code, found["status"]) == (0, "logged")
    assert [each["name"] for each in found["witnesses"]] == ["one"]
    assert "two" in found["lacking"]
    assert cli.main(arguments) == 0
    assert "/log/proof/0" in capsys.readouterr().out


def test_a_policy_that_asks_for_nothing_witnesses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = checked(capsys, written(tmp_path, "quorum none\n"))
    assert found["status"] == "logged"


def test_a_policys_own_log_key_is_the_one_that_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decades = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes(32))
    policy = f"log {decades.key}\n{POLICY}"
    lines = ONE.line(CHECKPOINT, NOW), TWO.line(CHECKPOINT, NOW)
    assert checked(capsys, written(tmp_path, policy, *lines))[0] == 1
    logged = (decades.line(CHECKPOINT, NOW), *lines)
    assert checked(capsys, written(tmp_path, policy, *logged))[1]["status"] == "witnessed"


def test_keys_of_a_log_come_from_one_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [*written(tmp_path, f"log {KEY}\n{POLICY}"), "--log-key", KEY]
    assert cli.main(both) == 2
    assert "leave --log-key out" in capsys.readouterr().err
    assert cli.main(both[:2]) == 2
    assert "give the log's key with --log-key" in capsys.readouterr().err


def test_a_cosignature_over_something_else_is_tampering(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Checkpoint(ORIGIN, 1, bytes(32))
    code, found = checked(capsys, written(tmp_path, POLICY, ONE.line(other, NOW)))
    assert (code, found["tampered"]) == (1, True)


@pytest.mark.parametrize("policy", ["", "quorum nobody\n", "witness one x\nquorum one\n", "\x00"])
def test_what_is_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str) -> None:
    code = cli.main(written(tmp_path, policy))
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1
