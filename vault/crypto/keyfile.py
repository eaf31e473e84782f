"""The bytes of a keyring file: keys under AES-256-GCM under Argon2id of a passphrase (FORMAT 9).

Pure but for the nonce it draws: reading, writing and locking files is `keyring`'s.
"""

import binascii
import hashlib
import hmac
import json
import os
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vault.crypto import handover
from vault.crypto.derivation import KEY_SIZE
from vault.crypto.errors import KeyringError
from vault.crypto.provider import KeyKind
from vault.crypto.suites import NONCE_SIZE

_MAGIC: Final = b"creditvault keyring\n"
_VERSION: Final = 1
_SALT_SIZE: Final = 16
_DIGEST_SIZE: Final = 32
_HEADER: Final = struct.Struct(f">{len(_MAGIC)}sBIII{_SALT_SIZE}s{NONCE_SIZE}s")
HEADER_SIZE: Final = _HEADER.size
_LANES: Final = range(1, 65)
_ITERATIONS: Final = range(1, 101)
_MOST_MEMORY_KIB: Final = 1024 * 1024
_RESTORE: Final = "restore the file from its newest backup"


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one guess at the passphrase costs (RFC 9106 §4, the second recommended option)."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        # A forged header must not stop the machine.
        if (
            self.lanes not in _LANES
            or self.iterations not in _ITERATIONS
            or not 8 * self.lanes <= self.memory_kib <= _MOST_MEMORY_KIB
        ):
            raise ValueError("this cost of Argon2id is out of bounds")


DEFAULT_COST: Final = Argon2Cost()


@dataclass(slots=True)
class StoredKey:
    """A named key. It outlives its last version, so that no version number is ever used twice."""

    kind: KeyKind
    following: int = 1
    versions: dict[int, bytes] = field(default_factory=dict, repr=False)


