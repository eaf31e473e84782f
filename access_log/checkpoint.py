"""Signed notes and the checkpoints in them (FORMAT 5).

Source: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from access_log.encoding import HASH_SIZE, LARGEST, from_base64, from_decimal, to_base64
from access_log.errors import FormatError, VerificationError

MAX_NOTE: Final = 64 * 1024
"""The longest note that is read, in bytes of UTF-8."""
MAX_SIGNATURES: Final = 64
"""The most signature lines that are read; C2SP asks for 16 at least."""

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04

_MAX_NAME: Final = 255
_ID_SIZE: Final = 4
_TIME_SIZE: Final = 8
_KEY_SIZE: Final = 32
_LINES: Final = 3
_DASH: Final = "\u2014 "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log that its operator signs.

    Attributes:
        origin: The log's name, 1 to 255 bytes without white space, control characters or plus.
        size: The number of entries.
        root: The Merkle root over them, 32 bytes.

    Raises:
        FormatError: A part is out of its bounds.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        require_name(self.origin)
        if not 0 <= self.size <= LARGEST or len(self.root) != HASH_SIZE:
            raise FormatError("a checkpoint has a size of 0 to 2^63 - 1 and a root of 32 bytes")

    def text(self) -> str:
        """The note text, which is what is signed."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note text; whatever is accepted re-encodes to the same text.

        Raises:
            FormatError: The text is no checkpoint of ours; extension lines are refused.
        """
        lines = text.split("\n")
        if len(lines) != _LINES + 1 or lines[-1]:
            raise FormatError("a checkpoint's text has three lines: origin, size and root")
        origin, size, root, _ = lines
        return cls(origin, from_decimal(size, "the tree size"), from_base64(root, "the root hash", HASH_SIZE))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name it signs with.

    Attributes:
        name: The signer; for a log's own key its origin.
        type: `ED25519` or `ED25519_COSIGNATURE`.
        public: The Ed25519 public key, 32 bytes.
    """

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signature lines name the key."""
        return sha256(self.name.encode() + b"\n" + bytes((self.type,)) + self.public).digest()[:_ID_SIZE]

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read `name+hex(id)+base64(type ‖ public key)`.

        Raises:
            FormatError: The text is no such key, its id does not fit, or its type is unknown here.
        """
        name, key_id, material = _key_parts(text)
        if material[0] not in (ED25519, ED25519_COSIGNATURE):
            raise FormatError(f"this verifier does not know keys of type 0x{material[0]:02x}")
        if len(material) != 1 + _KEY_SIZE:
            raise FormatError("an Ed25519 key has 32 bytes")
        key = cls(name, material[0], material[1:])
        if key.id.hex() != key_id:
            raise FormatError("the verifier key's id does not fit its name and key: it was altered or cut")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(bytes((self.type,)) + self.public)}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check one signature over a note text.

        Returns:
            The POSIX time in seconds a cosignature states; None for a plain signature.

        Raises:
            VerificationError: The signature is not this key's over this text.
        """
        if self.type == ED25519:
            self._verify(signature, text.encode())
            return None
        time = int.from_bytes(signature[:_TIME_SIZE], "big")
        if not 0 < time <= LARGEST:
            raise VerificationError(f"the cosignature of {self.name} states no time")
        self._verify(signature[_TIME_SIZE:], f"cosignature/v1\ntime {time}\n{text}".encode())
        return time

    def _verify(self, signature: bytes, message: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            raise VerificationError(
                f"the signature of {self.name} does not fit: the text or the signature was altered"
            ) from None


def parse_keys(text: str) -> tuple[VerifierKey, ...]:
    """Read verifier keys, one a line; empty lines and lines that begin with `#` are passed over.

    Keys of types this version does not know are passed over too, because their signatures are.

    Raises:
        FormatError: A line is no verifier key, or no line holds a key this version can use.
    """
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    known = [line for line in named if _key_parts(line)[2][0] in (ED25519, ED25519_COSIGNATURE)]
    if not known:
        raise FormatError("there is no key here that this verifier can use")
    return tuple(VerifierKey.parse(line) for line in known)


def _key_parts(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    if len(parts) != _LINES:
        raise FormatError("a verifier key has the form name+id+key")
    name, key_id, encoded = parts
    require_name(name)
    material = from_base64(encoded, "the key")
    if not material:
        raise FormatError("the verifier key is empty")
    return name, key_id, material


class SigningKey:
    """A log's own Ed25519 key, which signs its checkpoints."""

    __slots__ = ("_private", "name")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        require_name(name)
        self.name = name
        self._private = private

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "SigningKey":
        """Make the key of the log `name` from its 32 secret bytes.

        Raises:
            FormatError: The name may not stand in a signature line, or the seed has another length.
        """
        if len(seed) != _KEY_SIZE:
            raise FormatError("a signing seed has 32 bytes")
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    def verifier_key(self) -> str:
        """The public half, as it is handed to verifiers."""
        return str(VerifierKey(self.name, ED25519, self._private.public_key().public_bytes_raw()))

    def sign(self, checkpoint: Checkpoint) -> str:
        """Sign a checkpoint of this log and return the whole note.

        Raises:
            FormatError: The checkpoint is another log's.
        """
        if checkpoint.origin != self.name:
            raise FormatError("a log signs checkpoints of its own origin only")
        text = checkpoint.text()
        key_id = VerifierKey.parse(self.verifier_key()).id
        signature = to_base64(key_id + self._private.sign(text.encode()))
        return f"{text}\n{_DASH}{self.name} {signature}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of a note that was verified.

    Attributes:
        key: The key that made it.
        time: POSIX seconds, for a cosignature.
    """

    key: VerifierKey
    time: int | None


def verify_note(note: str | bytes, keys: Sequence[VerifierKey]) -> tuple[str, tuple[Signature, ...]]:
    """Verify a signed note of any text (c2sp.org/signed-note).

    Args:
        note: The whole note.
        keys: The keys the caller trusts.

    Returns:
        The signed text and the verified signatures.

    Raises:
        FormatError: It is no signed note.
        VerificationError: A signature of a known key fails, or there is none.
    """
    text, lines = _split_note(note)
    known = {(key.name, key.id): key for key in keys}
    if len(known) != len(set(keys)):
        raise FormatError("two of the keys given share a name and an id")
    verified: list[Signature] = []
    for name, key_id, signature in lines:
        key = known.get((name, key_id))
        if key is None:  # Another signer, or a type of signature this version does not know.
            continue
        verified.append(Signature(key, key.verify(text, signature)))
    if not verified:
        signers = ", ".join(sorted({name for name, _, _ in lines}))
        raise VerificationError(f"no signature is by a key that was given; the signers are {signers}")
    return text, tuple(verified)


def open_note(note: str | bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Verify a note and read the checkpoint in it.

    Args:
        note: The whole note, at most `MAX_NOTE` bytes.
        keys: The keys the caller trusts: the log's own, and witnesses' if there are any.

    Raises:
        FormatError: It is no signed note, or its text no checkpoint.
        VerificationError: A signature of a known key fails, or the log's own is missing.
    """
    text, signatures = verify_note(note, keys)
    checkpoint = Checkpoint.parse(text)
    # A log signs under its origin; a witness's word alone does not make a checkpoint (FORMAT 5).
    if not any(each.key.name == checkpoint.origin and each.key.type == ED25519 for each in signatures):
        raise VerificationError("the checkpoint does not carry the signature of the log it names")
    return checkpoint


