"""Signing with every type of key, and several at once (FORMAT 5)."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint, open_note, open_signed_note
from access_log.errors import AccessLogError, FormatError, VerificationError
from access_log.note import MAX_NOTE, SignatureLine, verify_note
from access_log.signing_keys import CosigningKey, SigningKey, sign_note
from access_log.verifier_keys import ED25519, ED25519_COSIGNATURE, ML_DSA_44, VerifierKey
from tests.access_log.simulator import ORIGIN, SIGNER

CHECKPOINT = Checkpoint(ORIGIN, 1204, bytes(range(32)))
OWN = CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes(32))
WITNESSES = [
    CosigningKey.from_seed("witness.example/w1", ED25519_COSIGNATURE, bytes(32)),
    CosigningKey.from_seed("witness.example/w2", ML_DSA_44, bytes(32)),
]
TIME = 1_790_000_000
BOTH = sign_note(CHECKPOINT, [SIGNER, OWN], TIME)


def test_either_of_the_logs_keys_alone_opens_the_checkpoint() -> None:
    for keys in ([SIGNER.key], [OWN.key], [SIGNER.key, OWN.key]):
        assert open_note(BOTH, keys) == CHECKPOINT
    for key in (SIGNER, OWN):
        assert open_note(sign_note(CHECKPOINT, [key], TIME), [key.key]) == CHECKPOINT
    with pytest.raises(VerificationError, match="no signature is by a key that was given"):
        open_note(sign_note(CHECKPOINT, [OWN], TIME), [SIGNER.key])


def test_a_given_key_that_fails_rejects_what_the_other_signed() -> None:
    failing = str(SignatureLine(ORIGIN, OWN.key.id, bytes(8 + 2420)))
    note = SIGNER.sign(CHECKPOINT) + failing
    assert open_note(note, [SIGNER.key]) == CHECKPOINT
    with pytest.raises(VerificationError, match="was altered"):
        open_note(note, [SIGNER.key, OWN.key])


def test_the_message_of_a_post_quantum_signature_is_that_of_the_document() -> None:
    """cosigned_message of c2sp.org/tlog-cosignature, put together here by hand."""
    line = SignatureLine.parse(WITNESSES[1].line(CHECKPOINT, TIME).removesuffix("\n"))
    message = b"subtree/v1\n\x00" + b"\x12witness.example/w2" + TIME.to_bytes(8, "big")
    message += (
        b"\x16vault.example/log/2026" + (0).to_bytes(8, "big") + (1204).to_bytes(8, "big") + bytes(range(32))
    )
    assert line.key_id == WITNESSES[1].key.id
    assert line.signature[:8] == TIME.to_bytes(8, "big")
    MLDSA44PublicKey.from_public_bytes(WITNESSES[1].key.public).verify(line.signature[8:], message)


@pytest.mark.parametrize("cosigner", WITNESSES)
def test_a_cosignature_states_its_time(cosigner: CosigningKey) -> None:
    note = SIGNER.sign(CHECKPOINT) + cosigner.line(CHECKPOINT, TIME)
    checkpoint, signatures = open_signed_note(note, [SIGNER.key, cosigner.key])
    assert checkpoint == CHECKPOINT
    assert [(each.key, each.time) for each in signatures] == [(SIGNER.key, None), (cosigner.key, TIME)]


@pytest.mark.parametrize("cosigner", WITNESSES)
def test_a_cosignature_is_bound_to_time_origin_size_and_root(cosigner: CosigningKey) -> None:
    keys = [cosigner.key]
    line = SignatureLine.parse(cosigner.line(CHECKPOINT, TIME).removesuffix("\n"))
    later = replace(line, signature=(TIME + 1).to_bytes(8, "big") + line.signature[8:])
    with pytest.raises(VerificationError):
        verify_note(f"{CHECKPOINT.text()}\n{later}", keys)
    for other in (
        replace(CHECKPOINT, origin="other.example"),
        replace(CHECKPOINT, size=1205),
        replace(CHECKPOINT, root=bytes(32)),
    ):
        with pytest.raises(VerificationError):
            verify_note(f"{other.text()}\n{line}", keys)


def test_a_post_quantum_cosignature_is_bound_to_its_name() -> None:
    namesake = CosigningKey.from_seed("witness.example/other", ML_DSA_44, bytes(32))
    line = SignatureLine.parse(WITNESSES[1].line(CHECKPOINT, TIME).removesuffix("\n"))
    moved = replace(line, name=namesake.name, key_id=namesake.key.id)
    with pytest.raises(VerificationError):
        verify_note(f"{CHECKPOINT.text()}\n{moved}", [namesake.key])


def test_times_have_bounds() -> None:
    ed25519, post_quantum = WITNESSES
    note = f"{CHECKPOINT.text()}\n{post_quantum.line(CHECKPOINT, 0)}"
    assert verify_note(note, [post_quantum.key])[1][0].time == 0
    for cosigner, time in ((ed25519, 0), (ed25519, 2**63), (post_quantum, 2**63)):
        with pytest.raises(FormatError, match="time"):
            cosigner.line(CHECKPOINT, time)
        stated = SignatureLine(cosigner.name, cosigner.key.id, time.to_bytes(8, "big") + bytes(64))
        with pytest.raises(VerificationError):
            verify_note(f"{CHECKPOINT.text()}\n{stated}", [cosigner.key])


def test_a_key_that_cosigns_checkpoints_verifies_no_other_text() -> None:
    note = f"any text\n\n{WITNESSES[1].line(CHECKPOINT, TIME)}"
    with pytest.raises(FormatError, match="three lines"):
        verify_note(note, [WITNESSES[1].key])


def test_a_witness_of_any_type_does_not_make_a_checkpoint() -> None:
    for cosigner in WITNESSES:
        with pytest.raises(VerificationError, match="signature of the log it names"):
            open_note(f"{CHECKPOINT.text()}\n{cosigner.line(CHECKPOINT, TIME)}", [cosigner.key])


def test_signatures_of_another_length_do_not_verify() -> None:
    for length in (1, 8, 9, 8 + 2419, 8 + 2421, 4000):
        line = SignatureLine(ORIGIN, OWN.key.id, bytes(length))
        with pytest.raises(VerificationError):
            verify_note(f"{CHECKPOINT.text()}\n{line}", [OWN.key])


@given(st.data())
def test_any_flipped_bit_is_found(data: st.DataObject) -> None:
    raw = bytearray(sign_note(CHECKPOINT, [OWN], TIME).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(AccessLogError):
        open_note(bytes(raw), [OWN.key])


@given(st.sampled_from([ED25519_COSIGNATURE, ML_DSA_44]), st.binary(min_size=32, max_size=32))
def test_keys_read_back(kind: int, seed: bytes) -> None:
    key = CosigningKey.from_seed("witness.example/w1", kind, seed)
    assert VerifierKey.parse(key.verifier_key()) == key.key
    assert str(VerifierKey.parse(str(key.key))) == str(key.key)


def test_a_seed_is_that_of_fips_204() -> None:
    """The seed is the ξ of FIPS 204, so that other implementations make the same key of it."""
    public = MLDSA44PrivateKey.from_seed_bytes(bytes(range(32))).public_key().public_bytes_raw()
    assert CosigningKey.from_seed(ORIGIN, ML_DSA_44, bytes(range(32))).key.public == public


def test_what_makes_no_key_is_refused() -> None:
    for kind in (ED25519_COSIGNATURE, ML_DSA_44):
        with pytest.raises(FormatError, match="32 bytes"):
            CosigningKey.from_seed(ORIGIN, kind, bytes(31))
    with pytest.raises(FormatError, match="0x04 or 0x06"):
        CosigningKey.from_seed(ORIGIN, ED25519, bytes(32))
    with pytest.raises(FormatError, match="no spaces"):
        CosigningKey.from_seed("two words", ML_DSA_44, bytes(32))
    with pytest.raises(FormatError, match="32 bytes"):
        SigningKey.from_seed(ORIGIN, bytes(33))


def test_a_log_signs_its_own_origin_only_and_with_a_key() -> None:
    cases: tuple[list[SigningKey | CosigningKey], ...] = ([], [SIGNER, WITNESSES[1]])
    for keys in cases:
        with pytest.raises(FormatError, match="own origin"):
            sign_note(CHECKPOINT, keys, TIME)
    with pytest.raises(FormatError, match="own origin"):
        SIGNER.line(replace(CHECKPOINT, origin="other.example"))


def test_sixty_four_post_quantum_signatures_under_long_names_fit() -> None:
    names = [f"{number:02}".ljust(255, "n") for number in range(64)]
    lines = "".join(str(SignatureLine(name, b"none", bytes(8 + 2420))) for name in names[:-1])
    assert len(BOTH + lines) < MAX_NOTE
    assert open_note(sign_note(CHECKPOINT, [OWN], TIME) + lines, [OWN.key]) == CHECKPOINT
