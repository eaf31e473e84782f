"""`python -m access_log` (FORMAT 10.4)."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import cli
from access_log.checkpoint import Checkpoint
from access_log.cli import receipts, verifying
from access_log.entry import Entry, EntryType, first_chain
from access_log.merkle import leaf_hash
from access_log.payload import Party, Payload
from access_log.receipt import write_receipt
from tests.access_log.persons import ANN, BOB, Persons, at
from tests.access_log.simulator import ORIGIN, SIGNER, make_entries, publish, sign

ENTRIES = make_entries(300)
KEY = SIGNER.verifier_key()
ROOT = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return publish(ENTRIES).write_to(tmp_path / "log")


@pytest.fixture
def receipt(tmp_path: Path) -> tuple[str, str]:
    """The files of a receipt and of the body's opening."""
    values = {
        "body": "bank",
        "officer": "o\u202e1",
        "fields": ["FIN.type"],
        "purpose": "\x1b[31m\u8d37\u6b3e",
    }
    payload = Payload.create(EntryType.QUERY_PERMITTED, values).with_place(1, bytes(32))
    label = bytes(32)
    entry = Entry(
        payload.type, 1_790_000_000_123, first_chain(ORIGIN), label, payload.commitment(label)
    ).encode()
    note = SIGNER.sign(Checkpoint(ORIGIN, 1, leaf_hash(entry)))
    (tmp_path / "answer.receipt").write_text(write_receipt(entry, 0, (), note))
    (tmp_path / "opening.json").write_text(json.dumps(payload.opening(Party.BODY)))
    return str(tmp_path / "answer.receipt"), str(tmp_path / "opening.json")


def run(*arguments: str | Path) -> int:
    return cli.main([str(each) for each in arguments])


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    code = run(*arguments, "--json")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    return code, json.loads(captured.out)


def test_a_good_log_in_words_and_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", log, "--log-key", KEY) == 0
    words = capsys.readouterr().out
    assert words.startswith(f"Good: all 300 entries of {ORIGIN} verify.")
    code, found = run_json(capsys, "verify", log, "--log-key", KEY)
    assert code == 0
    assert (found["ok"], found["origin"], found["size"]) == (True, ORIGIN, 300)
    assert found["first_time"] == "2026-07-02T13:46:40.000Z"


