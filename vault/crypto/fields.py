"""The fields of one record version, each sealed for the one place it belongs to (FORMAT 4)."""

import os
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.padding import pad, unpad
from vault.crypto.suites import HEADER, NONCE_SIZE, seal, unseal

_LONGEST_NAME: Final = 255


class FieldSealer:
    """Seals and opens the fields of one record version. Made by `RecordKey.fields`, never by hand.

    One AEAD key serves all fields of a record version, so it is expanded and scheduled once; the name of
    the field in the associated data keeps them apart.
    """

    __slots__ = ("_associated", "_cipher")

    def __init__(self, key: bytes, place: bytes, category: str) -> None:
        self._cipher = AESGCM(key)
        self._associated = HEADER + place + named(category)

    def seal(self, values: Mapping[str, bytes]) -> dict[str, bytes]:
        """Seal the values of the named fields, each a UTF-8 JSON text."""
        nonces = os.urandom(NONCE_SIZE * len(values))
        return {
            field: seal(
                self._cipher,
                nonces[NONCE_SIZE * at : NONCE_SIZE * (at + 1)],
                pad(value),
                self._associated + named(field),
            )
            for at, (field, value) in enumerate(values.items())
        }

    def open(self, field: str, sealed: bytes) -> bytes:
        """Open one field.

        Raises:
            UnsealError: It was altered, or belongs to another field, category, record, version or person.
        """
        return unpad(unseal(self._cipher, sealed, self._associated + named(field)))


def named(name: str) -> bytes:
    """`u8 length ‖ name`, as every format of the vault writes a name.

    Raises:
        ValueError: The name is empty or longer than 255 bytes.
    """
    encoded = name.encode()
    if not 0 < len(encoded) <= _LONGEST_NAME:
        raise ValueError("a name has between 1 and 255 bytes")
    return bytes((len(encoded),)) + encoded
