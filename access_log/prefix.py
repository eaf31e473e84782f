"""The prefix tree of one month: which labels are in the log, and which are not (FORMAT 4.1, 4.2).

Here are its hashes and its proofs, for whoever verifies them; `prefix_tree` builds the tree. A proof leads
from a label to the root of the tree, and ends at the label's own leaf, at a missing child, or at the leaf
of another label that shares the path: then the label is absent, because a leaf stands as high as it can.
"""

from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from access_log.encoding import HASH_SIZE, LARGEST
from access_log.errors import FormatError, VerificationError

VERSION: Final = 1
KEY_BITS: Final = 8 * HASH_SIZE
MISSING: Final = bytes(HASH_SIZE)
"""The hash of a child that is not there, and the root of an empty tree."""

_HEAD: Final = 4
_INDEX: Final = 8
_PLACE: Final = _INDEX + HASH_SIZE
MAX_PROOF: Final = _HEAD + KEY_BITS // 8 + KEY_BITS * HASH_SIZE + 2 * HASH_SIZE
"""The longest proof there can be, in bytes; one in a tree of a million labels has about 700."""

_ENDS_MISSING: Final = 0
_ENDS_OTHER: Final = 1
_ENDS_FOUND: Final = 2
_END_SIZES: Final = {_ENDS_MISSING: 0, _ENDS_OTHER: 2 * HASH_SIZE, _ENDS_FOUND: _PLACE}


@dataclass(frozen=True, slots=True)
class Place:
    """What the tree says of a label: the one entry that carries it.

    Attributes:
        index: Of the entry in the log.
        commitment: The entry's, 32 bytes.

    Raises:
        FormatError: A part is out of its bounds.
    """

    index: int
    commitment: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.index <= LARGEST or len(self.commitment) != HASH_SIZE:
            raise FormatError("a place has an index below 2^63 and a commitment of 32 bytes")

    def encode(self) -> bytes:
        """Write `u64 index ‖ commitment`, 40 bytes."""
        return self.index.to_bytes(_INDEX, "big") + self.commitment

    @classmethod
    def decode(cls, raw: bytes) -> "Place":
        """Read what `encode` wrote.

        Raises:
            FormatError: It is not 40 bytes, or the index is out of bounds.
        """
        return cls(int.from_bytes(raw[:_INDEX], "big"), raw[_INDEX:])

    def leaf(self, label: bytes) -> bytes:
        """The hash of the label's leaf."""
        return leaf_hash(label, value_hash(self.encode()))


@dataclass(frozen=True, slots=True)
class OtherLeaf:
    """The leaf of another label that stands where the label sought would have to stand."""

    label: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """The way of a label through the tree.

    Attributes:
        siblings: The hashes beside the path, from below the root downwards; `MISSING` where there is none.
        end: Where it ends: at the label's own place, at another leaf, or at a missing child (None).
    """

    siblings: tuple[bytes, ...]
    end: Place | OtherLeaf | None

    def encode(self) -> bytes:
        """Write the proof (FORMAT 4.2); missing siblings take a bit each."""
        depth = len(self.siblings)
        present = [sibling != MISSING for sibling in self.siblings]
        bits = sum(1 << 8 * _bitmap_size(depth) - 1 - at for at, there in enumerate(present) if there)
        kind, end = self._end()
        return b"".join(
            (
                bytes((VERSION, kind)),
                depth.to_bytes(2, "big"),
                bits.to_bytes(_bitmap_size(depth), "big"),
                *(sibling for sibling in self.siblings if sibling != MISSING),
                end,
            )
        )

    def _end(self) -> tuple[int, bytes]:
        if self.end is None:
            return _ENDS_MISSING, b""
        if isinstance(self.end, OtherLeaf):
            return _ENDS_OTHER, self.end.label + self.end.value
        return _ENDS_FOUND, self.end.encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Proof":
        """Read a proof without verifying it; whatever is accepted re-encodes to the same bytes.

        Raises:
            FormatError: The bytes are no proof of version 1.
        """
        if not _HEAD <= len(raw) <= MAX_PROOF:
            raise FormatError(f"a proof of a label has {_HEAD} to {MAX_PROOF} bytes, this one has {len(raw)}")
        version, kind, depth = raw[0], raw[1], int.from_bytes(raw[2:_HEAD], "big")
        if version != VERSION or kind not in _END_SIZES or depth > KEY_BITS:
            raise FormatError("version, kind or depth of the proof of a label is not known")
        first = _HEAD + _bitmap_size(depth)
        bits = int.from_bytes(raw[_HEAD:first], "big")
        unused = 8 * _bitmap_size(depth) - depth
        last = first + HASH_SIZE * bits.bit_count()
        if bits & (1 << unused) - 1 or len(raw) != last + _END_SIZES[kind]:
            raise FormatError("the proof of a label does not have the hashes it says it has")
        hashes = iter([raw[at : at + HASH_SIZE] for at in range(first, last, HASH_SIZE)])
        siblings = tuple(
            next(hashes) if bits >> unused + depth - 1 - at & 1 else MISSING for at in range(depth)
        )
        if siblings.count(MISSING) != depth - bits.bit_count() or (siblings and siblings[-1] == MISSING):
            raise FormatError("a missing sibling is written as a hash, or stands where none can be missing")
        return cls(siblings, _end_of(kind, raw[last:]))


