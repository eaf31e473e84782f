"""Receipts: the offline proof that an entry was logged (FORMAT 7).

Source: c2sp.org/tlog-proof. The entry travels as the proof's extra data; it is trusted only once the
proof has led from its hash to the signed root.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.encoding import HASH_SIZE, LARGEST, from_base64, from_decimal, to_base64
from access_log.entry import SIZE, Entry
from access_log.errors import FormatError
from access_log.merkle import leaf_hash, verify_inclusion

MAX_PROOF: Final = 63
MAX_RECEIPT: Final = MAX_NOTE + 4096
"""The longest receipt that is read, in bytes of UTF-8."""

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = "index "
_HEAD_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read; nothing in it is verified yet.

    Attributes:
        entry: The entry, 106 bytes.
        index: Where it stands in the log, from 0.
        proof: The inclusion proof, sibling of the leaf first.
        note: The signed checkpoint, verbatim.
    """

    entry: bytes
    index: int
    proof: tuple[bytes, ...]
    note: str


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves: the log of this checkpoint holds this entry at this index."""

    entry: Entry
    index: int
    checkpoint: Checkpoint


def write_receipt(entry: bytes, index: int, proof: Sequence[bytes], note: str, *, size: int = SIZE) -> str:
    """Write the receipt of one entry.

    Args:
        entry: The entry, 106 bytes, or what another log has in its place.
        index: Where it stands in the log.
        proof: Its inclusion proof in the tree of the note's checkpoint.
        note: The signed checkpoint.
        size: The bytes of an entry of the log.

    Raises:
        FormatError: A part is out of its bounds.
    """
    if len(entry) != size or not 0 <= index <= LARGEST or len(proof) > MAX_PROOF:
        raise FormatError(f"a receipt holds an entry of {size} bytes, its index and at most 63 hashes")
    if any(len(each) != HASH_SIZE for each in proof):
        raise FormatError("a receipt's hashes have 32 bytes each")
    lines = [_HEADER, _EXTRA + to_base64(entry), _INDEX + str(index), *map(to_base64, proof), ""]
    return "\n".join(lines) + "\n" + note


def parse_receipt(text: str, *, size: int = SIZE) -> Receipt:
    """Read a receipt without verifying it; whatever is accepted re-encodes to the same text.

    Args:
        text: The receipt.
        size: The bytes of an entry of the log.

    Raises:
        FormatError: The text is no receipt of version 1.
    """
    if len(text) > MAX_RECEIPT:
        raise FormatError(f"the receipt has more than {MAX_RECEIPT} characters")
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) < _HEAD_LINES or lines[0] != _HEADER:
        raise FormatError(f"a receipt begins with {_HEADER} and has its checkpoint after an empty line")
    extra, index, *hashes = lines[1:]
    if not extra.startswith(_EXTRA) or not index.startswith(_INDEX):
        raise FormatError("a receipt names its entry (extra) and its index, in this order")
    if len(hashes) > MAX_PROOF:
        raise FormatError(f"a receipt has at most {MAX_PROOF} hashes")
    return Receipt(
        entry=from_base64(extra.removeprefix(_EXTRA), "the entry", size),
        index=from_decimal(index.removeprefix(_INDEX), "the index"),
        proof=tuple(from_base64(each, "a hash of the proof", HASH_SIZE) for each in hashes),
        note=note,
    )


def verify_receipt(text: str, keys: Sequence[VerifierKey]) -> VerifiedReceipt:
    """Verify a receipt offline.

    Args:
        text: The receipt.
        keys: The keys the caller trusts.

    Raises:
        FormatError: The receipt, its entry or its note is malformed.
        VerificationError: The signature or the proof does not verify.
    """
    receipt = parse_receipt(text)
    checkpoint = open_note(receipt.note, keys)
    verify_inclusion(receipt.index, checkpoint.size, leaf_hash(receipt.entry), receipt.proof, checkpoint.root)
    return VerifiedReceipt(Entry.decode(receipt.entry), receipt.index, checkpoint)
