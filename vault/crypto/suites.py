"""The container every ciphertext of the vault has: version, suite, nonce, ciphertext, tag (FORMAT 1).

Readers accept only enabled suites, so a retired or not yet trusted one cannot be talked in by whoever
can write ciphertexts.
"""

from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.errors import UnsealError

VERSION: Final = 1
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16


class Suite(IntEnum):
    """The algorithms a ciphertext was made with; the number is its second byte."""

    AES_256_GCM = 1
    """AES-256-GCM with HKDF-SHA-256."""
    SM4_GCM = 2
    """SM4-GCM with HKDF-SM3: the number is reserved, nothing writes or reads it yet."""


ENABLED: Final = frozenset({Suite.AES_256_GCM})
SUITE: Final = Suite.AES_256_GCM
"""The suite that writes."""
SUITE_BYTE: Final = bytes((SUITE,))
HEADER: Final = bytes((VERSION, SUITE))
_BODY: Final = len(HEADER) + NONCE_SIZE
_SMALLEST: Final = _BODY + TAG_SIZE


def seal(cipher: AESGCM, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Seal with the writing suite. The caller draws the nonce, so that one draw can serve many."""
    return HEADER + nonce + cipher.encrypt(nonce, plaintext, associated)


def unseal(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        UnsealError: It is too short, of an unknown version or a suite that is not enabled, or it was not
            sealed by this key with this associated data.
    """
    if len(sealed) < _SMALLEST:
        raise UnsealError(f"a ciphertext has at least {_SMALLEST} bytes")
    if sealed[0] != VERSION:
        raise UnsealError(f"ciphertext version {sealed[0]} is unknown: this release reads version {VERSION}")
    if sealed[1] not in ENABLED:
        raise UnsealError(f"suite {sealed[1]} is not enabled")
    try:
        return cipher.decrypt(sealed[2:_BODY], sealed[_BODY:], associated)
    except InvalidTag:
        raise UnsealError("the ciphertext was altered, moved, or sealed by another key") from None
