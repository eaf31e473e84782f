"""From keys of a log that one trusts to those it signs with now (FORMAT 5.2). Verifier's side.

A key history holds, for each change of keys, the entry that names the new keys, what it says, and a
checkpoint over it that old and new keys signed. To follow a change from keys one trusts:

(1) one of them is among the keys the change retires;
(2) the receipt verifies with the trusted keys among those: the log of these keys holds the entry;
(3) the entry is of type 7 and its opening says `log-keys.changed` and the SHA-256 of the document;
(4) the document is of that log and names keys that logs sign with, under its origin;
(5) every new key signed that same checkpoint.

Then the new keys take the place of the old for every tree that holds the entry. Signature lines are not
signed themselves: without the entry (2 to 4), anybody could add a line of their own to an old checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

from access_log.checkpoint import Checkpoint, open_note
from access_log.documents import Committed, parse_list, parse_object, text_of, write_list, write_object
from access_log.entry import EntryType
from access_log.errors import FormatError, VerificationError
from access_log.note import split_note, verify_note
from access_log.payload import check_opening
from access_log.receipt import parse_receipt, verify_receipt
from access_log.verifier_keys import VerifierKey

CHANGED: Final = "log-keys.changed"
MAX_HISTORY: Final = 8 * 1024 * 1024
"""The longest history that is read, in bytes."""
MAX_CHANGES: Final = 256
MAX_KEYS: Final = 8
"""The most keys of one epoch that are read."""
Change = TypeVar("Change")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change of a log's keys as it was read; nothing in it is verified yet.

    Attributes:
        receipt: The receipt of the entry that names the new keys (FORMAT 7).
        opening: The opening of that entry (FORMAT 2).
        document: What the entry commits to, verbatim.
        origin: The log the document is about.
        epoch: The number of the new keys, from 2.
        retired: The keys before the change.
        keys: The keys after it.
    """

    receipt: str
    opening: Mapping[str, object]
    document: str
    origin: str
    epoch: int
    retired: tuple[VerifierKey, ...]
    keys: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """Keys that sign the trees of a log from one size to another.

    Attributes:
        keys: The keys.
        first: The smallest size they sign, 0 for a log's first keys, or those whose beginning is not known.
        last: The largest size they sign; None as long as they are in force.
    """

    keys: tuple[VerifierKey, ...]
    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Succession:
    """The keys of a log, established one after the other from those one trusts."""

    periods: tuple[Period, ...]

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys in force at the end."""
        return self.periods[-1].keys

    def open_note(self, note: str | bytes) -> Checkpoint:
        """Verify a checkpoint with the keys of its time: a retired key signs no later tree.

        Raises:
            FormatError: It is no signed checkpoint.
            VerificationError: It is not signed by the keys of the log that sign trees of its size.
        """
        size = Checkpoint.parse(split_note(note)[0]).size
        period = next(period for period in reversed(self.periods) if period.first <= size)
        return open_note(note, period.keys)


def parse_history(raw: str | bytes) -> tuple[KeyChange, ...]:
    """Read a key history without verifying it.

    Raises:
        FormatError: It is none, or over a limit; the message names the change.
    """
    return read_changes(raw, "the key history", _change)


def read_changes(raw: str | bytes, what: str, read: Callable[[object], Change]) -> tuple[Change, ...]:
    """Read a list of changes, each by `read`.

    Args:
        raw: The list, JSON.
        what: What it is, for messages.
        read: Reads one change.

    Raises:
        FormatError: It is none, or over a limit; the message names the change.
    """
    if len(raw) > MAX_HISTORY:
        raise FormatError(f"{what} has more than {MAX_HISTORY:,} bytes")
    changes = parse_list(raw, what, "changes")
    if len(changes) > MAX_CHANGES:
        raise FormatError(f"{what} has a list of at most {MAX_CHANGES} changes")
    found = []
    for number, change in enumerate(changes, 1):
        try:
            found.append(read(change))
        except FormatError as error:
            raise FormatError(f"change {number} of {what}: {error}") from None
    return tuple(found)


def follow(changes: Sequence[KeyChange], trusted: Sequence[VerifierKey]) -> Succession:
    """Establish the keys of a log from keys one trusts; the steps are numbered above.

    Args:
        changes: A key history, oldest change first. Those before the trusted keys are passed over.
        trusted: Keys of one epoch of the log.

    Raises:
        FormatError: A receipt or note in it is malformed.
        VerificationError: A change on the way from the trusted keys does not verify.
    """
    periods = [Period(tuple(trusted), 0, None)]
    for change in changes:
        known = [key for key in periods[-1].keys if key in change.retired]
        if not known:  # (1)
            if len(periods) > 1:
                raise VerificationError(
                    f"the change to the keys of epoch {change.epoch} does not retire those it should"
                )
            continue
        index = _verify(change, known)
        before = periods.pop()
        if index < before.first:
            raise VerificationError(f"the change to the keys of epoch {change.epoch} is out of order")
        periods += [Period(before.keys, before.first, index), Period(change.keys, index + 1, None)]
    return Succession(tuple(periods))


def _verify(change: KeyChange, known: Sequence[VerifierKey]) -> int:
    """Follow one change; returns the index of its entry."""
    receipt = verify_receipt(change.receipt, known)  # (2)
    opened = check_opening(receipt.entry, change.opening)  # (3)
    digest = sha256(change.document.encode()).hexdigest()
    if receipt.entry.type is not EntryType.KEY or opened.get("event") != CHANGED:
        raise VerificationError("the entry does not record a change of the log's keys", receipt.index)
    if opened.get("document") != digest:
        raise VerificationError("the document is not the one the entry commits to", receipt.index)
    if change.origin != receipt.checkpoint.origin:  # (4)
        raise VerificationError("the document is about another log", receipt.index)
    _, signatures = verify_note(parse_receipt(change.receipt).note, change.keys)  # (5)
    if {each.key for each in signatures} != set(change.keys):
        raise VerificationError("a new key did not sign the checkpoint of the change", receipt.index)
    return receipt.index


def write_history(changes: Sequence[tuple[str, Mapping[str, object], str]]) -> str:
    """Write a key history from (receipt, opening, document) of each change, oldest first."""
    return write_list("changes", changes)


def write_document(
    origin: str,
    epoch: int,
    retired: Sequence[VerifierKey],
    keys: Sequence[VerifierKey],
    event: str = CHANGED,
) -> str:
    """Write the document of a change: what its entry commits to."""
    return write_object(
        {
            "event": event,
            "origin": origin,
            "epoch": epoch,
            "retired": [str(key) for key in retired],
            "keys": [str(key) for key in keys],
        }
    )


@dataclass(frozen=True, slots=True)
class Named:
    """What the document of a change names.

    Attributes:
        origin: The log it is about.
        epoch: The number of the new keys, from 2.
        retired: The keys before the change.
        keys: The keys after it.
    """

    origin: str
    epoch: int
    retired: tuple[VerifierKey, ...]
    keys: tuple[VerifierKey, ...]


def read_document(raw: str, event: str = CHANGED) -> Named:
    """Read the document of a change.

    Raises:
        FormatError: It records none, or names a key that signs no checkpoints of its origin.
    """
    members = parse_object(raw, "its document", ("v", "event", "origin", "epoch", "retired", "keys"))
    origin, epoch = text_of(members["origin"]), members["epoch"]
    if members["event"] != event or type(epoch) is not int:
        raise FormatError("its document records no change of keys")
    retired, keys = _keys(members["retired"]), _keys(members["keys"])
    if not all(key.makes_checkpoints_of(origin) for key in (*retired, *keys)):
        raise FormatError("its document names a key that does not sign checkpoints of its origin")
    return Named(origin, epoch, retired, keys)


def _change(value: object) -> KeyChange:
    one = Committed.of(value)
    named = read_document(one.document)
    return KeyChange(
        one.receipt, one.opening, one.document, named.origin, named.epoch, named.retired, named.keys
    )


def _keys(value: object) -> tuple[VerifierKey, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_KEYS:
        raise FormatError(f"its document does not list 1 to {MAX_KEYS} keys")
    keys = tuple(VerifierKey.parse(text_of(key)) for key in value)
    if len(set(keys)) != len(keys):
        raise FormatError("its document lists a key twice")
    return keys
