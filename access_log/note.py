"""Signed notes: a text, and who signed it (FORMAT 5).

Source: c2sp.org/signed-note.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from access_log.checkpoint_text import require_name
from access_log.encoding import from_base64, to_base64
from access_log.errors import FormatError, VerificationError
from access_log.verifier_keys import ID_SIZE, VerifierKey

MAX_NOTE: Final = 256 * 1024
"""The longest note that is read, in bytes of UTF-8: room for `MAX_SIGNATURES` of ML-DSA-44."""
MAX_SIGNATURES: Final = 64
"""The most signature lines that are read; C2SP asks for 16 at least."""

_DASH: Final = "\u2014 "


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of a note that was verified.

    Attributes:
        key: The key that made it.
        time: POSIX seconds, for a cosignature; 0 where one of type 0x06 states none.
    """

    key: VerifierKey
    time: int | None


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A signature line as it stands in a note; nothing in it is verified yet.

    Attributes:
        name: The signer it names.
        key_id: Four bytes.
        signature: What that key is said to have made.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> "SignatureLine":
        """Read a line without its newline.

        Raises:
            FormatError: It is no signature line.
        """
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH):
            raise FormatError("a signature line does not begin with a dash (U+2014) and a space")
        require_name(name)
        signature = from_base64(encoded, "a signature")
        if len(signature) <= ID_SIZE:
            raise FormatError("a signature line holds no signature")
        return cls(name, signature[:ID_SIZE], signature[ID_SIZE:])


def verify_note(note: str | bytes, keys: Sequence[VerifierKey]) -> tuple[str, tuple[Signature, ...]]:
    """Verify a signed note of any text.

    Args:
        note: The whole note.
        keys: The keys the caller trusts.

    Returns:
        The signed text and the verified signatures.

    Raises:
        FormatError: It is no signed note.
        VerificationError: A signature of a known key fails, or there is none.
    """
    text, lines = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    if len(known) != len(set(keys)):
        raise FormatError("two of the keys given share a name and an id")
    verified: list[Signature] = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:  # Another signer, or a type of signature this version does not know.
            continue
        verified.append(Signature(key, key.verify(text, line.signature)))
    if not verified:
        raise VerificationError(f"no signature is by a key that was given; {_whose(lines, keys)}")
    return text, tuple(verified)


def _whose(lines: Sequence[SignatureLine], keys: Sequence[VerifierKey]) -> str:
    """What to do about a note that no given key signed."""
    renamed = sorted({line.name for line in lines} & {key.name for key in keys})
    if renamed:
        return (
            f"{renamed[0]} signed with another key; if it changed its keys, "
            "`python -m access_log follow-keys` establishes the new ones from yours"
        )
    return f"the signers are {', '.join(sorted({line.name for line in lines}))}"


def split_note(note: str | bytes) -> tuple[str, tuple[SignatureLine, ...]]:
    """Take a note apart without verifying anything.

    Returns:
        The text, its last newline included, and the signature lines.

    Raises:
        FormatError: It is no signed note, or longer or with more signatures than is read.
    """
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
    return text + "\n", tuple(_signature_lines(lines))


def _signature_lines(lines: Sequence[str]) -> Iterator[SignatureLine]:
    for at, line in enumerate(lines, 1):
        try:
            yield SignatureLine.parse(line)
        except FormatError as error:
            raise FormatError(f"signature line {at}: {error}") from None
