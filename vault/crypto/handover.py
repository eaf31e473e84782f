"""What lets running processes go on when the passphrase of their keyring is changed (FORMAT 9.6).

They hold the key that the old passphrase gave, and cannot ask for the new one. So beside the keyring lies,
for a short while, the new file key sealed under the old one:

    1. the handover is durable             (the keyring is as it was; what the handover holds opens nothing)
    2. the keyring is written anew         (durable: the new passphrase opens it, the old one does not)
    3. every process takes the new file key over at its next look, which is soon
    4. the handover is removed

While it lies there the old passphrase opens the new file by way of it, as it opened the old one before. A
crash between 1 and 4 leaves it: whoever opens or looks at the keyring removes one that is older than `LIFE`.
"""

import os
import struct
import time
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.derivation import KEY_SIZE
from vault.crypto.replacing import replace
from vault.crypto.suites import NONCE_SIZE

LIFE: Final = 60.0
"""Seconds after which it is removed: processes look every 15."""

_MAGIC: Final = b"creditvault keyring handover\n"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct(f">{len(_MAGIC)}sB")
_SIZE: Final = _PREFIX.size + NONCE_SIZE + KEY_SIZE + 16


def seal(former: AESGCM, key: bytes, successor: bytes) -> bytes:
    """A handover.

    Args:
        former: the file key before.
        key: the file key after, 32 bytes.
        successor: what tells the new file from others: cost and salt of its header.
    """
    prefix, nonce = _PREFIX.pack(_MAGIC, _VERSION), os.urandom(NONCE_SIZE)
    return prefix + nonce + former.encrypt(nonce, key, prefix + successor)


def unseal(former: AESGCM, handover: bytes, successor: bytes) -> bytes | None:
    """The file key after; None if this is no handover from that key to that file."""
    prefix, rest = handover[: _PREFIX.size], handover[_PREFIX.size :]
    if len(handover) != _SIZE or prefix != _PREFIX.pack(_MAGIC, _VERSION):
        return None
    try:
        return former.decrypt(rest[:NONCE_SIZE], rest[NONCE_SIZE:], prefix + successor)
    except InvalidTag:
        return None


def write(keyring: Path, handover: bytes) -> None:
    """Put a handover beside a keyring, for its owner; durable on return. The caller holds its lock.

    Raises:
        OSError: it could not be written.
    """
    replace(_path(keyring), handover, owner_of=keyring)


def read(keyring: Path) -> bytes | None:
    """The handover beside a keyring; None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with _path(keyring).open("rb") as file:
            return file.read(_SIZE + 1)
    except FileNotFoundError:
        return None


def lasts(keyring: Path) -> bool:
    """Whether there is one that processes may still need; one that is past its life is removed.

    Raises:
        OSError: it could not be removed.
    """
    path = _path(keyring)
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if abs(age) < LIFE:  # A clock that was set back must not keep it.
        return True
    path.unlink(missing_ok=True)
    return False


def remove(keyring: Path) -> None:
    """End it now.

    Raises:
        OSError: it could not be removed.
    """
    _path(keyring).unlink(missing_ok=True)


def _path(keyring: Path) -> Path:
    return keyring.with_name(keyring.name + ".handover")
