"""The second verifier, which was written from FORMAT.md alone, and ours say the same of every log."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import cli
from access_log.checkpoint import Checkpoint, open_note
from access_log.entry import first_chain
from access_log.merkle import Frontier, leaf_hash
from access_log.receipt import write_receipt
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import ED25519_COSIGNATURE, ML_DSA_44
from tests.access_log.simulator import (
    KEYS,
    ORIGIN,
    SIGNER,
    START,
    make_entries,
    naive_inclusion,
    publish,
    sign,
)
from tests.access_log.test_sources import serving

FILE = Path(__file__).parents[2] / "docs" / "second_verifier.py"
ENTRIES = make_entries(600)
KEY = SIGNER.verifier_key()
FILES = publish(ENTRIES).files


@pytest.fixture(scope="module")
def second() -> ModuleType:
    module = ModuleType("second_verifier")
    exec(compile(FILE.read_text(), FILE, "exec"), module.__dict__)  # noqa: S102 - a script of ours
    return module


def agreed(second: ModuleType, what: str, place: str | Path, key: str | Path = KEY) -> int:
    """The verdict, which must be the same of both."""
    command = "verify" if what == "log" else "check-receipt"
    ours = cli.main([command, str(place), "--log-key", str(key)])
    assert second.main([what, str(place), str(key)]) == ours
    return ours


def test_it_is_short_and_shares_nothing() -> None:
    text = FILE.read_text()
    assert len(text.splitlines()) <= 200
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= sys.stdlib_module_names | {"cryptography"}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 600])
def test_good_logs(second: ModuleType, tmp_path: Path, size: int) -> None:
    assert agreed(second, "log", publish(ENTRIES[:size]).write_to(tmp_path)) == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FILES)), st.data())
def test_altered_logs(second: ModuleType, tmp_path: Path, path: str, data: st.DataObject) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    raw = bytearray(FILES[path])
    at = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "more", "gone", "empty"]))
    if kind == "flip":
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = {"flip": bytes(raw), "cut": bytes(raw[:at]), "more": bytes(raw) + b"\n", "empty": b""}
    if kind == "gone":
        (log / path).unlink()
    else:
        (log / path).write_bytes(changed[kind])
    expected = 2 if (path, kind) == ("checkpoint", "gone") else 1
    assert agreed(second, "log", log) == expected


def test_post_quantum_signatures_and_cosignatures(second: ModuleType, tmp_path: Path) -> None:
    log = publish(ENTRIES).write_to(tmp_path / "log")
    checkpoint = open_note(sign(ENTRIES), KEYS)
    own = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes(32))
    one = CosigningKey.from_seed("witness.example", ML_DSA_44, bytes(32))
    other = CosigningKey.from_seed("witness.example", ED25519_COSIGNATURE, bytes(32))
    lines = {each: each.line(checkpoint, START // 1000) for each in (own, one, other)}
    key = tmp_path / "keys"
    for trusted, good in (([own], 0), ([own, one, other], 0), ([one, other], 1)):
        key.write_text("".join(f"{each.verifier_key()}\n" for each in trusted))
        (log / "checkpoint").write_text(checkpoint.text() + "\n" + "".join(lines.values()))
        assert agreed(second, "log", log, key) == good
        for each in trusted:
            broken = lines[each][:-9] + ("A" if lines[each][-9] != "A" else "B") + lines[each][-8:]
            (log / "checkpoint").write_text(
                checkpoint.text() + "\n" + "".join({**lines, each: broken}.values())
            )
            assert agreed(second, "log", log, key) == 1


def test_rules_that_no_flipped_bit_meets(second: ModuleType, tmp_path: Path) -> None:
    """Logs that are signed and chained as they should be, but for one rule."""

    def published(entries: list[bytes], note: str | None = None) -> Path:
        log = publish(entries).write_to(tmp_path / "log")
        if note is not None:
            (log / "checkpoint").write_text(note)
        return log

    chain = first_chain(ORIGIN)
    head = b"\x01\x05" + START.to_bytes(8, "big") + chain
    for changed in (
        b"\x02" + head[1:],
        b"\x01\x0b" + head[2:],
        b"\x01\x05" + (253_402_300_800_000).to_bytes(8, "big") + chain,
        head[:10] + bytes(32),
    ):
        assert agreed(second, "log", published([changed + bytes(64)])) == 1
    assert agreed(second, "log", published([head + bytes(64)])) == 0
    last = (253_402_300_799_999).to_bytes(8, "big")
    assert agreed(second, "log", published([b"\x01\x05" + last + chain + bytes(64)])) == 0
    assert agreed(second, "log", published([*ENTRIES[:9], ENTRIES[10], ENTRIES[9]])) == 1
    root = Frontier.empty().extend([leaf_hash(each) for each in ENTRIES[:9]]).root()
    good = SIGNER.sign(Checkpoint(ORIGIN, 9, root))
    for note in (
        good.replace("\n9\n", "\n09\n"),
        good.replace("\u2014", "-"),
        good + "\n",
        "\n" + good,
        good * 2,
    ):
        assert agreed(second, "log", published(ENTRIES[:9], note)) == 1
    others = "\u2014 witness.example AAAAAAAA\n"
    assert agreed(second, "log", published(ENTRIES[:9], good + others)) == 0
    assert agreed(second, "log", published(ENTRIES[:9], good + others * 63)) == 0
    assert agreed(second, "log", published(ENTRIES[:9], good + others * 64)) == 1
    assert agreed(second, "log", published(ENTRIES[:9], good + others.replace("AAAAAAAA", "AAAA"))) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 300), st.data())
def test_receipts(second: ModuleType, tmp_path: Path, size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = naive_inclusion(index, [leaf_hash(each) for each in ENTRIES[:size]])
    receipt = write_receipt(ENTRIES[index], index, proof, sign(ENTRIES[:size]))
    file = tmp_path / "receipt"
    file.write_text(receipt)
    assert agreed(second, "receipt", file) == 0
    at = data.draw(st.integers(0, len(receipt) - 1))
    letter = data.draw(st.sampled_from("\n 01A=\u2014"))
    altered = data.draw(
        st.sampled_from([receipt[:at], receipt[:at] + letter + receipt[at + 1 :], receipt + letter])
    )
    file.write_text(altered)
    assert agreed(second, "receipt", file) == (0 if altered == receipt else 1)


def test_over_http(second: ModuleType) -> None:
    with serving(publish(ENTRIES)) as server:
        url = server.url.rstrip("/")
        assert agreed(second, "log", url) == 0
        del server.memory.files["tile/entries/001"]
        assert agreed(second, "log", url) == 1
        del server.memory.files["checkpoint"]
        assert agreed(second, "log", url) == 2


def test_it_runs_by_itself(tmp_path: Path) -> None:
    publish(ENTRIES).write_to(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", FILE, "log", tmp_path, KEY],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"good: all 600 entries of {ORIGIN} verify\n",
        "",
    )
