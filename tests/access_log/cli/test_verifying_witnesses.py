"""`verify --policy`: the witnesses cosigned a checkpoint of this very log (FORMAT 10.1, step 8)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import cli
from access_log.checkpoint import Checkpoint, SigningKey
from access_log.merkle import Frontier, leaf_hash
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44
from tests.access_log.simulator import ORIGIN, SIGNER, Memory, make_entries, publish, sign

ENTRIES = make_entries(600)
KEY = SIGNER.verifier_key()
ONE = CosigningKey.from_seed("one.example", ED25519_COSIGNATURE, bytes(32))
TWO = CosigningKey.from_seed("two.example", ML_DSA_44, bytes(32))
NOW = 1_790_000_000
WITNESSES = f"witness one {ONE.key}\nwitness two {TWO.key}\ngroup both all one two\nquorum both\n"
POLICY = f"log {KEY}\n{WITNESSES}"


def checkpoint(entries: list[bytes], origin: str = ORIGIN) -> Checkpoint:
    frontier = Frontier.empty().extend([leaf_hash(entry) for entry in entries])
    return Checkpoint(origin, frontier.size, frontier.root())


def cosigned(entries: list[bytes], *by: CosigningKey, time: int = NOW) -> bytes:
    tree = checkpoint(entries)
    return (SIGNER.sign(tree) + "".join(each.line(tree, time) for each in by)).encode()


def log_with(witnessed: bytes | None) -> Memory:
    log = publish(ENTRIES)
    if witnessed is not None:
        log.files["witnessed"] = witnessed
    return log


def verify(folder: Path, log: Memory, policy: str, *more: str | Path) -> int:
    (folder / "policy").write_text(policy)
    place = log.write_to(folder / "log")
    return cli.main(["verify", str(place), "--policy", str(folder / "policy"), *map(str, more)])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(capsys.readouterr().out)
    return read


def test_what_is_witnessed_by_whom_and_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_with(cosigned(ENTRIES[:300], ONE, TWO))
    assert verify(tmp_path, log, POLICY, "--json") == 0
    told = found(capsys)
    assert (told["ok"], told["size"]) == (True, 600)
    assert told["witnessed"]["size"] == 300
    assert told["witnessed"]["not_yet"] == 300
    time = "2026-09-21T14:13:20.000Z"
    assert told["witnessed"]["witnesses"] == [{"name": "one", "time": time}, {"name": "two", "time": time}]
    assert verify(tmp_path, log, POLICY) == 0
    words = capsys.readouterr().out
    assert f"the first 300 entries, by one at {time}, two at {time}." in words
    assert "The last 300 are not witnessed yet." in words


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 600])
def test_a_witnessed_tree_of_any_size(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    assert verify(tmp_path, log_with(cosigned(ENTRIES[:size], ONE, TWO)), POLICY, "--json") == 0
    assert found(capsys)["witnessed"]["size"] == size


def test_a_checkpoint_that_is_cosigned_itself_needs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_with(None)
    log.files["checkpoint"] = cosigned(ENTRIES, ONE, TWO)
    assert verify(tmp_path, log, POLICY) == 0
    assert "None is left unwitnessed." in capsys.readouterr().out


def test_another_tree_that_was_witnessed_is_the_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log shows its visitor another history than its witnesses."""
    forged = [*ENTRIES[:299], ENTRIES[0]]
    note = cosigned(forged, ONE, TWO)
    assert verify(tmp_path, log_with(note), POLICY, "--json") == 1
    told = found(capsys)
    assert (told["tampered"], told["kind"]) == (True, "rewritten")
    assert told["evidence"] == [note.decode(), sign(ENTRIES)]


def test_a_log_cut_behind_what_was_witnessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = publish(ENTRIES[:299])
    log.files["witnessed"] = cosigned(ENTRIES[:300], ONE, TWO)
    assert verify(tmp_path, log, POLICY, "--json") == 1
    assert found(capsys)["kind"] == "rolled_back"


