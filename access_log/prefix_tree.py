"""Build the prefix tree of a month from the entries, and prove labels in it (FORMAT 4.1).

A label with its place is a **record** of 72 bytes. The upper part of the tree are branches; a branch holds
two children, and every subtree of at most `BUCKET` labels is one bucket of records, hashed as a whole when
its hash is asked for. So a million labels cost little more than their records, and a batch of new ones
rehashes only the buckets it fell into and the branches above them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from access_log.encoding import HASH_SIZE
from access_log.errors import VerificationError
from access_log.prefix import KEY_BITS, MISSING, OtherLeaf, Place, Proof, node_hash, value_hash

RECORD: Final = HASH_SIZE + 8 + HASH_SIZE
"""`label ‖ u64 index ‖ commitment`."""
BUCKET: Final = 8
"""The most labels in one bucket."""
MANY: Final = 2
"""A subtree of this many labels or more is a node; of one label, a leaf that stands higher up."""


class _Branch:
    """An inner node over more labels than a bucket may have; `hash` is None while it is out of date."""

    __slots__ = ("hash", "left", "right")

    def __init__(self, left: "_Node", right: "_Node") -> None:
        self.left = left
        self.right = right
        self.hash: bytes | None = None


class _Bucket:
    """The records of a small subtree in any order; `hash` is None while it is out of date."""

    __slots__ = ("hash", "records")

    def __init__(self, records: bytes = b"") -> None:
        self.records = records
        self.hash: bytes | None = None


_Node = _Branch | _Bucket


class PrefixTree:
    """A prefix tree in memory; labels are only ever added."""

    __slots__ = ("_size", "_top")

    def __init__(self) -> None:
        self._top: _Node = _Bucket()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, label: bytes, place: bytes) -> None:
        """Add a label with its place as 40 bytes (`Place.encode`).

        Raises:
            VerificationError: The label is in the tree already; names the entry that repeats it.
        """
        key = int.from_bytes(label, "big")
        above: _Branch | None = None
        node = self._top
        height = KEY_BITS - 1
        right = 0
        while isinstance(node, _Branch):
            node.hash = None
            right = key >> height & 1
            above, node = node, node.right if right else node.left
            height -= 1
        if find(node.records, label) is not None:
            raise VerificationError(
                "it repeats the label of an earlier entry of its month", Place.decode(place).index
            )
        node.records += label + place
        node.hash = None
        self._size += 1
        if len(node.records) > BUCKET * RECORD:
            branch = _divided(node.records, KEY_BITS - 1 - height)
            if above is None:
                self._top = branch
            elif right:
                above.right = branch
            else:
                above.left = branch

    def extend(self, labels: Iterable[tuple[bytes, bytes]]) -> None:
        """Add labels with their places.

        Raises:
            VerificationError: A label is in the tree already; names the entry that repeats it.
        """
        for label, place in labels:
            self.add(label, place)

    def root(self) -> bytes:
        """The root over all labels; each hash is computed once, when it is first needed."""
        return _hash_of(self._top, 0)

    def prove(self, label: bytes) -> Proof:
        """Prove that a label is in the tree, or that it is not."""
        siblings, records = self._way(int.from_bytes(label, "big"))
        return finish(siblings, records, label)

    def _way(self, key: int) -> tuple[list[bytes], list[bytes]]:
        """The hashes beside the path of a key, from the root downwards, and the records where it ends."""
        siblings: list[bytes] = []
        node = self._top
        while isinstance(node, _Branch):
            depth = len(siblings) + 1
            right = key >> KEY_BITS - depth & 1
            siblings.append(_hash_of(node.left if right else node.right, depth))
            node = node.right if right else node.left
        return siblings, records_in(node.records)

    def root_if(self, label: bytes, place: bytes | None) -> bytes:
        """The root there would be if a label of this tree had another place, or (None) were absent."""
        key = int.from_bytes(label, "big")
        siblings, standing = self._way(key)
        records = [each for each in standing if each[:HASH_SIZE] != label]
        if place is not None:
            records = sorted([*records, label + place])
        computed = subtree_root(records, len(siblings))
        for height, sibling in enumerate(reversed(siblings), KEY_BITS - len(siblings)):
            right = key >> height & 1
            computed = node_hash(sibling, computed) if right else node_hash(computed, sibling)
        return computed

    def subtrees(self, depth: int) -> Iterator[tuple[int, bytes]]:
        """For each of the 2^depth subtrees at a depth the number of its labels, 2 for more, and its hash."""
        yield from _subtrees(self._top, 0, depth)

    def __iter__(self) -> Iterator[bytes]:
        """All records, sorted by label."""
        waiting = [self._top]
        while waiting:
            node = waiting.pop()
            if isinstance(node, _Branch):
                waiting += node.right, node.left
            else:
                yield from records_in(node.records)


def _hash_of(node: _Node, depth: int) -> bytes:
    if node.hash is None:
        if isinstance(node, _Branch):
            left = node.left.hash or _hash_of(node.left, depth + 1)
            right = node.right.hash or _hash_of(node.right, depth + 1)
            node.hash = sha256(b"\x03" + left + right).digest()
        else:
            node.hash = subtree_root(records_in(node.records), depth)
    return node.hash


def _subtrees(node: _Node, depth: int, below: int) -> Iterator[tuple[int, bytes]]:
    if isinstance(node, _Bucket):
        yield from _subtrees_in(records_in(node.records), depth, below)
    elif depth == below:
        yield MANY, _hash_of(node, depth)
    else:
        yield from _subtrees(node.left, depth + 1, below)
        yield from _subtrees(node.right, depth + 1, below)


def _subtrees_in(records: Sequence[bytes], depth: int, below: int) -> Iterator[tuple[int, bytes]]:
    if depth == below:
        yield min(len(records), MANY), subtree_root(records, depth)
        return
    for half in halves(records, depth):
        yield from _subtrees_in(half, depth + 1, below)


def _divided(records: bytes, depth: int) -> _Branch:
    """Make a branch of an overfull bucket; labels that share more bits than one divide further down."""
    left, right = halves(records_in(records), depth)
    return _Branch(*(_grown(b"".join(side), depth + 1) for side in (left, right)))


def _grown(records: bytes, depth: int) -> _Node:
    return _divided(records, depth) if len(records) > BUCKET * RECORD else _Bucket(records)


# ── Small subtrees ───────────────────────────────────────────────────────────────────────────────


def records_in(raw: bytes) -> list[bytes]:
    """The records that stand one after the other, sorted by label."""
    return sorted(raw[at : at + RECORD] for at in range(0, len(raw), RECORD))


def find(raw: bytes, label: bytes) -> int | None:
    """Where the record of a label begins among others; None where there is none."""
    at = raw.find(label)
    while at > 0 and at % RECORD:  # The bytes may also stand inside another record.
        at = raw.find(label, at + 1)
    return None if at < 0 else at


def halves(records: Sequence[bytes], depth: int) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Divide sorted records that share their first `depth` bits by the next one."""
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    middle = bisect_left(records, 1, key=lambda record: record[byte] & mask and 1)
    return records[:middle], records[middle:]


