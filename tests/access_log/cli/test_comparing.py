"""`compare-checkpoints`: forks shown by two notes alone."""

import json
from pathlib import Path

import pytest

from access_log import cli
from tests.access_log.simulator import ORIGIN, SIGNER, make_entries, publish, sign

ENTRIES = make_entries(300)
KEY = SIGNER.verifier_key()


@pytest.fixture
def notes(tmp_path: Path) -> dict[str, str]:
    """Files of checkpoints: two honest ones, and one of a second tree of the later size."""
    made = {
        "early": sign(ENTRIES[:200]),
        "late": sign(ENTRIES),
        "forked": sign([*ENTRIES[:299], ENTRIES[0]]),
        "junk": "junk",
    }
    for name, note in made.items():
        (tmp_path / name).write_text(note)
    publish(ENTRIES).write_to(tmp_path / "log")
    return {name: str(tmp_path / name) for name in (*made, "log")}


def compare(*arguments: str) -> int:
    return cli.main(["compare-checkpoints", *arguments, "--log-key", KEY])


def test_equal_checkpoints_agree(notes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(notes["late"], notes["late"]) == 0
    assert "the same tree of 300 entries" in capsys.readouterr().out


def test_a_fork_is_shown_with_both_notes(notes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(notes["late"], notes["forked"]) == 1
    words = capsys.readouterr().out
    assert words.startswith("Does not verify: the log was forked: its key signed two different trees of 300")
    for name in ("late", "forked"):
        assert Path(notes[name]).read_text() in words + "\n"
    assert compare(notes["late"], notes["forked"], "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["tampered"]) == ("fork", True)
    assert found["evidence"] == [Path(notes[name]).read_text() for name in ("late", "forked")]


def test_different_sizes_need_the_log(notes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(notes["late"], notes["early"]) == 2
    assert "name the log with --log" in capsys.readouterr().err
    assert compare(notes["late"], notes["early"], "--log", notes["log"]) == 0
    assert "begins with that of" in capsys.readouterr().out
    assert compare(notes["early"], notes["forked"], "--log", notes["log"]) == 1
    assert "a tile was altered" in capsys.readouterr().out


def test_a_checkpoint_that_is_none_is_named(
    notes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(notes["late"], notes["junk"]) == 1
    assert notes["junk"] in capsys.readouterr().out
    assert compare(notes["late"], "no-such-file") == 2


def test_the_origin_is_told(notes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(notes["early"], notes["late"], "--log", notes["log"], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["origin"], found["sizes"]) == (ORIGIN, [200, 300])
