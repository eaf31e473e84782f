"""The protocol between logs and witnesses, by itself (FORMAT 8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint
from access_log.encoding import to_base64
from access_log.errors import FormatError
from access_log.merkle import EMPTY_ROOT
from access_log.signing_keys import SigningKey
from access_log.verifier_keys import VerifierKey
from access_log.witness.protocol import (
    MAX_PROOF,
    MAX_SUBMISSION,
    Cosigned,
    Refusal,
    Status,
    admit,
    follow,
    lines_by,
    origin_hash,
    parse_submission,
    write_submission,
)
from tests.access_log.witness.logs import KEY, ORIGIN, OTHER, SIGNER, TRUE, Tree

# The example of c2sp.org/tlog-witness, "add-checkpoint". Its signatures come without their keys.
C2SP = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 example.com/behind-the-sofa \
opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()
HASH = to_base64(bytes(32))
NOTE = TRUE.note(5)


def last(size: int) -> Cosigned:
    return Cosigned(size, TRUE.checkpoint(size).root, 1)


def test_the_example_of_the_specification_reads_and_re_encodes() -> None:
    read = parse_submission(C2SP)
    assert (read.old, len(read.proof)) == (20852014, 4)
    assert (read.checkpoint.origin, read.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert write_submission(read.old, read.proof, read.note) == C2SP


def test_the_hash_a_checkpoint_is_served_under() -> None:
    # printf example.com/behind-the-sofa | sha256sum
    expected = "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4"
    assert origin_hash("example.com/behind-the-sofa") == expected


@given(st.integers(0, 40), st.integers(0, 40))
def test_what_is_written_reads_back(old: int, size: int) -> None:
    body = TRUE.submission(old, size)
    read = parse_submission(body)
    assert (read.old, list(read.proof), read.note) == (old, list(TRUE.proof(old, size)), TRUE.note(size))
    assert read.checkpoint == TRUE.checkpoint(size)
    assert write_submission(read.old, read.proof, read.note) == body


MALFORMED = {
    "nothing": b"",
    "no old size": f"{HASH}\n\n{NOTE}".encode(),
    "no blank line": f"old 0\n{NOTE}".encode(),
    "leading zero": f"old 01\n\n{NOTE}".encode(),
    "negative": f"old -1\n\n{NOTE}".encode(),
    "too large a number": f"old {2**63}\n\n{NOTE}".encode(),
    "two spaces": f"old  1\n\n{NOTE}".encode(),
    "carriage return": f"old 1\r\n\n{NOTE}".encode(),
    "other digits": f"old \u0661\n\n{NOTE}".encode(),
    "short hash": f"old 1\n{to_base64(bytes(31))}\n\n{NOTE}".encode(),
    "unpadded hash": f"old 1\n{HASH.rstrip('=')}\n\n{NOTE}".encode(),
    "64 hashes": "\n".join(["old 1", *[HASH] * (MAX_PROOF + 1), "", NOTE]).encode(),
    "not UTF-8": f"old 1\n\n{NOTE}".encode() + b"\xff",
    "no signatures": f"old 1\n\n{TRUE.checkpoint(5).text()}".encode(),
    "extension line": f"old 1\n\n{NOTE}".replace("\n\n\u2014", "\nextra\n\n\u2014").encode(),
    "no root": f"old 1\n\n{ORIGIN}\n5\n\n{NOTE[NOTE.index(chr(0x2014)) :]}".encode(),
    "too long": b"old 1\n\n" + NOTE.encode() + b"x" * MAX_SUBMISSION,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(FormatError):
        parse_submission(body)


@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(TRUE.submission(3, 5))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        read = parse_submission(bytes(body))
    except FormatError:
        return
    assert write_submission(read.old, read.proof, read.note) == bytes(body)


# ── Admission ────────────────────────────────────────────────────────────────────────────────────


def test_who_may_be_admitted() -> None:
    good = parse_submission(TRUE.submission(3, 5))
    assert admit(good, [KEY]) is None
    assert _status(admit(good, [])) == Status.UNKNOWN_LOG
    stranger = VerifierKey.parse(SigningKey.from_seed(ORIGIN, bytes(32)).verifier_key())
    assert _status(admit(good, [stranger])) == Status.UNTRUSTED
    assert admit(good, [stranger, KEY]) is None, "one trusted signature is enough"
    assert _status(admit(parse_submission(TRUE.submission(6, 5)), [KEY])) == Status.MALFORMED


def test_a_trusted_keys_line_that_fails_refuses_the_whole() -> None:
    second = SigningKey.from_seed(ORIGIN, bytes(32))
    (*_, wrong) = second.sign(TRUE.checkpoint(4)).splitlines()
    submission = parse_submission(write_submission(0, [], TRUE.note(5) + wrong + "\n"))
    assert admit(submission, [KEY]) is None, "unknown lines are passed over"
    assert _status(admit(submission, [KEY, VerifierKey.parse(second.verifier_key())])) == Status.UNTRUSTED


def test_malformed_signature_lines() -> None:
    with pytest.raises(FormatError):
        admit(parse_submission(write_submission(0, [], TRUE.note(5) + "nonsense\n")), [KEY])


# ── The step that is atomic ──────────────────────────────────────────────────────────────────────


def _status(refusal: Refusal | None) -> Status | None:
    return None if refusal is None else refusal.status


EMPTY_WRONG = Checkpoint(ORIGIN, 0, bytes(32))
FOLLOWING = {
    "the first": (TRUE.submission(0, 5), None, None),
    "the first, of an empty log": (TRUE.submission(0, 0), None, None),
    "after an empty log": (TRUE.submission(0, 5), last(0), None),
    "a longer one": (TRUE.submission(3, 5), last(3), None),
    "the same again": (TRUE.submission(5, 5), last(5), None),
    "old is not the last": (TRUE.submission(3, 5), last(4), Status.CONFLICT),
    "old is zero, something was cosigned": (TRUE.submission(0, 5), last(4), Status.CONFLICT),
    "nothing was cosigned, old is not zero": (TRUE.submission(3, 5), None, Status.CONFLICT),
    "the same size, another root": (OTHER.submission(5, 5), last(5), Status.INCONSISTENT),
    "a proof of another history": (OTHER.submission(3, 5), last(3), Status.INCONSISTENT),
    "no proof": (write_submission(3, [], NOTE), last(3), Status.INCONSISTENT),
    "a proof cut short": (write_submission(3, TRUE.proof(3, 5)[:-1], NOTE), last(3), Status.INCONSISTENT),
    "a proof too long": (
        write_submission(3, [*TRUE.proof(3, 5), bytes(32)], NOTE), last(3), Status.INCONSISTENT,
    ),
    "a proof although old is zero": (write_submission(0, [bytes(32)], NOTE), None, Status.INCONSISTENT),
    "a proof between equal sizes": (write_submission(5, [bytes(32)], NOTE), last(5), Status.INCONSISTENT),
    "no entries, some root": (
        write_submission(0, [], SIGNER.sign(EMPTY_WRONG)), None, Status.INCONSISTENT,
    ),
    "no entries, some root, again": (
        write_submission(0, [], SIGNER.sign(EMPTY_WRONG)), Cosigned(0, EMPTY_ROOT, 1), Status.INCONSISTENT,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "before", "expected"), FOLLOWING.values(), ids=FOLLOWING.keys())
def test_what_may_follow(body: bytes, before: Cosigned | None, expected: Status | None) -> None:
    refusal = follow(parse_submission(body), before)
    assert _status(refusal) == expected
    if expected == Status.CONFLICT:
        assert refusal is not None
        assert refusal.size == (0 if before is None else before.size)


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([TRUE, OTHER]))
def test_only_what_extends_the_last_follows(old: int, more: int, tree: Tree) -> None:
    """Against a model: the same leaves up to the last size."""
    refusal = follow(parse_submission(tree.submission(old, old + more)), last(old) if old else None)
    assert (refusal is None) == (tree is TRUE or old == 0)


def test_lines_are_picked_by_key_and_once() -> None:
    second = SigningKey.from_seed(ORIGIN, bytes(32))
    note = TRUE.note(5)
    (*_, line) = note.splitlines()
    (*_, other) = second.sign(TRUE.checkpoint(5)).splitlines()
    assert lines_by(f"{note}{other}\n{line}\n", [KEY]) == line + "\n"
    assert lines_by(f"{note}{other}\n", [VerifierKey.parse(second.verifier_key())]) == other + "\n"
    assert not lines_by(note, [])
