"""The sealed payloads of the access log (FORMAT 6)."""

import os
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE, derive
from vault.crypto.fields import named
from vault.crypto.padding import pad, unpad
from vault.crypto.suites import NONCE_SIZE, SUITE_BYTE, seal, unseal

_PAYLOAD: Final = b"creditvault payload v1" + SUITE_BYTE


class PayloadSealer:
    """Seals each payload for its one place in one log, under the month in which its retention ends.

    Args:
        payload_key: 32 bytes, the system's payload key.
        expiry_key: Gives the 32-byte expiry key of a month (yyyymm) and raises if it is gone. It is asked
            every time and nothing derived from its answers is kept here, so whoever holds the expiry keys
            can drop one and be done.
        origin: The log's origin.
    """

    __slots__ = ("_expiry_key", "_origin", "_payload_key")

    def __init__(self, payload_key: bytes, expiry_key: Callable[[int], bytes], origin: str) -> None:
        if len(payload_key) != KEY_SIZE:
            raise ValueError(f"a payload key has {KEY_SIZE} bytes")
        self._payload_key = payload_key
        self._expiry_key = expiry_key
        self._origin = named(origin)

    def seal(self, index: int, expiry_id: int, plaintext: bytes) -> bytes:
        """Seal the payload of the entry at `index`."""
        cipher, info = self._cipher(index, expiry_id)
        return seal(cipher, os.urandom(NONCE_SIZE), pad(plaintext), info)

    def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        """Open the payload of the entry at `index`.

        Raises:
            UnsealError: It was altered, or belongs to another entry, month or log.
        """
        cipher, info = self._cipher(index, expiry_id)
        return unpad(unseal(cipher, sealed, info))

    def _cipher(self, index: int, expiry_id: int) -> tuple[AESGCM, bytes]:
        info = _PAYLOAD + expiry_id.to_bytes(4, "big") + self._origin + index.to_bytes(8, "big")
        return AESGCM(derive(self._payload_key + self._expiry_key(expiry_id), info)), info
