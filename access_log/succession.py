"""From a closed log to the one opened in its place (FORMAT 5.3). Verifier's side.

Entry 0 of the later log commits to a document that holds the newest checkpoint of the closed one. Whoever
trusts keys of both goes from one to the other:

(1) the receipt verifies with the later log's keys, and is of its entry 0;
(2) the entry is of type 9 and its opening says `log.opened` and the SHA-256 of the document;
(3) the document is of that log, and names the closed one;
(4) the checkpoint in it opens with the closed log's keys.

Then that checkpoint is where the closed log ends: a checkpoint one holds of it must begin it (10.5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from access_log.checkpoint import Checkpoint, open_note
from access_log.documents import Committed, parse_list, parse_object, text_of, write_list, write_object
from access_log.entry import EntryType
from access_log.errors import FormatError, VerificationError
from access_log.note import split_note
from access_log.payload import check_opening
from access_log.receipt import verify_receipt
from access_log.verifier_keys import VerifierKey

OPENED: Final = "log.opened"
"""The event of entry 0 of a log that was opened in the place of another."""
CLOSED: Final = "log.closed"
"""The event of the last entry of a log that was closed as planned."""
MAX_SUCCESSION: Final = 16 * 1024 * 1024
"""The longest succession that is read, in bytes."""
MAX_OPENINGS: Final = 256
MAX_REASON: Final = 1000
"""The longest reason, in characters."""

_MEMBERS: Final = ("v", "event", "origin", "closed", "checkpoint", "planned", "held", "reason")


@dataclass(frozen=True, slots=True)
class Opened:
    """What entry 0 of a log says of the one that was closed. Of it, nothing is verified yet.

    Attributes:
        origin: The log that was opened.
        closed: The log in whose place it stands.
        checkpoint: The newest checkpoint of the closed log, a signed note.
        planned: Whether the closed log was whole, and ends with an entry that says so.
        held: How many entries of the closed log its operator still had.
        reason: Why it was closed, in the operator's words.
    """

    origin: str
    closed: str
    checkpoint: str
    planned: bool
    held: int
    reason: str | None

    @property
    def size(self) -> int:
        """How many entries the closed log had."""
        return Checkpoint.parse(split_note(self.checkpoint)[0]).size

    @property
    def missing(self) -> int:
        """How many of its entries its operator had lost."""
        return max(self.size - self.held, 0)

    def write(self) -> str:
        """The document, as entry 0 commits to it."""
        return write_object(
            {
                "event": OPENED,
                "origin": self.origin,
                "closed": self.closed,
                "checkpoint": self.checkpoint,
                "planned": self.planned,
                "held": self.held,
                "reason": self.reason,
            }
        )

    @classmethod
    def parse(cls, raw: str) -> "Opened":
        """Read a document.

        Raises:
            FormatError: It is none.
        """
        members = parse_object(raw, "the document", _MEMBERS)
        origin, closed = text_of(members["origin"]), text_of(members["closed"])
        checkpoint, reason = text_of(members["checkpoint"]), members["reason"]
        held, planned = members["held"], members["planned"]
        if members["event"] != OPENED:
            raise FormatError("the document does not say in which log's place one was opened")
        if type(held) is not int or not 0 <= held < 1 << 63 or type(planned) is not bool:
            raise FormatError("the document does not say how many entries were held")
        if reason is not None and len(text_of(reason)) > MAX_REASON:
            raise FormatError(f"the document's reason has more than {MAX_REASON} characters")
        if Checkpoint.parse(split_note(checkpoint)[0]).origin != closed:
            raise FormatError("the checkpoint in the document is not of the log that it says was closed")
        return cls(origin, closed, checkpoint, planned, held, None if reason is None else str(reason))


@dataclass(frozen=True, slots=True)
class Opening:
    """How one log was opened in the place of another, as it was read; nothing in it is verified yet.

    Attributes:
        receipt: The receipt of its entry 0 (FORMAT 7).
        opening: The opening of that entry (FORMAT 2).
        document: What the entry commits to, verbatim.
        says: The document as it was read.
    """

    receipt: str
    opening: Mapping[str, object]
    document: str
    says: Opened


@dataclass(frozen=True, slots=True)
class Passage:
    """A closed log and the one in its place, shown to belong together.

    Attributes:
        says: What entry 0 of the later log commits to.
        closed: The newest checkpoint of the closed log, signed by its keys.
        opened: A checkpoint of the later log, signed by its keys.
    """

    says: Opened
    closed: Checkpoint
    opened: Checkpoint


def parse_succession(raw: str | bytes) -> tuple[Opening, ...]:
    """Read how logs were opened, one in the place of the other, without verifying it.

    Raises:
        FormatError: It is no succession, or over a limit; the message names the opening.
    """
    if len(raw) > MAX_SUCCESSION:
        raise FormatError(f"the succession has more than {MAX_SUCCESSION:,} bytes")
    openings = parse_list(raw, "the succession", "openings")
    if len(openings) > MAX_OPENINGS:
        raise FormatError(f"a succession has a list of at most {MAX_OPENINGS} openings")
    found = []
    for number, each in enumerate(openings, 1):
        try:
            one = Committed.of(each)
            found.append(Opening(one.receipt, one.opening, one.document, Opened.parse(one.document)))
        except FormatError as error:
            raise FormatError(f"opening {number} of the succession: {error}") from None
    return tuple(found)


def write_succession(openings: Sequence[tuple[str, Mapping[str, object], str]]) -> str:
    """Write a succession from (receipt, opening, document) of each, oldest first."""
    return write_list("openings", openings)


def pass_over(opening: Opening, keys: Sequence[VerifierKey]) -> Passage:
    """Go from a closed log to the one in its place; the steps are numbered above.

    Args:
        opening: How it was opened.
        keys: Keys one trusts, of both logs.

    Raises:
        FormatError: A receipt or note in it is malformed.
        VerificationError: It does not verify; says what does not.
    """
    says = opening.says
    later = [key for key in keys if key.name == says.origin]
    earlier = [key for key in keys if key.name == says.closed]
    for name, known in ((says.origin, later), (says.closed, earlier)):
        if not known:
            raise VerificationError(f"no key you trust is of the log {name}: add it to the keys")
    receipt = verify_receipt(opening.receipt, later)  # (1)
    if receipt.index != 0:
        raise VerificationError("the receipt is not of the log's first entry", receipt.index)
    opened = check_opening(receipt.entry, opening.opening)  # (2)
    if receipt.entry.type is not EntryType.OPERATOR or opened.get("event") != OPENED:
        raise VerificationError("the entry does not open a log in the place of another", 0)
    if opened.get("document") != sha256(opening.document.encode()).hexdigest():
        raise VerificationError("the document is not the one the entry commits to", 0)
    if says.origin != receipt.checkpoint.origin or says.closed == says.origin:  # (3)
        raise VerificationError("the document is about another log", 0)
    return Passage(says, open_note(says.checkpoint, earlier), receipt.checkpoint)  # (4)
