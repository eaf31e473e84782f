"""Tickets: what is stored for somebody and readable only while they show the secret it was made with.

A ticket travels in a cookie or a code. The table keeps its place, a digest from which the ticket cannot be
found, and a content sealed under a key made of the ticket: whoever reads the table alone learns nothing, and
a lost ticket opens nothing any more. Contents live for minutes, so their layout is no part of FORMAT.
"""

import base64
import os
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE, expand
from vault.crypto.padding import pad, unpad
from vault.crypto.suites import NONCE_SIZE, SUITE_BYTE, seal, unseal

_PLACE: Final = b"creditvault ticket place v1"
_SEAL: Final = b"creditvault ticket seal v1" + SUITE_BYTE
_TOKEN: Final = b"creditvault ticket token v1"


class Ticket:
    """A secret of 32 random bytes, and what can be made of it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_SIZE:
            raise ValueError(f"a ticket has {KEY_SIZE} bytes")
        self._secret = secret

    def __repr__(self) -> str:
        return "Ticket(hidden)"

    @classmethod
    def generate(cls) -> Self:
        """Draw a new ticket."""
        return cls(os.urandom(KEY_SIZE))

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read what `text` wrote; None for anything else."""
        try:
            ticket = cls(base64.b64decode((text or "") + "=", altchars=b"-_", validate=True))
        except ValueError:
            return None
        return ticket if ticket.text == text else None

    @property
    def text(self) -> str:
        """The ticket as it travels: 43 letters, digits, `-` and `_`."""
        return base64.urlsafe_b64encode(self._secret).rstrip(b"=").decode("ascii")

    @property
    def place(self) -> bytes:
        """Where its row is found, 32 bytes."""
        return expand(self._secret, _PLACE)

    @property
    def token(self) -> str:
        """A token that only the ticket's holder can be told: 64 hexadecimal digits. It is no way back."""
        return expand(self._secret, _TOKEN).hex()

    def seal(self, plaintext: bytes) -> bytes:
        """Seal what the row holds."""
        return seal(self._cipher(), os.urandom(NONCE_SIZE), pad(plaintext), self.place)

    def open(self, sealed: bytes) -> bytes:
        """Open what the row holds.

        Raises:
            UnsealError: It was altered, or belongs to another ticket.
        """
        return unpad(unseal(self._cipher(), sealed, self.place))

    def _cipher(self) -> AESGCM:
        return AESGCM(expand(self._secret, _SEAL))
