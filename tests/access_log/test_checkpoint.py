"""Signed notes and checkpoints (FORMAT 5)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey, open_note, parse_keys
from access_log.encoding import to_base64
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.note import MAX_NOTE, MAX_SIGNATURES, split_note, verify_note
from access_log.verifier_keys import ED25519, ED25519_COSIGNATURE, ed25519_cosigned
from tests.access_log.simulator import KEYS, ORIGIN, SIGNER

CHECKPOINT = Checkpoint(ORIGIN, 1204, bytes(range(32)))
NOTE = SIGNER.sign(CHECKPOINT)
NOTES = Path(__file__).parents[1] / "vectors" / "notes"
SUMDB = json.loads((NOTES / "sumdb.json").read_text())
C2SP = json.loads((NOTES / "c2sp.json").read_text())

WITNESS_SEED = Ed25519PrivateKey.from_private_bytes(bytes(32))
WITNESS = VerifierKey("witness.example/w1", ED25519_COSIGNATURE, WITNESS_SEED.public_key().public_bytes_raw())


def line(key: VerifierKey, signature: bytes) -> str:
    return f"\u2014 {key.name} {to_base64(key.id + signature)}\n"


def cosignature(text: str, time: int) -> str:
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    return line(WITNESS, time.to_bytes(8, "big") + WITNESS_SEED.sign(message))


def test_a_note_of_another_implementation_verifies() -> None:
    key = VerifierKey.parse(SUMDB["key"])
    text, (signature,) = verify_note(SUMDB["note"], [key])
    assert text == SUMDB["text"]
    assert signature.key == key
    assert str(key) == SUMDB["key"]
    with pytest.raises(VerificationError, match="was altered"):
        verify_note(SUMDB["note"].replace("problem", "riddle"), [key])


def test_the_example_of_the_signed_note_document_verifies() -> None:
    example = C2SP["signed-note"]
    key = VerifierKey.parse(example["key"])
    assert verify_note(example["note"], [key])[0] == "This is an example message.\n"
    with pytest.raises(VerificationError, match="was altered"):
        verify_note(example["note"].replace("example message", "Example message"), [key])


def test_the_examples_of_the_checkpoint_documents_are_read() -> None:
    text, (own,) = split_note(C2SP["tlog-checkpoint"])
    cosigned, (same, witness) = split_note(C2SP["tlog-cosignature"]["note"])
    assert Checkpoint.parse(text).text() == text == cosigned
    assert own == same
    assert f"{text}\n{own}{witness}" == C2SP["tlog-cosignature"]["note"]
    time = int.from_bytes(witness.signature[:8], "big")
    assert ed25519_cosigned(time, text).decode() == C2SP["tlog-cosignature"]["message"]


def test_that_note_is_no_checkpoint() -> None:
    with pytest.raises(FormatError, match="three lines"):
        open_note(SUMDB["note"], [VerifierKey.parse(SUMDB["key"])])


def test_a_signed_checkpoint_opens_as_text_and_as_bytes() -> None:
    assert open_note(NOTE, KEYS) == open_note(NOTE.encode(), KEYS) == CHECKPOINT
    assert NOTE.startswith(
        f"{ORIGIN}\n1204\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\u2014 {ORIGIN} "
    )


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_written_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert open_note(SIGNER.sign(checkpoint), KEYS) == checkpoint


@given(st.data())
def test_any_flipped_bit_is_found(data: st.DataObject) -> None:
    raw = bytearray(NOTE.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(AccessLogError):
        open_note(bytes(raw), KEYS)


@given(st.text())
def test_any_text_is_a_note_or_a_format_error(text: str) -> None:
    with pytest.raises(AccessLogError):
        open_note(text, KEYS)


def test_signatures_of_others_are_ignored() -> None:
    stranger = SigningKey.from_seed("stranger.example", bytes(32))
    same_name = SigningKey.from_seed(ORIGIN, bytes(32))
    post_quantum = f"\u2014 {ORIGIN} {to_base64(b'mlds' + bytes(8 + 2420))}\n"
    others = "".join(line(VerifierKey.parse(key.verifier_key()), bytes(64)) for key in (stranger, same_name))
    assert open_note(NOTE + others + post_quantum, KEYS) == CHECKPOINT
    with pytest.raises(VerificationError, match="no signature is by a key that was given"):
        open_note(CHECKPOINT.text() + "\n" + others, KEYS)


def test_a_known_key_that_fails_rejects_the_note() -> None:
    with pytest.raises(VerificationError, match="was altered"):
        open_note(NOTE + line(KEYS[0], bytes(64)), KEYS)


def test_a_witness_cosigns_with_its_time() -> None:
    text = CHECKPOINT.text()
    note = NOTE + cosignature(text, 1_790_000_000)
    assert open_note(note, [*KEYS, WITNESS]) == CHECKPOINT
    _, signatures = verify_note(note, [*KEYS, WITNESS])
    assert [(each.key.name, each.time) for each in signatures] == [
        (ORIGIN, None),
        (WITNESS.name, 1_790_000_000),
    ]


def test_a_cosignature_is_bound_to_its_time() -> None:
    text = CHECKPOINT.text()
    signature = WITNESS_SEED.sign(f"cosignature/v1\ntime 5\n{text}".encode())
    for stated in (0, 6, 2**63):
        with pytest.raises(VerificationError):
            open_note(NOTE + line(WITNESS, stated.to_bytes(8, "big") + signature), [*KEYS, WITNESS])
    unprefixed = (5).to_bytes(8, "big") + WITNESS_SEED.sign(text.encode())
    with pytest.raises(VerificationError):
        open_note(NOTE + line(WITNESS, unprefixed), [*KEYS, WITNESS])


def test_a_witness_alone_does_not_make_a_checkpoint() -> None:
    text = CHECKPOINT.text()
    note = f"{text}\n{cosignature(text, 7)}"
    with pytest.raises(VerificationError, match="signature of the log it names"):
        open_note(note, [*KEYS, WITNESS])


def test_another_logs_key_does_not_make_our_checkpoint() -> None:
    other = SigningKey.from_seed("other.example/log", bytes(32))
    key = VerifierKey.parse(other.verifier_key())
    signature = Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(CHECKPOINT.text().encode())
    with pytest.raises(VerificationError, match="signature of the log it names"):
        open_note(f"{CHECKPOINT.text()}\n{line(key, signature)}", [key])


def test_parts_out_of_bounds_make_no_checkpoint() -> None:
    for size, root in ((-1, bytes(32)), (2**63, bytes(32)), (0, bytes(31))):
        with pytest.raises(FormatError):
            Checkpoint(ORIGIN, size, root)


def test_a_log_signs_its_own_origin_only() -> None:
    with pytest.raises(FormatError, match="own origin"):
        SIGNER.sign(replace(CHECKPOINT, origin="other.example"))
    with pytest.raises(FormatError, match="32 bytes"):
        SigningKey.from_seed(ORIGIN, bytes(31))


def test_the_text_ends_at_the_last_blank_line() -> None:
    text = "one\n\ntwo\n"
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    note = f"{text}\n{line(KEYS[0], private.sign(text.encode()))}"
    assert verify_note(note, KEYS)[0] == text


def test_many_signatures_are_read_and_too_many_refused() -> None:
    stranger = line(VerifierKey("s.example", ED25519, bytes(32)), bytes(64))
    assert MAX_SIGNATURES >= 16
    assert open_note(NOTE + stranger * (MAX_SIGNATURES - 1), KEYS) == CHECKPOINT
    with pytest.raises(FormatError, match="signatures"):
        open_note(NOTE + stranger * MAX_SIGNATURES, KEYS)


def with_text(text: str) -> str:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return f"{text}\n{line(KEYS[0], private.sign(text.encode()))}"


ROOT = to_base64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n1\n",
        f"{ORIGIN}\n1\n{ROOT}\nextension\n",
        f"{ORIGIN}\n01\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n1_0\n{ROOT}\n",
        f"{ORIGIN}\n\u0661\n{ROOT}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
        f"{ORIGIN}\n1\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n1\n{ROOT[:-2]}B=\n",
        f"{ORIGIN}\n1\n{to_base64(bytes(31))}\n",
        f" {ORIGIN}\n1\n{ROOT}\n",
        f"a+b\n1\n{ROOT}\n",
        f"\n1\n{ROOT}\n",
        f"{'x' * 256}\n1\n{ROOT}\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        open_note(with_text(text), KEYS)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        CHECKPOINT.text(),
        NOTE.rstrip("\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014 ", "- "),
        NOTE.replace("\u2014 ", "\u2014  "),
        NOTE + "\n",
        NOTE + "trailing\n",
        NOTE + f"\u2014 {ORIGIN}\n",
        NOTE + f"\u2014 {ORIGIN} {to_base64(b'four')}\n",
        NOTE + f"\u2014 {ORIGIN} !!!!\n",
        NOTE.replace("\n1204", "\r\n1204"),
        NOTE.encode() + b"\xff\n",
        "\ud800" + NOTE,
        "x" * MAX_NOTE + NOTE,
    ],
)
def test_what_is_no_signed_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(FormatError):
        open_note(note, KEYS)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "name",
        "name+00000000",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+",
        "PeterNeumann+c74f20a3+AQ==",
        "PeterNeumann+c74f20a3+Bhpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_what_is_no_verifier_key_is_refused(key: str) -> None:
    with pytest.raises(FormatError):
        VerifierKey.parse(key)


def test_a_file_of_keys_may_hold_comments_and_keys_of_later_types() -> None:
    later = f"{ORIGIN}+00000000+{to_base64(bytes([5]) + bytes(1312))}"
    text = f"# the log\n\n{KEYS[0]}\n{WITNESS}\n{later}\n"
    assert parse_keys(text) == (*KEYS, WITNESS)
    for unusable in ("", "# none\n", later, f"{KEYS[0]}\nnonsense\n"):
        with pytest.raises(FormatError):
            parse_keys(unusable)


def test_two_keys_that_cannot_be_told_apart_are_refused() -> None:
    class Colliding(VerifierKey):
        id = KEYS[0].id

    other = Colliding(ORIGIN, ED25519, bytes(32))
    with pytest.raises(FormatError, match="share"):
        open_note(NOTE, [*KEYS, other])
    assert open_note(NOTE, [*KEYS, *KEYS]) == CHECKPOINT