class Keyfile:
    """Reads and writes one keyring file; holds the key derived from the passphrase, not the passphrase."""

    __slots__ = ("_cipher", "_cost", "_path", "_salt")

    def __init__(self, path: Path, key: bytes, cost: Argon2Cost, salt: bytes) -> None:
        self._path = path
        self._cost = cost
        self._salt = salt
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls, path: Path, passphrase: str, cost: Argon2Cost) -> Self:
        """For a file that is to be made.

        Raises:
            KeyringError: The passphrase is empty or no text.
        """
        salt = os.urandom(_SALT_SIZE)
        return cls(path, _derived(path, passphrase, cost, salt), cost, salt)

    @classmethod
    def of(cls, path: Path, passphrase: str, content: bytes) -> Self:
        """For a file that was read.

        Raises:
            KeyringError: The content is no keyring, or damaged; the passphrase is empty or no text.
        """
        cost, salt, _ = _split(path, content)
        return cls(path, _derived(path, passphrase, cost, salt), cost, salt)

    def succeeded(self, passphrase: str) -> tuple["Keyfile", bytes]:
        """For the same file under another passphrase, with a new salt; and the handover to it (9.6).

        Raises:
            KeyringError: The passphrase is empty or no text.
        """
        cost, salt = self._cost, os.urandom(_SALT_SIZE)
        key = _derived(self._path, passphrase, cost, salt)
        return Keyfile(self._path, key, cost, salt), handover.seal(self._cipher, key, _tells(cost, salt))

    def followed(self, content: bytes, handed: bytes | None) -> "Keyfile":
        """For the file as it was read, whose passphrase may have been changed since (9.6).

        Raises:
            KeyringError: The content is no keyring, or damaged, or nothing leads from the one before to it.
        """
        cost, salt, _ = _split(self._path, content)
        if (cost, salt) == (self._cost, self._salt):
            return self
        key = None if handed is None else handover.unseal(self._cipher, handed, _tells(cost, salt))
        if key is None:
            raise KeyringError(
                f"another keyring took the place of {self._path} while it was in use: restart with the "
                "passphrase that belongs to it"
            )
        return Keyfile(self._path, key, cost, salt)

    def opens(self, content: bytes) -> bool:
        """Whether the passphrase is that of a file.

        Raises:
            KeyringError: It is damaged, or no keyring.
        """
        _, _, nonce = _split(self._path, content)
        try:
            self._cipher.decrypt(nonce, content[HEADER_SIZE:-_DIGEST_SIZE], content[:HEADER_SIZE])
        except InvalidTag:
            return False
        return True

    def encode(self, keys: Mapping[str, StoredKey]) -> bytes:
        """The whole content of the file, with a new nonce."""
        document = {
            name: {
                "kind": key.kind.value,
                "following": key.following,
                "versions": {str(version): _base64(secret) for version, secret in key.versions.items()},
            }
            for name, key in keys.items()
        }
        plaintext = json.dumps({"keys": document}, separators=(",", ":")).encode()
        nonce = os.urandom(NONCE_SIZE)
        cost = self._cost
        header = _HEADER.pack(
            _MAGIC, _VERSION, cost.memory_kib, cost.iterations, cost.lanes, self._salt, nonce
        )
        body = header + self._cipher.encrypt(nonce, plaintext, header)
        return body + hashlib.sha256(body).digest()

    def decode(self, content: bytes) -> dict[str, StoredKey]:
        """The keys in the file.

        Raises:
            KeyringError: It is damaged, or the passphrase was another.
        """
        _, _, nonce = _split(self._path, content)
        header, sealed = content[:HEADER_SIZE], content[HEADER_SIZE:-_DIGEST_SIZE]
        try:
            return _keys(self._cipher.decrypt(nonce, sealed, header))
        except InvalidTag:
            raise KeyringError(
                f"the passphrase does not open the keyring {self._path}: check which passphrase belongs to it"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KeyringError(
                f"the keyring {self._path} holds what this release cannot read: {_RESTORE}, or use the "
                "release that wrote it"
            ) from None


def _split(path: Path, content: bytes) -> tuple[Argon2Cost, bytes, bytes]:
    """Cost, salt and nonce of a file that is whole. The digest tells damage from a wrong passphrase."""
    if not content.startswith(_MAGIC):
        raise KeyringError(f"{path} is no keyring: check the path, or {_RESTORE}")
    if content[len(_MAGIC) : len(_MAGIC) + 1] not in (b"", bytes((_VERSION,))):
        raise KeyringError(f"the keyring {path} is of another version: use the release that wrote it")
    body, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if len(body) < HEADER_SIZE or not hmac.compare_digest(hashlib.sha256(body).digest(), digest):
        raise KeyringError(f"the keyring {path} is damaged: {_RESTORE}")
    _, _, memory_kib, iterations, lanes, salt, nonce = _HEADER.unpack_from(content)
    try:
        return Argon2Cost(memory_kib, iterations, lanes), salt, nonce
    except ValueError:
        raise KeyringError(
            f"the keyring {path} asks for a cost of Argon2id out of bounds: {_RESTORE}"
        ) from None


def _derived(path: Path, passphrase: str, cost: Argon2Cost, salt: bytes) -> bytes:
    argon2 = Argon2id(
        salt=salt,
        length=KEY_SIZE,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return argon2.derive(_passphrase_bytes(path, passphrase))


def _tells(cost: Argon2Cost, salt: bytes) -> bytes:
    """What tells a file under one passphrase from the same under another."""
    return struct.pack(">III", cost.memory_kib, cost.iterations, cost.lanes) + salt


def _passphrase_bytes(path: Path, passphrase: str) -> bytes:
    try:
        encoded = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        # `from None`: the error quotes the text.
        raise KeyringError(f"the passphrase of the keyring {path} is not UTF-8 text") from None
    if not encoded:
        raise KeyringError(f"the passphrase of the keyring {path} is empty: name the file that holds it")
    return encoded


def _keys(plaintext: bytes) -> dict[str, StoredKey]:
    return {
        name: StoredKey(
            KeyKind(key["kind"]),
            int(key["following"]),
            {int(version): _secret(text) for version, text in key["versions"].items()},
        )
        for name, key in json.loads(plaintext)["keys"].items()
    }


def _base64(secret: bytes) -> str:
    return binascii.b2a_base64(secret, newline=False).decode("ascii")


def _secret(text: str) -> bytes:
    secret = binascii.a2b_base64(text, strict_mode=True)
    if len(secret) != KEY_SIZE:
        raise ValueError("a key has another length")
    return secret