def test_a_tampered_log_names_its_entry(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = log / "tile/entries/000"
    raw = bytearray(bundle.read_bytes())
    raw[108 * 17 + 100] ^= 1
    bundle.write_bytes(raw)
    assert run("verify", log, "--log-key", KEY) == 1
    assert capsys.readouterr().out.startswith("Does not verify: entry 17: it was altered")
    code, found = run_json(capsys, "verify", log, "--log-key", KEY)
    assert (code, found["ok"], found["tampered"], found["index"]) == (1, False, True, 17)


def test_a_key_may_be_a_file(log: Path, tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text(f"# the vault's log\n{KEY}\n")
    assert run("verify", log, "--log-key", tmp_path / "log.key", "--jobs", "2") == 0


def test_an_earlier_checkpoint(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    kept.write_text(sign(ENTRIES[:40]))
    assert run("verify", log, "--log-key", KEY, "--from-checkpoint", kept) == 0
    assert "The 40 entries of the earlier checkpoint are unchanged." in capsys.readouterr().out
    kept.write_text(sign(make_entries(40, origin="x")))
    assert run("verify", log, "--log-key", KEY, "--from-checkpoint", kept) == 1
    assert "replaced" in capsys.readouterr().out
    kept.write_text("nothing")
    assert run("verify", log, "--log-key", KEY, "--from-checkpoint", kept) == 1
    assert "earlier checkpoint itself does not verify" in capsys.readouterr().out


def test_an_empty_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint").write_text(sign([]))
    assert run("verify", tmp_path, "--log-key", KEY) == 0
    assert "all 0 entries" in capsys.readouterr().out


def test_a_receipt_in_words_and_json(receipt: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check-receipt", receipt[0], "--log-key", KEY) == 0
    words = capsys.readouterr().out
    assert words.startswith(f"Good: entry 0 is logged in {ORIGIN}.")
    assert "a query that was permitted (type 1) at 2026-09-21T14:13:20.123Z" in words
    code, found = run_json(capsys, "check-receipt", receipt[0], "--log-key", KEY)
    assert code == 0
    assert found == {
        "ok": True,
        "status": "logged",
        "index": 0,
        "type": 1,
        "type_name": "query_permitted",
        "time": "2026-09-21T14:13:20.123Z",
        "origin": ORIGIN,
        "size": 1,
    }


def test_every_type_has_its_words() -> None:
    assert set(receipts._WORDS) == set(EntryType)


def test_an_altered_receipt(receipt: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(receipt[0])
    whole = file.read_text()
    file.write_text(whole.replace("index 0", "index 1"))
    assert run("check-receipt", file, "--log-key", KEY) == 1
    file.write_bytes(b"\xff")
    assert run("check-receipt", file, "--log-key", KEY) == 1
    file.write_text("hello")
    code, found = (
        run_json(capsys, "check-receipt", file, "--log-key", KEY) if capsys.readouterr() else (0, {})
    )
    assert (code, found["index"]) == (1, None)


def test_an_opening_in_words_and_json(receipt: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check-opening", *receipt, "--log-key", KEY) == 0
    words = capsys.readouterr().out
    assert '  body: "bank"\n' in words
    assert "\x1b" not in words
    assert "\u202e" not in words
    assert "\u8d37\u6b3e" in words
    assert "Withheld from you: record_versions, seq, previous, subject." in words
    code, found = run_json(capsys, "check-opening", *receipt, "--log-key", KEY)
    assert code == 0
    assert found["opened"]["fields"] == ["FIN.type"]
    assert found["withheld"] == ["record_versions", "seq", "previous", "subject"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "\xff"])
def test_what_is_no_opening_does_not_verify(receipt: tuple[str, str], text: str) -> None:
    Path(receipt[1]).write_text(text, encoding="latin-1")
    assert run("check-opening", *receipt, "--log-key", KEY) == 1


def test_an_opening_with_nothing_withheld(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = Payload.create(EntryType.HEARTBEAT, {}).with_place(1, bytes(32))
    entry = Entry(payload.type, 0, first_chain(ORIGIN), bytes(32), payload.commitment(bytes(32))).encode()
    note = SIGNER.sign(Checkpoint(ORIGIN, 1, leaf_hash(entry)))
    (tmp_path / "r").write_text(write_receipt(entry, 0, (), note))
    (tmp_path / "o").write_text(json.dumps(payload.opening(Party.PERSON)))
    assert run("check-opening", tmp_path / "r", tmp_path / "o", "--log-key", KEY) == 0
    assert "Withheld" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "nowhere", "--log-key", KEY),
        ("verify", "ftp://x", "--log-key", KEY),
        ("verify", ".", "--log-key", KEY),
        ("verify", ".", "--log-key", "no-such-file"),
        ("verify", ".", "--log-key", "a+b+c"),
        ("verify", ".", "--log-key", KEY[:-4] + "AAA="),
        ("verify", ".", "--log-key", "+" * 5000),
        ("verify", ".", "--log-key", "\x00+"),
        ("verify", ".", "--log-key", KEY, "--from-checkpoint", "no-such-file"),
        ("check-receipt", "no-such-file", "--log-key", KEY),
        ("check-receipt", ".", "--log-key", KEY),
        ("check-receipt", "\x00", "--log-key", KEY),
        ("check-opening", "no-such-file", "no-such-file", "--log-key", KEY),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_2(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("access_log: ")
    assert captured.err.count("\n") == 1
    code, found = run_json(capsys, *arguments)
    assert (code, found["ok"], found["tampered"]) == (2, False, False)


def test_a_key_file_that_is_no_text_or_too_long(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in (b"\xff\xfe", b"x" * 70_000):
        (tmp_path / "log.key").write_bytes(data)
        assert run("verify", log, "--log-key", tmp_path / "log.key") == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("unknown",),
        ("verify",),
        ("verify", ".", "--log-key", "k", "--jobs", "0"),
        ("verify", ".", "--log-key", "k", "--jobs", "many"),
        ("check-opening", "--log-key", "k"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize("command", [(), ("verify",), ("check-receipt",), ("check-opening",)])
def test_help_has_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*command, "--help")
    assert caught.value.code == 0
    assert "example" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_only(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert run("verify", log, "--log-key", KEY) == 0
        assert ("256 of 300 entries" in stream.getvalue()) is drawn


def test_words_go_to_any_stream(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert run("verify", log, "--log-key", KEY) == 0
    assert out.getvalue().startswith("Good")


def test_an_interruption_is_no_verdict(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verifying, "verify_signed", interrupt)
    assert run("verify", log, "--log-key", KEY) == 2
    assert "interrupted" in capsys.readouterr().err


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_file_makes_a_traceback(receipt: tuple[str, str], one: bytes, other: bytes) -> None:
    whole = Path(receipt[0]).read_bytes(), Path(receipt[1]).read_bytes()
    try:
        Path(receipt[1]).write_bytes(other)
        assert run("check-opening", *receipt, "--log-key", KEY) == 1
        Path(receipt[0]).write_bytes(one)
        assert run("check-receipt", receipt[0], "--log-key", KEY) == 1
    finally:
        Path(receipt[0]).write_bytes(whole[0])
        Path(receipt[1]).write_bytes(whole[1])


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


ALONE = """
import sys
allowed = sys.stdlib_module_names | {"access_log", "cryptography", "_cffi_backend", "cffi"}
class Strangers:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed:
            raise ModuleNotFoundError(name=name)
        if name.startswith("access_log.") and name[11:] in {"log", "tables", "api", "lock", "stored"}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Strangers())
import runpy
sys.argv = ["access_log", *sys.argv[1:]]
runpy.run_module("access_log", run_name="__main__")
"""


def test_the_verifier_runs_with_nothing_but_cryptography(log: Path) -> None:
    done = python("-c", ALONE, "verify", str(log), "--log-key", KEY, "--jobs", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Good: all 300 entries")


def test_without_cryptography_it_says_what_to_install() -> None:
    done = python(
        "-c", "import sys, runpy; sys.modules['cryptography'] = None; runpy.run_module('access_log')"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install cryptography" in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_missing_module_is_not_hidden() -> None:
    done = python("-c", "import sys, runpy; sys.modules['hmac'] = None; runpy.run_module('access_log')")
    assert done.returncode == 1
    assert "hmac" in done.stderr


def test_letters_a_terminal_lacks_are_escaped(receipt: tuple[str, str]) -> None:
    done = python("-m", "access_log", "check-opening", *receipt, "--log-key", KEY, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u8d37\\u6b3e" in done.stdout


def test_an_opening_is_told_in_a_sentence(
    receipt: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = run_json(capsys, "check-opening", *receipt, "--log-key", KEY)
    assert code == 0
    assert found["sentence"].startswith("Body bank asked on 2026-09-21 at ")
    run("check-opening", *receipt, "--log-key", KEY)
    words = capsys.readouterr().out
    assert "Body bank asked on 2026-09-21" in words
    assert "\x1b" not in words


@pytest.fixture
def persons(tmp_path: Path) -> tuple[Path, Path]:
    """A published log with Ann's stream, and her material."""
    made = Persons()
    for index in range(300):
        made.add(ANN if index % 100 == 0 else BOB, at(2026, 6 + index // 100))
    (tmp_path / "log-keys.json").write_bytes(made.material().encode())
    opening = made.material().streams[0].entries[1].opening
    (tmp_path / "opening.json").write_text(json.dumps(opening))
    return made.publish().write_to(tmp_path / "published"), tmp_path


def test_an_opening_is_checked_against_the_published_log(
    persons: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    published, folder = persons
    asked = ("check-opening", folder / "opening.json", "--log-key", KEY, "--log", published)
    code, found = run_json(capsys, *asked, "--index", "100")
    assert code == 0
    assert (found["index"], found["opened"]["decision"], found["opened"]["seq"]) == (100, "permitted", 1)
    code, found = run_json(capsys, *asked, "--index", "101")
    assert (code, found["tampered"]) == (1, True)
    assert run_json(capsys, *asked, "--index", "300")[0] == 1
    code, found = run_json(capsys, *asked)
    assert (code, found["tampered"]) == (2, False)
    assert "either a receipt" in found["reason"]


def test_a_complete_person(persons: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    published, folder = persons
    asked = ("audit-person", folder / "log-keys.json", published, "--log-key", KEY)
    code, found = run_json(capsys, *asked)
    assert code == 0
    assert (found["ok"], found["complete"], found["missing"]) == (True, True, [])
    (stream,) = found["streams"]
    assert [one["entries"] for one in stream["months"]] == [1, 1, 1]
    assert run(*asked) == 0
    assert capsys.readouterr().out.startswith("Complete: ")


def test_an_incomplete_person(persons: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    published, folder = persons
    material = json.loads((folder / "log-keys.json").read_bytes())
    del material["streams"][0]["entries"][1]
    (folder / "less.json").write_text(json.dumps(material))
    asked = ("audit-person", folder / "less.json", published, "--log-key", KEY)
    code, found = run_json(capsys, *asked)
    assert code == 1
    assert (found["ok"], found["tampered"], found["index"]) == (False, True, 100)
    assert found["missing"] == [
        {"stream": 1, "month": 202607, "seq": 1, "index": 100, "reason": found["reason"]}
    ]
    assert run(*asked) == 1
    words = capsys.readouterr().out
    assert words.startswith("Not complete: 1 thing missing or wrong.")
    assert "stream 1, month 202607, number 1, entry 100: the material does not list" in words


def test_a_material_that_cannot_be_read(
    persons: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    published, folder = persons
    (folder / "bad.json").write_text("{}")
    assert run_json(capsys, "audit-person", folder / "bad.json", published, "--log-key", KEY)[0] == 1
    assert run_json(capsys, "audit-person", folder / "none.json", published, "--log-key", KEY)[0] == 2
    nowhere = folder / "nowhere"
    assert run_json(capsys, "audit-person", folder / "log-keys.json", nowhere, "--log-key", KEY)[0] == 2
