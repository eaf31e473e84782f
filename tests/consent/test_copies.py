"""The citizen's copy: what verifies, and what does not."""

import json

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from consent.copies import TYPE, CopySigner, verify_copy
from consent.errors import CopyError
from consent.journal import digest

SEED = bytes(range(32))
RECORD = json.dumps({"record_id": "1", "name": "\u5f20\u4f1f"}, ensure_ascii=False)
SIGNER = CopySigner(SEED)
JWKS = {"keys": [SIGNER.public_key()]}


def test_a_copy_verifies_under_the_published_key_and_gives_the_record_and_its_digest() -> None:
    verified = verify_copy(SIGNER.sign(RECORD.encode()) + "\n", JWKS)
    assert verified.record == json.loads(RECORD)
    assert verified.digest == digest(RECORD)


def test_any_letter_that_is_another_is_found() -> None:
    copy = SIGNER.sign(RECORD.encode())
    for place in range(0, len(copy) - 1, 7):
        other = "A" if copy[place] != "A" else "B"
        with pytest.raises(CopyError):
            verify_copy(copy[:place] + other + copy[place + 1 :], JWKS)


@pytest.mark.parametrize("copy", ["", "a", "a.b.c", "\u00e9", "a" * 100_000])
def test_what_is_no_copy_does_not_verify(copy: str) -> None:
    with pytest.raises(CopyError):
        verify_copy(copy, JWKS)


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": []}, {"keys": [{"kty": "oct", "k": "AA"}]}])
def test_keys_that_are_none_verify_nothing(jwks: object) -> None:
    with pytest.raises(CopyError, match="keys cannot be used"):
        verify_copy(SIGNER.sign(RECORD.encode()), jwks)


def test_another_key_or_another_type_does_not_verify() -> None:
    other = CopySigner(bytes(32))
    with pytest.raises(CopyError):
        verify_copy(other.sign(RECORD.encode()), JWKS)
    key = OKPKey.generate_key("Ed25519")
    statement = jws.serialize_compact(
        {"alg": "Ed25519", "typ": "creditvault-statement"}, RECORD, key, algorithms=["Ed25519"]
    )
    with pytest.raises(CopyError, match="another type"):
        verify_copy(statement, {"keys": [key.as_dict(private=False)]})
    assert TYPE == "creditvault-consent"
