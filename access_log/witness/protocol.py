"""What a log and its witness say to each other (FORMAT 8): read, decide, write; no file, no network.

Source: c2sp.org/tlog-witness. The protocol is defined by HTTP statuses, so they are its vocabulary here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from access_log.checkpoint_text import Checkpoint
from access_log.encoding import HASH_SIZE, from_base64, from_decimal, to_base64
from access_log.errors import FormatError, VerificationError
from access_log.merkle import EMPTY_ROOT, verify_consistency
from access_log.note import MAX_NOTE, split_note, verify_note
from access_log.verifier_keys import VerifierKey

MAX_PROOF: Final = 63
MAX_SUBMISSION: Final = len(f"old {2**63 - 1}\n") + MAX_PROOF * 45 + 1 + MAX_NOTE
"""The longest body of add-checkpoint, in bytes: old size, 63 hashes, an empty line, a note."""
SIZE_TYPE: Final = "text/x.tlog.size"
"""The media type of the size a conflict is answered with."""

_OLD: Final = "old "


class Status(IntEnum):
    """What a witness answers."""

    COSIGNED = 200
    MALFORMED = 400
    UNTRUSTED = 403
    UNKNOWN_LOG = 404
    CONFLICT = 409
    INCONSISTENT = 422


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint handed to a witness; nothing in it is verified yet.

    Attributes:
        old: The size the witness is believed to have cosigned last.
        proof: The consistency proof from there.
        note: The signed checkpoint, verbatim.
        checkpoint: What the note's text says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What a witness remembers of a log: the last tree it cosigned.

    Attributes:
        size: Its number of entries.
        root: Its root.
        time: When, in POSIX seconds.
    """

    size: int
    root: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A submission that is not cosigned.

    Attributes:
        status: Which kind.
        reason: Why, in one line that repeats nothing of what was sent.
        size: What the witness cosigned last; for `Status.CONFLICT` alone.
    """

    status: Status
    reason: str
    size: int | None = None


def write_submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """Write the body of add-checkpoint."""
    return "\n".join([_OLD + str(old), *map(to_base64, proof), "", note]).encode()


def parse_submission(body: bytes) -> Submission:
    """Read the body of add-checkpoint; whatever is accepted re-encodes to the same bytes.

    Raises:
        FormatError: It is malformed; a checkpoint with extension lines is too (FORMAT 5).
    """
    if len(body) > MAX_SUBMISSION:
        raise FormatError(f"the body has more than {MAX_SUBMISSION} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise FormatError("the body is not UTF-8") from None
    head, blank, note = text.partition("\n\n")
    first, *hashes = head.split("\n")
    if not blank or not first.startswith(_OLD):
        raise FormatError("the body begins with the old size and has its checkpoint after an empty line")
    if len(hashes) > MAX_PROOF:
        raise FormatError(f"a consistency proof has at most {MAX_PROOF} hashes")
    return Submission(
        from_decimal(first.removeprefix(_OLD), "the old size"),
        tuple(from_base64(each, "a hash of the proof", HASH_SIZE) for each in hashes),
        note,
        Checkpoint.parse(split_note(note)[0]),
    )


def admit(submission: Submission, keys: Sequence[VerifierKey]) -> Refusal | None:
    """Decide what needs no memory: does the witness know this log, and did the log sign this?

    Args:
        submission: What was handed in.
        keys: The keys the witness trusts for the checkpoint's origin; none for a log it does not know.
    """
    if not keys:
        return Refusal(Status.UNKNOWN_LOG, "this witness does not know the log")
    try:
        verify_note(submission.note, keys)
    except VerificationError:
        return Refusal(Status.UNTRUSTED, "no signature by a trusted key of the log, or one that does not fit")
    if submission.old > submission.checkpoint.size:
        return Refusal(Status.MALFORMED, "the old size is larger than the checkpoint's")
    return None


def follow(submission: Submission, last: Cosigned | None) -> Refusal | None:
    """Decide whether the checkpoint follows what was cosigned last.

    This and the writing of the new state are one atomic step, or a slower request could roll a log back.

    Args:
        submission: What was handed in, admitted.
        last: What the witness cosigned last for this origin; None if it never did.
    """
    new = submission.checkpoint
    size = last.size if last is not None else 0
    if submission.old != size:
        return Refusal(Status.CONFLICT, "another size was cosigned last", size)
    if new.size == 0 and not compare_digest(new.root, EMPTY_ROOT):
        return Refusal(Status.INCONSISTENT, "the root of a log without entries is the hash of nothing")
    if last is None or size == 0:
        if submission.proof:
            return Refusal(
                Status.INCONSISTENT, "nothing is to be proved from size 0: the proof must be empty"
            )
        return None
    try:
        verify_consistency(size, new.size, submission.proof, last.root, new.root)
    except VerificationError as error:
        return Refusal(Status.INCONSISTENT, error.reason)
    return None


def lines_by(note: str, keys: Sequence[VerifierKey]) -> str:
    """The signature lines of a verified note that are by these keys, one for each key at most."""
    named = {(key.name, key.id) for key in keys}
    found: dict[tuple[str, bytes], str] = {}
    for line in split_note(note)[1]:
        signer = (line.name, line.key_id)
        if signer in named:
            found.setdefault(signer, str(line))
    return "".join(found.values())


def origin_hash(origin: str) -> str:
    """The name a log's checkpoint is served under: SHA-256 of the origin, in lower-case hex."""
    return sha256(origin.encode()).hexdigest()