def require_name(name: str) -> None:
    """Refuse a name that may not stand in a signature line, or is too long to be an origin.

    Raises:
        FormatError: The name is empty, over 255 bytes, or has a space, a plus or a control character.
    """
    if not name or "+" in name or any(each.isspace() or not each.isprintable() for each in name):
        raise FormatError("a key name or origin has no spaces, plus signs or control characters")
    if len(name.encode()) > _MAX_NAME:
        raise FormatError(f"a key name or origin has at most {_MAX_NAME} bytes")


def _split_note(note: str | bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    try:
        raw = note.encode() if isinstance(note, str) else note
        whole = raw.decode()
    except UnicodeError:
        raise FormatError("the note is not UTF-8") from None
    if len(raw) > MAX_NOTE:
        raise FormatError(f"the note has more than {MAX_NOTE} bytes")
    if any(each < " " and each != "\n" for each in whole):
        raise FormatError("the note has a control character")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise FormatError("the note has no signature lines after a blank line")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError(f"the note has more than {MAX_SIGNATURES} signatures")
    return text + "\n", list(_signature_lines(lines))


def _signature_lines(lines: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH):
            raise FormatError("a signature line does not begin with a dash (U+2014) and a space")
        require_name(name)
        signature = from_base64(encoded, "a signature")
        if len(signature) <= _ID_SIZE:
            raise FormatError("a signature line holds no signature")
        yield name, signature[:_ID_SIZE], signature[_ID_SIZE:]
