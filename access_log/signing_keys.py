"""The private keys of a log and of those who cosign it (FORMAT 5)."""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from access_log.checkpoint_text import Checkpoint, require_name
from access_log.errors import FormatError
from access_log.note import SignatureLine
from access_log.verifier_keys import (
    COSIGNATURE_TYPES,
    ED25519,
    ED25519_COSIGNATURE,
    ML_DSA_44,
    TIME_SIZE,
    VerifierKey,
    ed25519_cosigned,
    ml_dsa_cosigned,
)

_SEED: Final = 32


class SigningKey:
    """A log's own Ed25519 key (type 0x01), which signs its checkpoints."""

    __slots__ = ("_private", "key", "name")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        require_name(name)
        self.name = name
        self.key = VerifierKey(name, ED25519, private.public_key().public_bytes_raw())
        self._private = private

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "SigningKey":
        """Make the key of the log `name` from its 32 secret bytes.

        Raises:
            FormatError: The name may not stand in a signature line, or the seed has another length.
        """
        return cls(name, Ed25519PrivateKey.from_private_bytes(_seed(seed)))

    def verifier_key(self) -> str:
        """The public half, as it is handed to verifiers."""
        return str(self.key)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Sign a checkpoint of this log and return the whole note.

        Raises:
            FormatError: The checkpoint is another log's.
        """
        return sign_note(checkpoint, [self])

    def line(self, checkpoint: Checkpoint, _time: int = 0) -> str:
        """Sign a checkpoint of this log and return the signature line, which states no time.

        Raises:
            FormatError: The checkpoint is another log's.
        """
        if checkpoint.origin != self.name:
            raise FormatError("a log signs checkpoints of its own origin only")
        return str(SignatureLine(self.name, self.key.id, self._private.sign(checkpoint.text().encode())))


class CosigningKey:
    """A key of type 0x04 or 0x06: a witness's, an auditor's, or a log's own of ML-DSA-44."""

    __slots__ = ("_private", "key", "name")

    def __init__(self, name: str, private: Ed25519PrivateKey | MLDSA44PrivateKey) -> None:
        require_name(name)
        kind = ML_DSA_44 if isinstance(private, MLDSA44PrivateKey) else ED25519_COSIGNATURE
        self.name = name
        self.key = VerifierKey(name, kind, private.public_key().public_bytes_raw())
        self._private = private

    @classmethod
    def from_seed(cls, name: str, kind: int, seed: bytes) -> "CosigningKey":
        """Make a cosigner's key from its 32 secret bytes; `kind` is one of `COSIGNATURE_TYPES`.

        Raises:
            FormatError: The name may not stand in a signature line, the type is no cosignature's, or the
                seed has another length.
        """
        if kind not in COSIGNATURE_TYPES:
            raise FormatError("a cosigning key is of type 0x04 or 0x06")
        if kind == ML_DSA_44:
            return cls(name, MLDSA44PrivateKey.from_seed_bytes(_seed(seed)))
        return cls(name, Ed25519PrivateKey.from_private_bytes(_seed(seed)))

    def verifier_key(self) -> str:
        """The public half, as it is handed to verifiers."""
        return str(self.key)

    def line(self, checkpoint: Checkpoint, time: int) -> str:
        """Cosign a checkpoint and return the signature line.

        Args:
            checkpoint: What the cosigner has made sure of.
            time: POSIX seconds, not zero; a key of type 0x06 may give 0 and so make no statement of when.

        Raises:
            FormatError: The time is out of its bounds.
        """
        message = (
            ml_dsa_cosigned(self.name, time, checkpoint)
            if self.key.type == ML_DSA_44
            else ed25519_cosigned(time, checkpoint.text())
        )
        signature = time.to_bytes(TIME_SIZE, "big") + self._private.sign(message)
        return str(SignatureLine(self.name, self.key.id, signature))


def sign_note(checkpoint: Checkpoint, keys: Sequence[SigningKey | CosigningKey], time: int = 0) -> str:
    """Sign a checkpoint with several keys of its log and return the whole note.

    Args:
        checkpoint: The state to sign.
        keys: Those in force, one at least.
        time: POSIX seconds that keys of type 0x06 state; 0 for none.

    Raises:
        FormatError: There is no key, or the checkpoint is another log's.
    """
    if not keys or any(key.name != checkpoint.origin for key in keys):
        raise FormatError("a log signs checkpoints of its own origin only, with one key at least")
    return checkpoint.text() + "\n" + "".join(key.line(checkpoint, time) for key in keys)


def _seed(seed: bytes) -> bytes:
    if len(seed) != _SEED:
        raise FormatError("a signing seed has 32 bytes")
    return seed
