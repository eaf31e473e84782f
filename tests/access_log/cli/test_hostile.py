"""Whatever a verifier is given: one line and an exit code, no traceback, and bounded memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import cli
from access_log.checkpoint import Checkpoint, open_note
from access_log.entry import Entry, EntryType, first_chain
from access_log.errors import FormatError
from access_log.key_history import write_history
from access_log.merkle import leaf_hash
from access_log.payload import Party, Payload
from access_log.policy import Policy
from access_log.receipt import write_receipt
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE, VerifierKey
from tests.access_log.persons import ANN, Persons, at
from tests.access_log.simulator import KEYS, ORIGIN, SIGNER, make_entries, publish, sign

ROOT = Path(__file__).parents[3]
KEY = SIGNER.verifier_key()
ENTRIES = make_entries(300)
COSIGNER = CosigningKey.from_seed("w.example", ED25519_COSIGNATURE, bytes(32))
MEMORY: Final = 400 * 1024 * 1024
"""Address space, in bytes, within which Python and `cryptography` load with room for what a log may need."""


@pytest.fixture(scope="module")
def given_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One good file of each kind that the commands read."""
    folder = tmp_path_factory.mktemp("given")
    payload = Payload.create(EntryType.QUERY_PERMITTED, {"body": "bank"}).with_place(1, bytes(32))
    entry = Entry(payload.type, 0, first_chain(ORIGIN), bytes(32), payload.commitment(bytes(32))).encode()
    note = SIGNER.sign(Checkpoint(ORIGIN, 1, leaf_hash(entry)))
    texts = {
        "key": KEY + "\n",
        "receipt": write_receipt(entry, 0, (), note),
        "opening": json.dumps(payload.opening(Party.BODY)),
        "checkpoint": sign(ENTRIES[:200]),
        "other": sign([*ENTRIES[:199], ENTRIES[0]]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    publish(ENTRIES).write_to(folder / "log")
    note = sign(ENTRIES[:200])
    line = COSIGNER.line(open_note(note, KEYS), 1_790_000_000)
    (folder / "log" / "witnessed").write_text(note + line)
    (folder / "policy").write_text(f"log {KEY}\nwitness one {COSIGNER.key}\nquorum one\n")
    (folder / "log" / "keys").write_text(write_history(()))
    person = Persons()
    for day in range(1, 20):
        person.add(ANN, at(2026, 7, day))
    person.publish().write_to(folder / "persons")
    (folder / "material").write_bytes(person.material().encode())
    assert cli.main(["verify", str(folder / "log"), "--log-key", KEY, "--state", str(folder / "state")]) == 0
    return {name: folder / name for name in (*texts, "policy", "state", "log", "material", "persons")}


def commands(files: dict[str, Path]) -> dict[str, list[str]]:
    """For each kind of file a command that reads it."""
    log, key = str(files["log"]), str(files["key"])
    opening = ["check-opening", str(files["receipt"]), str(files["opening"]), "--log-key", key]
    return {
        "key": ["check-receipt", str(files["receipt"]), "--log-key", key],
        "receipt": ["check-receipt", str(files["receipt"]), "--log-key", key],
        "opening": opening,
        "checkpoint": ["verify", log, "--log-key", key, "--from-checkpoint", str(files["checkpoint"])],
        "other": ["compare-checkpoints", str(files["checkpoint"]), str(files["other"]), "--log-key", key],
        "state": ["verify", log, "--log-key", key, "--state", str(files["state"])],
        "policy": ["verify", log, "--policy", str(files["policy"])],
        "log/witnessed": ["verify", log, "--policy", str(files["policy"])],
        "log/keys": ["follow-keys", log, "--log-key", key],
        "material": ["audit-person", str(files["material"]), str(files["persons"]), "--log-key", key],
        "log/checkpoint": ["verify", log, "--log-key", key],
        "log/tile/0/000": ["verify", log, "--log-key", key],
        "log/tile/entries/001.p/44": ["verify", log, "--log-key", key],
    }


def altered(data: st.DataObject, whole: bytes) -> bytes:
    """Bytes near the good ones, or nothing like them."""
    at = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(at, min(len(whole), at + 200)))
    return data.draw(
        st.sampled_from([whole[:at], whole[:at] + whole[end:], whole[:end] + whole[at:], whole * 2])
        | st.binary(max_size=40).map(lambda junk: whole[:at] + junk + whole[end:])
        | st.binary(max_size=40).map(lambda junk: whole[:at] + junk + whole[at + len(junk) :])
        | st.binary(max_size=400)
    )


KINDS = (
    "key",
    "receipt",
    "opening",
    "checkpoint",
    "other",
    "state",
    "policy",
    "material",
    "log/keys",
    "log/witnessed",
    "log/checkpoint",
    "log/tile/0/000",
    "log/tile/entries/001.p/44",
)


def said_in_one_line(run: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> int:
    code = run()
    captured = capsys.readouterr()
    assert code in {0, 1, 2}
    assert "Traceback" not in captured.out + captured.err
    assert captured.err.count("\n") <= 1
    assert (captured.err != "") == (code == 2)
    assert all(each.isprintable() or each == "\n" for each in captured.out + captured.err)
    return code


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_no_file_makes_a_traceback(
    given_files: dict[str, Path], capsys: pytest.CaptureFixture[str], kind: str, data: st.DataObject
) -> None:
    file = given_files["log"].parent / kind
    whole = file.read_bytes()
    try:
        file.write_bytes(altered(data, whole))
        said_in_one_line(lambda: cli.main(commands(given_files)[kind]), capsys)
    finally:
        file.write_bytes(whole)


_WORDS = st.sampled_from(
    [
        *("verify", "check-receipt", "check-opening", "compare-checkpoints", "--log-key", "--jobs", "--json"),
        *("--state", "--from-checkpoint", "--report", "--log", "--plain-http", "--help", "-", "--", "0", "1"),
        *("9" * 30, ".", "/", "", "http://[", "https://", "file:///etc/passwd", "\x00", "\udcff", "\u202e"),
        *(KEY, "+", "a+b+c", "x" * 5000),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.lists(_WORDS | st.text(max_size=8), max_size=8))
def test_no_arguments_make_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)  # What they write lies there.
    try:
        code = cli.main(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 2
    finally:
        os.chdir(here)
    captured = capsys.readouterr()
    assert code in {0, 1, 2}
    assert captured.err.count("\n") <= 1 or "--help" in arguments


_WITNESS = VerifierKey("w.example", ED25519_COSIGNATURE, bytes(32))
_POLICY = f"log {KEY}\nwitness one {_WITNESS} https://w.example/\ngroup g any one\nquorum g\n"


@settings(max_examples=200)
@given(st.data())
def test_no_policy_fails_in_another_way(data: st.DataObject) -> None:
    assert Policy.parse(_POLICY)
    with suppress(FormatError):
        Policy.parse(altered(data, _POLICY.encode()))


# ── Within bounded memory ────────────────────────────────────────────────────────────────────────

_LIMITED: Final = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from access_log.cli import main
sys.exit(main(sys.argv[1:]))
"""


def limited(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command within `MEMORY`."""
    command = [sys.executable, "-c", _LIMITED, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_bound_is_one(given_files: dict[str, Path]) -> None:
    """A good log verifies within it, and a program that reads what it is given does not."""
    done = limited("verify", given_files["log"], "--log-key", KEY, "--jobs", 1)
    assert (done.returncode, done.stderr) == (0, "")
    greedy = _LIMITED.replace("sys.exit(main(sys.argv[1:]))", "open('/dev/zero', 'rb').read(1 << 30)")
    done = subprocess.run(
        [sys.executable, "-c", greedy], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "MemoryError" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_however_long_is_read_whole(tmp_path: Path, given_files: dict[str, Path], kind: str) -> None:
    endless = tmp_path / "endless"
    endless.touch()
    os.truncate(endless, 1 << 40)
    file = given_files["log"].parent / kind
    arguments = commands(given_files)[kind]
    whole = file.read_bytes()
    try:
        file.unlink()
        file.symlink_to(endless)
        done = limited(*arguments)
    finally:
        file.unlink()
        file.write_bytes(whole)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    assert (done.stdout + done.stderr).count("\n") == 1


def test_a_size_beyond_all_bounds_costs_nothing(tmp_path: Path) -> None:
    """A log may sign any size; what it does not hold is missing."""
    log = publish(ENTRIES).write_to(tmp_path / "log")
    (log / "checkpoint").write_text(SIGNER.sign(Checkpoint(ORIGIN, 2**63 - 1, bytes(32))))
    for jobs in (1, 2):
        done = limited("verify", log, "--log-key", KEY, "--jobs", jobs)
        assert (done.returncode, done.stderr) == (1, "")
        assert "entry 256" in done.stdout
    kept = tmp_path / "kept"
    kept.write_text(sign(ENTRIES[:200]))
    done = limited("compare-checkpoints", kept, log / "checkpoint", "--log-key", KEY, "--log", log)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    (log / "tile/0/000").unlink()
    os.mkfifo(log / "tile/0/000")
    done = limited("verify", log, "--log-key", KEY)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no file" in done.stderr


def test_deep_json_is_no_overflow(given_files: dict[str, Path], tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.write_text("[" * 500_000 + "]" * 500_000)
    done = limited("check-opening", given_files["receipt"], deep, "--log-key", KEY)
    assert (done.returncode, done.stderr) == (1, "")
