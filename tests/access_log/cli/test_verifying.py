"""`verify` with a state file and earlier checkpoints."""

import json
import stat
from pathlib import Path

import pytest

from access_log import cli
from tests.access_log.simulator import SIGNER, make_entries, publish, sign

ENTRIES = make_entries(1000)
KEY = SIGNER.verifier_key()


def verify(log: Path, *arguments: str | Path) -> int:
    return cli.main(["verify", str(log), "--log-key", KEY, *map(str, arguments)])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    read: dict[str, object] = json.loads(capsys.readouterr().out)
    return read


def test_a_second_run_goes_on_from_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "my.state"
    for size, begun_at in ((300, 0), (300, 256), (1000, 256), (1000, 768)):
        log = publish(ENTRIES[:size]).write_to(tmp_path / f"log{size}")
        assert verify(log, "--state", state, "--json") == 0
        assert found(capsys)["begun_at"] == begun_at
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert verify(log, "--state", state) == 0
    words = capsys.readouterr().out
    assert words.startswith("Good: the 232 entries from 768 on of ")
    assert [each.name for each in tmp_path.glob("*my.state*")] == ["my.state"]


def test_a_run_that_finds_something_leaves_the_state_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "my.state"
    assert verify(publish(ENTRIES[:300]).write_to(tmp_path / "good"), "--state", state) == 0
    before = state.read_bytes()
    rolled_back = publish(ENTRIES[:299]).write_to(tmp_path / "bad")
    capsys.readouterr()
    assert verify(rolled_back, "--state", state, "--json") == 1
    told = found(capsys)
    assert (told["kind"], told["index"]) == ("rolled_back", 299)
    assert told["evidence"] == [sign(ENTRIES[:300]), sign(ENTRIES[:299])]
    assert state.read_bytes() == before


def test_a_damaged_state_gives_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = publish(ENTRIES[:300]).write_to(tmp_path / "log")
    state = tmp_path / "my.state"
    for data in (b"", b"\xff", b"creditvault verifier state v1\nsha256 x\n", b"x" * 300_000):
        state.write_bytes(data)
        assert verify(log, "--state", state) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert state.read_bytes() == data


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = publish(ENTRIES[:300]).write_to(tmp_path / "log")
    for file in (tmp_path / "nowhere" / "my.state", "a" * 400, "\x00"):
        assert verify(log, "--state", file) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_every_earlier_checkpoint_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    options: list[str | Path] = []
    for size in (0, 40, 512, 1000):
        kept = tmp_path / f"{size}.checkpoint"
        kept.write_text(sign(ENTRIES[:size]))
        options += ["--from-checkpoint", kept]
    assert verify(log, *options) == 0
    assert capsys.readouterr().out.count("are unchanged") == 4
    (tmp_path / "512.checkpoint").write_text(sign(make_entries(512, origin="x")))
    assert verify(log, *options) == 1
    assert "Evidence, the checkpoint known before" in capsys.readouterr().out
