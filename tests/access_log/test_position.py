"""Going on where an earlier audit ended (FORMAT 10.6)."""

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import SigningKey, VerifierKey
from access_log.contradiction import ContradictionError, Kind, Signed
from access_log.errors import FormatError, VerificationError
from access_log.merkle import Frontier, leaf_hash
from access_log.position import Position, read_state, write_state
from access_log.tiles import encode_bundle
from access_log.verify import Audit, verify_log
from tests.access_log.simulator import KEYS, ORIGIN, Memory, make_entries, publish, sign

ENTRIES = make_entries(1100)
SIZES = [0, 1, 255, 256, 257, 511, 512, 700, 1024, 1100]


class Watched(Memory):
    """Remembers which files were read."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.files)
        self.read_paths: list[str] = []

    def read(self, path: str, limit: int) -> bytes | None:
        self.read_paths.append(path)
        return super().read(path, limit)


def audited(size: int) -> Audit:
    return verify_log(publish(ENTRIES[:size]), KEYS)


def taken_up(audit: Audit) -> tuple[Position, Signed]:
    """What a later run reads from the file of this one."""
    return read_state(write_state(audit.position, audit.signed), KEYS)


@given(st.sampled_from(SIZES), st.sampled_from(SIZES))
def test_a_resumed_audit_finds_what_a_whole_one_finds(one: int, other: int) -> None:
    older, newer = sorted((one, other))
    whole = audited(newer)
    resumed = verify_log(publish(ENTRIES[:newer]), KEYS, resume=taken_up(audited(older)))
    assert replace(resumed, begun_at=0) == whole
    assert resumed.begun_at == older // 256 * 256
    assert whole.position.frontier() == Frontier.empty().extend(
        [leaf_hash(entry) for entry in ENTRIES[: newer // 256 * 256]]
    )


def test_only_what_is_new_is_read() -> None:
    log = Watched(publish(ENTRIES))
    verify_log(log, KEYS, resume=taken_up(audited(700)))
    assert sorted(set(log.read_paths)) == [
        "checkpoint",
        "tile/0/002",
        "tile/0/003",
        "tile/0/004.p/76",
        "tile/1/000.p/4",
        "tile/entries/002",
        "tile/entries/003",
        "tile/entries/004.p/76",
    ]


def test_new_entries_are_audited_as_ever() -> None:
    log = publish(ENTRIES)
    raw = bytearray(log.files["tile/entries/003"])
    raw[108 * 7 + 50] ^= 1
    log.files["tile/entries/003"] = bytes(raw)
    with pytest.raises(VerificationError, match="entry 775"):
        verify_log(log, KEYS, resume=taken_up(audited(700)))


def test_a_history_made_anew_contradicts_what_was_seen() -> None:
    """The key was stolen: everything is signed again, but for what the inspector saw before."""
    forged = [*ENTRIES[:100], ENTRIES[100][:-1] + b"\x00", *make_entries(1100, origin="x")[101:]]
    for size, kind in ((1100, Kind.REWRITTEN), (700, Kind.FORK), (699, Kind.ROLLED_BACK)):
        log = publish(forged[:size])
        with pytest.raises(ContradictionError) as caught:
            verify_log(log, KEYS, resume=taken_up(audited(700)))
        assert caught.value.kind is kind
        assert caught.value.evidence == (sign(ENTRIES[:700]), sign(forged[:size]))


def test_a_history_made_anew_past_a_full_bundle_contradicts_what_was_seen() -> None:
    log = publish([*ENTRIES[:100], ENTRIES[100][:-1] + b"\x00", *ENTRIES[101:]])
    with pytest.raises(ContradictionError):
        verify_log(log, KEYS, resume=taken_up(audited(512)))


def test_earlier_checkpoints_from_before_the_state_are_compared_by_tiles() -> None:
    seen = taken_up(audited(700))
    for size in (1, 300, 512, 700, 900):
        note = sign(ENTRIES[:size])
        earlier = Signed(audited(size).checkpoint, note)
        verify_log(publish(ENTRIES), KEYS, resume=seen, earlier=[earlier])
        other = Signed(replace(earlier.checkpoint, root=bytes(32)), note)
        with pytest.raises(ContradictionError):
            verify_log(publish(ENTRIES), KEYS, resume=seen, earlier=[other])


def test_a_file_with_full_tiles_above_the_leaves() -> None:
    entries = make_entries(65_536 + 300)
    audit = verify_log(publish(entries[:65_536]), KEYS)
    assert [len(row) for row in audit.position.rows] == [0, 1]
    state = write_state(audit.position, audit.signed)
    assert read_state(state, KEYS) == (audit.position, audit.signed)
    assert verify_log(publish(entries), KEYS, resume=read_state(state, KEYS)).begun_at == 65_536


STATE = write_state(audited(1100).position, audited(1100).signed)


@given(st.integers(0, len(STATE) - 1), st.characters())
def test_no_altered_file_is_taken_up(at: int, letter: str) -> None:
    altered = STATE[:at] + letter + STATE[at + 1 :]
    if altered != STATE:
        with pytest.raises(FormatError):
            read_state(altered, KEYS)


@given(st.text(max_size=300) | st.integers(0, len(STATE) - 1).map(lambda end: STATE[:end]))
def test_no_text_makes_another_failure(text: str) -> None:
    with pytest.raises(FormatError):
        read_state(text, KEYS)


def summed(body: str) -> str:
    """A file with the sum that fits: what somebody who may write the file can make."""
    position = audited(0)
    whole = write_state(position.position, position.signed)
    assert whole.startswith("creditvault verifier state v1\nsha256 ")
    return (
        f"creditvault verifier state v1\nsha256 {b64encode(sha256(body.encode()).digest()).decode()}\n{body}"
    )


@given(st.integers(0, len(STATE) - 1), st.sampled_from(" 0A=/\n-\u00e9"))
def test_a_file_made_to_fit_its_sum_is_malformed_or_taken_as_it_stands(at: int, letter: str) -> None:
    body = STATE.split("\n", 2)[2]
    altered = body[: at % len(body)] + letter + body[at % len(body) + 1 :]
    try:
        position, seen = read_state(summed(altered), KEYS)
    except FormatError:
        return
    assert summed(altered) == write_state(position, seen)


def test_a_file_of_another_key_is_not_taken_up() -> None:
    stranger = VerifierKey.parse(SigningKey.from_seed(ORIGIN, bytes(32)).verifier_key())
    with pytest.raises(FormatError, match="does not verify"):
        read_state(STATE, [stranger])


def test_parts_that_do_not_fit_are_refused() -> None:
    good = audited(1100).position
    for change in (
        {"size": 1025},
        {"size": 512},
        {"rows": ()},
        {"rows": ((bytes(31),) * 4,)},
        {"chain": b""},
        {"time": 2**60},
        {"first_time": None},
        {"first_time": good.time + 1},
    ):
        with pytest.raises(FormatError):
            replace(good, **change)


def test_a_bundle_taken_away_from_before_the_state_is_not_looked_for() -> None:
    """What a resumed run does not show (FORMAT 10.6): that old entries are still served."""
    log = publish(ENTRIES)
    log.files["tile/entries/000"] = encode_bundle([])
    assert verify_log(log, KEYS, resume=taken_up(audited(700))).begun_at == 512
