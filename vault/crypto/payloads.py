"""The sealed payloads of the access log (FORMAT 6)."""

import os
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE, Derivation
from vault.crypto.envelopes import ExpiryKey
from vault.crypto.fields import named
from vault.crypto.padding import pad, unpad
from vault.crypto.suites import NONCE_SIZE, SUITE_BYTE, seal, unseal

_PAYLOAD: Final = b"creditvault payload v1" + SUITE_BYTE


class PayloadSealer:
    """Seals each payload for its one place in one log, under the month in which its retention ends.

    Nothing derived from an expiry key is kept here: whoever holds them can drop one and be done.

    Args:
        payload_key: 32 bytes, the system's payload key.
        origin: The log's origin.
    """

    __slots__ = ("_origin", "_payload_key")

    def __init__(self, payload_key: bytes, origin: str) -> None:
        if len(payload_key) != KEY_SIZE:
            raise ValueError(f"a payload key has {KEY_SIZE} bytes")
        self._payload_key = payload_key
        self._origin = named(origin)

    def until(self, month: ExpiryKey) -> "MonthSealer":
        """What seals and opens the payloads of one month. Let go of it at the end of the transaction."""
        return MonthSealer(self._payload_key + month.key, month.id, self._origin)


class MonthSealer:
    """Seals and opens the payloads whose retention ends in one month. Make it with `PayloadSealer.until`."""

    __slots__ = ("_derivation", "_info")

    def __init__(self, secret: bytes, expiry_id: int, origin: bytes) -> None:
        self._derivation = Derivation(secret)
        self._info = _PAYLOAD + expiry_id.to_bytes(4, "big") + origin

    def seal(self, index: int, plaintext: bytes) -> bytes:
        """Seal the payload of the entry at `index`."""
        return self.seal_from(index, [plaintext])[0]

    def seal_from(self, first: int, plaintexts: Sequence[bytes]) -> list[bytes]:
        """Seal the payloads of consecutive entries, the first of them at `first`."""
        nonces = os.urandom(NONCE_SIZE * len(plaintexts))
        sealed = []
        for at, plaintext in enumerate(plaintexts):
            info = self._info + (first + at).to_bytes(8, "big")
            nonce = nonces[at * NONCE_SIZE : (at + 1) * NONCE_SIZE]
            sealed.append(seal(AESGCM(self._derivation.key(info)), nonce, pad(plaintext), info))
        return sealed

    def open(self, index: int, sealed: bytes) -> bytes:
        """Open the payload of the entry at `index`.

        Raises:
            UnsealError: It was altered, or belongs to another entry, month or log.
        """
        info = self._info + index.to_bytes(8, "big")
        return unpad(unseal(AESGCM(self._derivation.key(info)), sealed, info))
