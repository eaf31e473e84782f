"""Public keys, and what a signature of each type is made over (FORMAT 5).

Source: c2sp.org/signed-note (0x01), c2sp.org/tlog-cosignature (0x04, 0x06).
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from access_log.checkpoint_text import Checkpoint, require_name
from access_log.encoding import LARGEST, from_base64, to_base64
from access_log.errors import FormatError, VerificationError

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06

LOG_TYPES: Final = (ED25519, ML_DSA_44)
"""What a log signs its own checkpoints with, under its origin."""
COSIGNATURE_TYPES: Final = (ED25519_COSIGNATURE, ML_DSA_44)
"""What witnesses and auditors sign with; each signature states a time."""

ID_SIZE: Final = 4
TIME_SIZE: Final = 8

_SIZES: Final = {ED25519: 32, ED25519_COSIGNATURE: 32, ML_DSA_44: 1312}
_PARTS: Final = 3
_SUBTREE: Final = b"subtree/v1\n\0"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name it signs with.

    Attributes:
        name: The signer; for a log's own key its origin.
        type: `ED25519`, `ED25519_COSIGNATURE` or `ML_DSA_44`.
        public: The public key: 32 bytes of Ed25519, 1,312 of ML-DSA-44.
    """

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signature lines name the key."""
        return sha256(self.name.encode() + b"\n" + bytes((self.type,)) + self.public).digest()[:ID_SIZE]

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read `name+hex(id)+base64(type ‖ public key)`.

        Raises:
            FormatError: The text is no such key, its id does not fit, or its type is unknown here.
        """
        name, key_id, material = _key_parts(text)
        size = _SIZES.get(material[0])
        if size is None:
            raise FormatError(f"this verifier does not know keys of type 0x{material[0]:02x}")
        if len(material) != 1 + size:
            raise FormatError(f"a key of type 0x{material[0]:02x} has {size:,} bytes")
        key = cls(name, material[0], material[1:])
        if key.id.hex() != key_id:
            raise FormatError("the verifier key's id does not fit its name and key: it was altered or cut")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(bytes((self.type,)) + self.public)}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check one signature over a note text.

        Returns:
            The POSIX time in seconds a cosignature states (0 for none); None for a plain signature.

        Raises:
            FormatError: The key is of a type that signs checkpoints only, and the text is none.
            VerificationError: The signature is not this key's over this text.
        """
        if self.type == ED25519:
            self._verify(signature, text.encode())
            return None
        time = int.from_bytes(signature[:TIME_SIZE], "big")
        checkpoint = Checkpoint.parse(text) if self.type == ML_DSA_44 else None
        try:
            message = (
                ed25519_cosigned(time, text)
                if checkpoint is None
                else ml_dsa_cosigned(self.name, time, checkpoint)
            )
        except FormatError as error:
            raise VerificationError(f"the cosignature of {self.name} does not verify: {error}") from None
        self._verify(signature[TIME_SIZE:], message)
        return time

    def makes_checkpoints_of(self, origin: str) -> bool:
        """Whether this is a log's own key: of a type logs sign with, under its origin (FORMAT 5, step 5)."""
        return self.name == origin and self.type in LOG_TYPES

    def _verify(self, signature: bytes, message: bytes) -> None:
        try:
            if self.type == ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):  # An ML-DSA signature of another length is a ValueError.
            raise VerificationError(
                f"the signature of {self.name} does not fit: the text or the signature was altered"
            ) from None


def ed25519_cosigned(time: int, text: str) -> bytes:
    """The message of a cosignature of type 0x04 over a note text; `time` is POSIX seconds, not zero.

    Raises:
        FormatError: The time is out of its bounds.
    """
    if not 0 < time <= LARGEST:
        raise FormatError("a cosignature of type 0x04 states a time of 1 to 2^63 - 1")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def ml_dsa_cosigned(name: str, time: int, checkpoint: Checkpoint) -> bytes:
    """The message of a cosignature of type 0x06 by `name`; time 0 makes no statement of when.

    Raises:
        FormatError: The time is out of its bounds.
    """
    if not 0 <= time <= LARGEST:
        raise FormatError("a cosignature of type 0x06 states a time of 0 to 2^63 - 1")
    cosigner, origin = name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            _SUBTREE,
            bytes((len(cosigner),)),
            cosigner,
            time.to_bytes(TIME_SIZE, "big"),
            bytes((len(origin),)),
            origin,
            bytes(8),  # A checkpoint's tree starts at entry 0.
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def parse_keys(text: str) -> tuple[VerifierKey, ...]:
    """Read verifier keys, one a line; empty lines and lines that begin with `#` are passed over.

    Keys of types this version does not know are passed over too, because their signatures are.

    Raises:
        FormatError: A line is no verifier key, or no line holds a key this version can use.
    """
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    known = [line for line in named if _key_parts(line)[2][0] in _SIZES]
    if not known:
        raise FormatError("there is no key here that this verifier can use")
    return tuple(VerifierKey.parse(line) for line in known)


def _key_parts(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    if len(parts) != _PARTS:
        raise FormatError("a verifier key has the form name+id+key")
    name, key_id, encoded = parts
    require_name(name)
    material = from_base64(encoded, "the key")
    if not material:
        raise FormatError("the verifier key is empty")
    return name, key_id, material