def _end_of(kind: int, raw: bytes) -> Place | OtherLeaf | None:
    if kind == _ENDS_FOUND:
        return Place.decode(raw)
    return OtherLeaf(raw[:HASH_SIZE], raw[HASH_SIZE:]) if kind == _ENDS_OTHER else None


def _bitmap_size(depth: int) -> int:
    return (depth + 7) // 8


# ── Hashing ──────────────────────────────────────────────────────────────────────────────────────


def value_hash(place: bytes) -> bytes:
    """The value of a label: `H(0x04 ‖ u64 index ‖ commitment)`, from the 40 bytes of its place."""
    return sha256(b"\x04" + place).digest()


def leaf_hash(label: bytes, value: bytes) -> bytes:
    """Hash a label and its value into a leaf: `H(0x02 ‖ key ‖ value)`."""
    return sha256(b"\x02" + label + value).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children, of which one may be missing, into their parent: `H(0x03 ‖ left ‖ right)`."""
    return sha256(b"\x03" + left + right).digest()


# ── Verification ─────────────────────────────────────────────────────────────────────────────────


def verify_inclusion(label: bytes, proof: bytes, root: bytes) -> Place:
    """Check that a label is in the tree with this root (FORMAT 4.2).

    Args:
        label: 32 bytes.
        proof: As `Proof.encode` wrote it.
        root: Of the prefix tree, 32 bytes, from a root that was itself verified.

    Returns:
        Index and commitment of the one entry that carries the label.

    Raises:
        FormatError: The proof is malformed.
        VerificationError: It does not lead to the root, or shows something else.
    """
    end = _followed(label, proof, root)
    if not isinstance(end, Place):
        raise VerificationError("the proof shows that the label is absent, not that it is there")
    return end


def verify_absence(label: bytes, proof: bytes, root: bytes) -> None:
    """Check that a label is not in the tree with this root (FORMAT 4.2).

    Args:
        label: 32 bytes.
        proof: As `Proof.encode` wrote it.
        root: Of the prefix tree, 32 bytes, from a root that was itself verified.

    Raises:
        FormatError: The proof is malformed.
        VerificationError: It does not lead to the root, or the label is there.
    """
    end = _followed(label, proof, root)
    if isinstance(end, Place):
        raise VerificationError(f"the label is there: entry {end.index} carries it")


def _followed(label: bytes, raw: bytes, root: bytes) -> Place | OtherLeaf | None:
    """Follow a proof from its end up to the root, and return the end it proved."""
    if len(label) != HASH_SIZE or len(root) != HASH_SIZE:
        raise FormatError("a label and the root of a prefix tree have 32 bytes each")
    proof = Proof.decode(raw)
    end, depth = proof.end, len(proof.siblings)
    key = int.from_bytes(label, "big")
    if isinstance(end, OtherLeaf):
        differ = int.from_bytes(end.label, "big") ^ key
        if not differ or differ.bit_length() > KEY_BITS - depth:
            raise VerificationError("the other leaf does not stand where the label would have to stand")
        computed = leaf_hash(end.label, end.value)
    else:
        computed = MISSING if end is None else end.leaf(label)
    for height, sibling in enumerate(reversed(proof.siblings), KEY_BITS - depth):
        right = key >> height & 1
        computed = node_hash(sibling, computed) if right else node_hash(computed, sibling)
    if not compare_digest(computed, root):
        raise VerificationError("the proof of the label does not lead to the root of the prefix tree")
    return end
