"""Checkpoints: the state of a log, signed by it (FORMAT 5).

The parts lie in files of their own: `checkpoint_text` (what is signed), `verifier_keys`, `note` (signed
notes) and `signing_keys`.
"""

from collections.abc import Sequence

from access_log.checkpoint_text import Checkpoint
from access_log.errors import VerificationError
from access_log.note import MAX_NOTE, Signature, verify_note
from access_log.signing_keys import SigningKey
from access_log.verifier_keys import VerifierKey, parse_keys

__all__ = [
    "MAX_NOTE",
    "Checkpoint",
    "SigningKey",
    "VerifierKey",
    "open_note",
    "open_signed_note",
    "parse_keys",
]


def open_note(note: str | bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Verify a note and read the checkpoint in it.

    Args:
        note: The whole note, at most `MAX_NOTE` bytes.
        keys: The keys the caller trusts: the log's own, and witnesses' if there are any.

    Raises:
        FormatError: It is no signed note, or its text no checkpoint.
        VerificationError: A signature of a known key fails, or the log's own is missing.
    """
    return open_signed_note(note, keys)[0]


def open_signed_note(
    note: str | bytes, keys: Sequence[VerifierKey]
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Verify a note; return the checkpoint in it and every signature that was verified.

    Raises:
        FormatError: It is no signed note, or its text no checkpoint.
        VerificationError: A signature of a known key fails, or the log's own is missing.
    """
    text, signatures = verify_note(note, keys)
    checkpoint = Checkpoint.parse(text)
    # A log signs under its origin; a witness's word alone does not make a checkpoint (FORMAT 5).
    if not any(each.key.makes_checkpoints_of(checkpoint.origin) for each in signatures):
        raise VerificationError("the checkpoint does not carry the signature of the log it names")
    return checkpoint, signatures
