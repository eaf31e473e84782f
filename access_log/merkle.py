"""The Merkle tree over the entries: RFC 6962 hashing with SHA-256, RFC 9162 proofs (FORMAT 1).

Everything here is pure. A `Node` is how a caller lends its stored hashes: `node(level, index)` is the
root of the full subtree over the leaves `index * 2**level` up to `(index + 1) * 2**level`, so level 0
is the leaves themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from access_log.encoding import HASH_SIZE
from access_log.errors import FormatError, VerificationError

EMPTY_ROOT: Final = sha256(b"").digest()

Node = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """Hash one entry into its leaf: `H(0x00 ‖ data)`."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent: `H(0x01 ‖ left ‖ right)`."""
    return sha256(b"\x01" + left + right).digest()


def parents(nodes: Sequence[bytes]) -> list[bytes]:
    """Hash neighbours in pairs; an odd last node has no parent yet and is left out."""
    row = iter(nodes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(row, row, strict=False)]


def full_root(nodes: Sequence[bytes]) -> bytes:
    """The root over 2^k nodes of one level."""
    while len(nodes) > 1:
        nodes = parents(nodes)
    return nodes[0]


@dataclass(frozen=True, slots=True)
class Frontier:
    """The least one must keep of a tree to append to it: the roots of its full subtrees, largest first.

    Attributes:
        size: The number of leaves.
        hashes: One root for each 1 in the binary form of `size`, 32 bytes each.

    Raises:
        FormatError: Number or length of the hashes does not fit the size.
    """

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise FormatError(f"a frontier of size {self.size} does not have {len(self.hashes)} hashes")
        if any(len(each) != HASH_SIZE for each in self.hashes):
            raise FormatError("a frontier's hashes have 32 bytes each")

    @classmethod
    def empty(cls) -> "Frontier":
        """The frontier of a tree without leaves."""
        return cls(0, ())

    def append(self, leaf: bytes) -> "Frontier":
        """Add one leaf hash."""
        return self.append_subtree(0, leaf)

    def append_subtree(self, level: int, root: bytes) -> "Frontier":
        """Add 2^level leaves at once by the root over them.

        Raises:
            FormatError: The size is no multiple of 2^level, so the subtree would not be aligned.
        """
        if self.size % (1 << level):
            raise FormatError(f"a subtree of level {level} cannot follow {self.size} leaves")
        hashes = list(self.hashes)
        size = self.size >> level
        while size & 1:
            root = node_hash(hashes.pop(), root)
            size >>= 1
        return Frontier(self.size + (1 << level), (*hashes, root))

    def extend(self, leaves: Sequence[bytes]) -> "Frontier":
        """Add leaf hashes in order."""
        return _frontier_of(self.size + len(leaves), _grow(self, leaves))

    def root(self) -> bytes:
        """The tree's root; that of an empty tree is `H("")`."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    def encode(self) -> bytes:
        """Write the hashes one after the other; the size is kept beside them."""
        return b"".join(self.hashes)

    @classmethod
    def decode(cls, size: int, raw: bytes) -> "Frontier":
        """Read what `encode` wrote.

        Raises:
            FormatError: The bytes do not hold the hashes of a tree of that size.
        """
        return cls(size, tuple(raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE)))


def _fold(subtrees: Sequence[bytes]) -> bytes:
    """The root over neighbouring full subtrees, largest first: the smaller ones join from the right."""
    root = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        root = node_hash(left, root)
    return root


# ── A batch of new leaves ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Row:
    """The known full nodes of one level, from index `first` to the right edge of the grown tree."""

    first: int
    nodes: list[bytes]


def _grow(frontier: Frontier, leaves: Sequence[bytes]) -> list[_Row]:
    """Hash a batch upwards, level by level; the frontier lends the left neighbours that are older."""
    size = frontier.size + len(leaves)
    older = iter(reversed(frontier.hashes))
    rows: list[_Row] = []
    nodes = list(leaves)
    while size >> len(rows):
        first = frontier.size >> len(rows)
        if first & 1:
            nodes.insert(0, next(older))
            first -= 1
        rows.append(_Row(first, nodes))
        nodes = parents(nodes)
    return rows


def _frontier_of(size: int, rows: Sequence[_Row]) -> Frontier:
    edge = [row.nodes[-1] for level, row in enumerate(rows) if size >> level & 1]
    return Frontier(size, tuple(reversed(edge)))


@dataclass(frozen=True, slots=True)
class Growth:
    """A tree that has grown by a batch of leaves.

    Attributes:
        first: The size before.
        frontier: The tree with the batch.
    """

    first: int
    frontier: Frontier
    _rows: list[_Row]

    def proofs(self) -> list[tuple[bytes, ...]]:
        """Prove every new leaf in the tree that all of them together make.

        Returns:
            For leaf `i` of the batch the inclusion proof of index `first + i` in the tree of the grown size,
            sibling of the leaf first.
        """
        size, rows = self.frontier.size, self._rows
        if size == self.first:
            return []
        partial = _partial_roots(size, rows)
        # From the root downwards a node's proof is its sibling before its parent's proof, so leaves
        # share the upper part and each level costs one step per node.
        above: list[tuple[bytes, ...]] = [()]
        above_first = 0
        for level in reversed(range(len(rows))):
            row, edge, full = rows[level], partial[level], size >> level
            first = self.first >> level
            here: list[tuple[bytes, ...]] = []
            for index in range(first, ((size - 1) >> level) + 1):
                tail = above[(index >> 1) - above_first]
                sibling = index ^ 1
                if sibling < full:
                    here.append((row.nodes[sibling - row.first], *tail))
                elif sibling == full and edge is not None:
                    here.append((edge, *tail))
                else:
                    here.append(tail)  # No sibling: the node moves up a level as it is.
            above, above_first = here, first
        return above


def grow(frontier: Frontier, leaves: Sequence[bytes]) -> Growth:
    """Add a batch of leaf hashes to a tree, ready to prove each; every node is hashed once."""
    rows = _grow(frontier, leaves)
    return Growth(frontier.size, _frontier_of(frontier.size + len(leaves), rows), rows)


def _partial_roots(size: int, rows: Sequence[_Row]) -> list[bytes | None]:
    """For each level the root over the leaves to the right of its last full node, if there are any."""
    found: list[bytes | None] = []
    edge: bytes | None = None
    for level, row in enumerate(rows):
        found.append(edge)
        if size >> level & 1:
            edge = row.nodes[-1] if edge is None else node_hash(row.nodes[-1], edge)
    return found


# ── Proofs from stored hashes ────────────────────────────────────────────────────────────────────


def root_of(size: int, node: Node) -> bytes:
    """The root of the tree's first `size` leaves, from stored hashes."""
    return _range_root(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """Prove the leaf `index` in the tree of the first `size` leaves (RFC 6962 §2.1.1).

    Raises:
        FormatError: There is no such leaf.
    """
    if not 0 <= index < size:
        raise FormatError(f"there is no entry {index} in a tree of {size}")
    siblings: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            siblings.append(_range_root(middle, end, node))
            end = middle
        else:
            siblings.append(_range_root(start, middle, node))
            start = middle
    return tuple(reversed(siblings))


def consistency_proof(size1: int, size2: int, node: Node) -> tuple[bytes, ...]:
    """Prove that the first `size1` leaves begin the tree of the first `size2` (RFC 6962 §2.1.2).

    Raises:
        FormatError: `size1` is zero or larger than `size2`; nothing can be proved then.
    """
    if not 0 < size1 <= size2:
        raise FormatError(f"no consistency proof leads from size {size1} to {size2}")
    hashes: list[bytes] = []
    start, end = 0, size2
    while end > size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            hashes.append(_range_root(middle, end, node))
            end = middle
        else:
            hashes.append(_range_root(start, middle, node))
            start = middle
    if start:  # Otherwise the rest is the older tree itself, whose root the verifier has.
        hashes.append(_range_root(start, end, node))
    return tuple(reversed(hashes))


def _split(width: int) -> int:
    """The largest power of two smaller than `width`, where RFC 6962 divides a tree."""
    return 1 << ((width - 1).bit_length() - 1)


def _range_root(start: int, end: int, node: Node) -> bytes:
    """The root over leaves that begin where a subtree of the tree begins."""
    subtrees: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        subtrees.append(node(level, start >> level))
        start += 1 << level
    return _fold(subtrees)


# ── Verification ─────────────────────────────────────────────────────────────────────────────────


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at an index of the tree with this size and root (RFC 9162 §2.1.3.2).

    Raises:
        VerificationError: It does not, or the proof is not of the right form.
    """
    if not 0 <= index < size:
        raise VerificationError(f"index {index} lies outside a tree of size {size}")
    _require_hashes((leaf, *proof))
    computed = leaf
    for from_left, sibling in _climb(index, size - 1, proof):
        computed = node_hash(sibling, computed) if from_left else node_hash(computed, sibling)
    if not compare_digest(computed, root):
        raise VerificationError("the inclusion proof does not lead to the signed root")


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Check that a tree begins with an older one (RFC 9162 §2.1.4.2).

    From size 0 nothing can be proved, so it is refused, as in the outside vectors. Between equal sizes
    the roots are only compared, so any two equal ones pass.

    Raises:
        VerificationError: It does not, or the proof is not of the right form.
    """
    if not 0 < size1 <= size2:
        raise VerificationError(f"no consistency proof leads from size {size1} to {size2}")
    if size1 == size2:
        if proof or not compare_digest(root1, root2):
            raise VerificationError("equal sizes have equal roots and an empty consistency proof")
        return
    _require_hashes((root1, root2, *proof))
    # A full older tree is a node of the newer one, so its root begins the proof and is not repeated.
    path = tuple(proof) if size1 & (size1 - 1) else (root1, *proof)
    if not path:
        raise VerificationError("the consistency proof is missing")
    shared = _trailing_ones(size1 - 1)
    old = new = path[0]
    for from_left, sibling in _climb((size1 - 1) >> shared, (size2 - 1) >> shared, path[1:]):
        if from_left:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if not compare_digest(old, root1):
        raise VerificationError("the consistency proof does not lead to the older root")
    if not compare_digest(new, root2):
        raise VerificationError("the consistency proof does not lead to the newer root")


def _climb(number: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bool, bytes]]:
    """Go up from node `number` of a level whose last node is `last`: each sibling, and whether it is left."""
    for sibling in proof:
        if last == 0:
            raise VerificationError("the proof is too long")
        from_left = bool(number & 1) or number == last
        yield from_left, sibling
        while from_left and number and not number & 1:  # The last node has no sibling here: it moves up.
            number, last = number >> 1, last >> 1
        number, last = number >> 1, last >> 1
    if last:
        raise VerificationError("the proof is too short")


def _trailing_ones(number: int) -> int:
    return (~number & number + 1).bit_length() - 1


def _require_hashes(hashes: Sequence[bytes]) -> None:
    """Lengths must be fixed: otherwise bytes could move between the two halves of a node."""
    if any(len(each) != HASH_SIZE for each in hashes):
        raise VerificationError("a hash in the proof does not have 32 bytes")
