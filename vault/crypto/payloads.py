"""The sealed payloads of the access log (FORMAT 6)."""

import os
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE, Derivation
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

    def until(self, expiry_id: int) -> "MonthSealer":
        """What seals and opens the payloads of one month. Let go of it at the end of the transaction."""
        return MonthSealer(self._payload_key + self._expiry_key(expiry_id), expiry_id, self._origin)


class MonthSealer:
    """Seals and opens the payloads whose retention ends in one month. Make it with `PayloadSealer.until`."""

    __slots__ = ("_derivation", "_info")

    def __init__(self, secret: bytes, expiry_id: int, origin: bytes) -> None:
        self._derivation = Derivation(secret)
        self._info = _PAYLOAD + expiry_id.to_bytes(4, "big") + origin

    def seal(self, index: int, plaintext: bytes) -> bytes:
        """Seal the payload of the entry at `index`."""
        info = self._info + index.to_bytes(8, "big")
        return seal(AESGCM(self._derivation.key(info)), os.urandom(NONCE_SIZE), pad(plaintext), info)

    def open(self, index: int, sealed: bytes) -> bytes:
        """Open the payload of the entry at `index`.

        Raises:
            UnsealError: It was altered, or belongs to another entry, month or log.
        """
        info = self._info + index.to_bytes(8, "big")
        return unpad(unseal(AESGCM(self._derivation.key(info)), sealed, info))