@pytest.mark.parametrize(
    ("note", "says"),
    [
        (None, "there is no 'witnessed' beside it"),
        (cosigned(ENTRIES[:300]), "the quorum both needs 2 of 2 and has 0"),
        (cosigned(ENTRIES[:300], ONE), "missing: two"),
        (b"", "it"),
        (b"\xff", "not UTF-8"),
        (cosigned(ENTRIES[:300], ONE, TWO).replace(b"\n300\n", b"\n301\n"), "does not fit"),
        (cosigned(ENTRIES[:300], ONE, TWO)[:-1], "no signature lines"),
    ],
)
def test_what_is_not_witnessed_as_the_policy_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], note: bytes | None, says: str
) -> None:
    assert verify(tmp_path, log_with(note), POLICY) == 1
    captured = capsys.readouterr()
    assert (captured.err, captured.out.count("\n")) == ("", 1)
    assert "not witnessed as the policy asks" in captured.out
    assert says in captured.out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_it_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    note = bytearray(cosigned(ENTRIES[:3], ONE, TWO))
    note[data.draw(st.integers(0, len(note) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    log = publish(ENTRIES[:5])
    log.files["witnessed"] = bytes(note)
    assert verify(tmp_path, log, POLICY, "--jobs", "1") == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_a_witnessed_note_without_the_logs_signature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Witnesses alone make no checkpoint, nor does another signer under the log's name."""
    tree = checkpoint(ENTRIES[:300])
    lines = "".join(each.line(tree, NOW) for each in (ONE, TWO))
    stranger = SigningKey.from_seed(ORIGIN, bytes(32)).sign(tree)
    for note in (f"{tree.text()}\n{lines}", stranger + lines):
        assert verify(tmp_path, log_with(note.encode()), POLICY) == 1
        assert "does not carry the signature of the log" in capsys.readouterr().out


def test_the_witnessed_checkpoint_of_another_log_of_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = SigningKey.from_seed("other.example/log", bytes(32))
    tree = checkpoint(ENTRIES[:300], "other.example/log")
    note = other.sign(tree) + "".join(each.line(tree, NOW) for each in (ONE, TWO))
    policy = f"log {other.verifier_key()}\n{POLICY}"
    assert verify(tmp_path, log_with(note.encode()), policy) == 1
    assert "another log's checkpoint" in capsys.readouterr().out


def test_the_key_stands_in_the_policy_or_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_with(cosigned(ENTRIES[:300], ONE, TWO))
    assert verify(tmp_path, log, WITNESSES, "--log-key", KEY) == 0
    for policy, more, says in (
        (WITNESSES, (), "no log line"),
        (POLICY, ("--log-key", KEY), "names the log's keys itself"),
    ):
        assert verify(tmp_path, log, policy, *more) == 2
        assert says in capsys.readouterr().err
    assert cli.main(["verify", str(tmp_path / "log")]) == 2
    assert "--log-key" in capsys.readouterr().err


def test_a_policy_that_asks_for_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, log_with(b"junk"), f"log {KEY}\nquorum none\n", "--json") == 0
    assert found(capsys)["witnessed"] is None


def test_what_is_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, log_with(None), "quorum nobody\n") == 2
    error = capsys.readouterr().err
    assert "policy line 1" in error
    assert error.count("\n") == 1


def test_a_moment_beyond_the_calendar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_with(cosigned(ENTRIES[:300], ONE, TWO, time=2**63 - 1))
    assert verify(tmp_path, log, POLICY) == 0
    assert f"one at {2**63 - 1} s after 1970" in capsys.readouterr().out


def test_a_resumed_run_is_held_to_what_was_witnessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The witnessed tree lies before the entries that are read: its tiles show it."""
    state = tmp_path / "state"
    log = log_with(cosigned(ENTRIES[:300], ONE, TWO))
    assert verify(tmp_path, log, POLICY, "--state", state) == 0
    assert verify(tmp_path, log, POLICY, "--state", state) == 0
    log = log_with(cosigned([*ENTRIES[:299], ENTRIES[0]], ONE, TWO))
    capsys.readouterr()
    assert verify(tmp_path, log, POLICY, "--state", state, "--json") == 1
    assert found(capsys)["kind"] == "rewritten"


def test_the_page_says_who_cosigned(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    note = cosigned(ENTRIES[:300], ONE, TWO)
    assert verify(tmp_path, log_with(note), POLICY, "--report", page) == 0
    text = page.read_text()
    for told in (
        "the first 300; 300 not yet",
        "one at 2026-09-21",
        "Witnesses the policy knows",
        "two.example",
    ):
        assert told in text
    assert text.count("vault.example/log/2026\n300\n") == 1
    assert verify(tmp_path, log_with(cosigned(ENTRIES[:300], ONE)), POLICY, "--report", page) == 1
    assert "not witnessed as the policy asks" in page.read_text()