def subtree_root(records: Sequence[bytes], depth: int) -> bytes:
    """The hash of the subtree at `depth` that holds these records, which are sorted."""
    if not records:
        return MISSING
    leaves = [
        sha256(b"\x02" + record[:HASH_SIZE] + sha256(b"\x04" + record[HASH_SIZE:]).digest()).digest()
        for record in records
    ]
    if len(leaves) == 1:  # A leaf stands as high as it can.
        return leaves[0]
    keys = [int.from_bytes(record[:HASH_SIZE], "big") for record in records]
    return _joined(keys, leaves, 0, len(keys), depth)


def _joined(keys: Sequence[int], leaves: Sequence[bytes], first: int, end: int, depth: int) -> bytes:
    """The hash over sorted leaves first..end-1, at least two, whose keys share their first `depth` bits."""
    key = keys[end - 1]
    height = (keys[first] ^ key).bit_length() - 1  # of the bit that first tells them apart
    fork = KEY_BITS - height
    middle = bisect_left(keys, key >> height << height, first, end)
    left = leaves[first] if middle - first == 1 else _joined(keys, leaves, first, middle, fork)
    right = leaves[middle] if end - middle == 1 else _joined(keys, leaves, middle, end, fork)
    joined = sha256(b"\x03" + left + right).digest()
    for above in range(height + 1, KEY_BITS - depth):
        joined = node_hash(MISSING, joined) if key >> above & 1 else node_hash(joined, MISSING)
    return joined


def finish(siblings: list[bytes], records: Sequence[bytes], label: bytes) -> Proof:
    """End a proof inside a small subtree.

    Args:
        siblings: Those of the path down to the subtree.
        records: All records of the subtree, sorted.
        label: The label sought, whose path leads to the subtree.
    """
    while len(records) > 1:
        depth = len(siblings)
        left, right = halves(records, depth)
        records, other = (right, left) if label[depth >> 3] << (depth & 7) & 0x80 else (left, right)
        siblings.append(subtree_root(other, depth + 1))
    if not records:
        return Proof(tuple(siblings), None)
    key, place = records[0][:HASH_SIZE], records[0][HASH_SIZE:]
    end = Place.decode(place) if key == label else OtherLeaf(key, value_hash(place))
    return Proof(tuple(siblings), end)
