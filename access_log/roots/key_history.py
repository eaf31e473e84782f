"""From keys of a log of roots that one trusts to those it signs with now (FORMAT 5.4). Verifier's side.

The log names the new keys in an entry. A tree of roots whose newest root covers that entry commits to it, for
a root states the log's tree. So old keys that sign the first such tree vouch for the new ones, which sign it
too. To follow a change from keys one trusts:

(1) one of them is among the keys the change retires;
(2) the statement verifies with the trusted keys among those, and is of the newest root of its tree;
(3) the entry is in the tree of the log that this root states;
(4) it is of type 7 and its opening says `roots-keys.changed` and the SHA-256 of the document;
(5) the document is of that log of roots and names keys that sign its checkpoints;
(6) every new key signed that same checkpoint.

Then the new keys take the place of the old for every tree from this one on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from access_log.documents import text_of, write_object
from access_log.encoding import HASH_SIZE, LARGEST, from_base64, to_base64
from access_log.entry import SIZE, Entry, EntryType
from access_log.errors import FormatError, VerificationError
from access_log.key_history import MAX_HISTORY, Named, Period, Succession, read_changes, read_document
from access_log.merkle import leaf_hash, verify_inclusion
from access_log.note import verify_note
from access_log.payload import check_opening
from access_log.receipt import MAX_PROOF, parse_receipt
from access_log.roots import leaf
from access_log.roots.statement import verify_statement
from access_log.sources import Source
from access_log.verifier_keys import VerifierKey

CHANGED: Final = "roots-keys.changed"
FILE: Final = "keys"
"""Where the history lies below the log of roots."""

_MEMBERS: Final = {"statement", "entry", "index", "proof", "opening", "document"}


@dataclass(frozen=True, slots=True)
class RootsKeyChange:
    """One change of the keys of a log of roots; of what was read nothing is verified yet.

    Attributes:
        statement: The first root that covers the entry, under a checkpoint of old and new keys (FORMAT 4.4).
        entry: The entry that names the new keys.
        index: Of that entry.
        proof: That the tree the root states holds it.
        opening: The opening of that entry (FORMAT 2).
        document: What the entry commits to, verbatim.
    """

    statement: str
    entry: bytes
    index: int
    proof: tuple[bytes, ...]
    opening: Mapping[str, object]
    document: str

    @property
    def named(self) -> Named:
        """What the document names.

        Raises:
            FormatError: It records no change of keys.
        """
        return read_document(self.document, CHANGED)

    def member(self) -> dict[str, object]:
        """It as a member of a history."""
        return {
            "statement": self.statement,
            "entry": to_base64(self.entry),
            "index": self.index,
            "proof": [to_base64(each) for each in self.proof],
            "opening": self.opening,
            "document": self.document,
        }


def write_history(changes: Sequence[RootsKeyChange]) -> str:
    """Write a history, oldest change first."""
    return write_object({"changes": [change.member() for change in changes]})


def parse_history(raw: str | bytes) -> tuple[RootsKeyChange, ...]:
    """Read a history without verifying it.

    Raises:
        FormatError: It is none, or over a limit; the message names the change.
    """
    return read_changes(raw, "the key history of the log of roots", _change)


def follow(changes: Sequence[RootsKeyChange], trusted: Sequence[VerifierKey]) -> Succession:
    """Establish the keys of a log of roots from keys one trusts; the steps are numbered above.

    Args:
        changes: A history, oldest change first. Those before the trusted keys are passed over.
        trusted: Keys of the log of roots.

    Raises:
        FormatError: A statement or note in it is malformed.
        VerificationError: A change on the way from the trusted keys does not verify.
    """
    periods = [Period(tuple(trusted), 0, None)]
    for change in changes:
        named = change.named
        known = [key for key in periods[-1].keys if key in named.retired]
        if not known:  # (1)
            if len(periods) > 1:
                raise VerificationError(
                    f"the change to the keys of epoch {named.epoch} does not retire those it should"
                )
            continue
        size = _verify(change, named, known)
        before = periods.pop()
        if size < before.first:
            raise VerificationError(f"the change to the keys of epoch {named.epoch} is out of order")
        periods += [Period(before.keys, before.first, size), Period(named.keys, size, None)]
    return Succession(tuple(periods))


def followed(source: Source, trusted: Sequence[VerifierKey]) -> Succession:
    """Establish the keys of a published log of roots from keys one trusts.

    Args:
        source: Where it is published. Without a history there, nothing was changed as far as it says.
        trusted: Its keys.

    Raises:
        FormatError, VerificationError: As `parse_history` and `follow`.
        SourceError: It cannot be read.
    """
    raw = source.read(FILE, MAX_HISTORY)
    return follow(() if raw is None else parse_history(raw), trusted)


def _verify(change: RootsKeyChange, named: Named, known: Sequence[VerifierKey]) -> int:
    """Follow one change; returns the size of the tree of roots that both signed."""
    stated = verify_statement(change.statement, known)  # (2)
    if stated.index != stated.checkpoint.size - 1:
        raise VerificationError("the root that covers a change of keys is not the newest of its tree")
    verify_inclusion(  # (3)
        change.index, stated.root.size, leaf_hash(change.entry), change.proof, stated.root.log_root
    )
    entry = Entry.decode(change.entry)
    opened = check_opening(entry, change.opening)  # (4)
    if entry.type is not EntryType.KEY or opened.get("event") != CHANGED:
        raise VerificationError("the entry does not record a change of the keys of roots", change.index)
    if opened.get("document") != sha256(change.document.encode()).hexdigest():
        raise VerificationError("the document is not the one the entry commits to", change.index)
    if named.origin != stated.checkpoint.origin:  # (5)
        raise VerificationError("the document is about another log of roots", change.index)
    note = parse_receipt(change.statement, size=leaf.SIZE).note
    _, signatures = verify_note(note, named.keys)  # (6)
    if {each.key for each in signatures} != set(named.keys):
        raise VerificationError("a new key did not sign the checkpoint of the change", change.index)
    return stated.checkpoint.size


def _change(value: object) -> RootsKeyChange:
    if not isinstance(value, dict) or set(value) != _MEMBERS:
        raise FormatError(f"it has not the members {', '.join(sorted(_MEMBERS))}")
    index, proof, opening = value["index"], value["proof"], value["opening"]
    if type(index) is not int or not 0 <= index <= LARGEST:
        raise FormatError("its index is none")
    if not isinstance(proof, list) or len(proof) > MAX_PROOF:
        raise FormatError(f"its proof is no list of at most {MAX_PROOF} hashes")
    if not isinstance(opening, dict):
        raise FormatError("its opening is no object")
    change = RootsKeyChange(
        text_of(value["statement"]),
        from_base64(text_of(value["entry"]), "its entry", SIZE),
        index,
        tuple(from_base64(text_of(each), "a hash of its proof", HASH_SIZE) for each in proof),
        opening,
        text_of(value["document"]),
    )
    _ = change.named  # Nobody meets a document that is none later on.
    return change
