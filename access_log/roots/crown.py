"""The crown of a month's prefix tree: its upper nodes, from which labels are proved without the tree.

A label's proof needs the nodes beside its path and, at the end, the few labels of one small subtree. The
crown holds the former, 33 bytes for each subtree of some `LABELS` labels; the latter are read from the
entries' index by label. So a month of a million costs some 2 MB in the database, 6 MB in memory while it is
asked about, and nothing otherwise.
"""

from hashlib import sha256
from typing import Final

from access_log.encoding import HASH_SIZE
from access_log.errors import LogStateError
from access_log.prefix import KEY_BITS
from access_log.prefix_tree import MANY, PrefixTree

LABELS: Final = 16
"""Labels in a subtree below the crown, about."""

REMEDY: Final = "`creditvault log rebuild` takes it away, and the worker makes it anew"

_MOST_LEVELS: Final = 22
_SLOT: Final = 1 + HASH_SIZE


def slots_of(tree: PrefixTree) -> bytes:
    """What the database keeps: `u8 labels ‖ hash` of each subtree right below the crown."""
    depth = min(_MOST_LEVELS, (len(tree) // LABELS).bit_length())
    return b"".join(bytes((labels,)) + hashed for labels, hashed in tree.subtrees(depth))


class Crown:
    """The upper nodes of one prefix tree, numbered as in a heap: 1 is the root, 2n and 2n + 1 are below n."""

    __slots__ = ("_counts", "_hashes", "depth")

    def __init__(self, slots: bytes) -> None:
        width = len(slots) // _SLOT
        if not width or width & width - 1 or len(slots) != width * _SLOT or max(slots[::_SLOT]) > MANY:
            raise LogStateError(f"a stored crown is damaged: {REMEDY}")
        self.depth = width.bit_length() - 1
        self._counts = bytearray(width) + slots[::_SLOT]
        self._hashes = bytearray(width * HASH_SIZE)
        for at in range(0, len(slots), _SLOT):
            self._hashes += slots[at + 1 : at + _SLOT]
        for node in range(width - 1, 0, -1):
            self._join(node)

    def _join(self, node: int) -> None:
        left, right = 2 * node, 2 * node + 1
        labels = min(self._counts[left] + self._counts[right], MANY)
        self._counts[node] = labels
        if labels == MANY:
            joined = sha256(b"\x03" + self.hash(left) + self.hash(right)).digest()
        else:  # A leaf stands as high as it can.
            joined = self.hash(left if self._counts[left] else right)
        self._hashes[node * HASH_SIZE : (node + 1) * HASH_SIZE] = joined

    def hash(self, node: int) -> bytes:
        """The hash of one node."""
        return bytes(self._hashes[node * HASH_SIZE : (node + 1) * HASH_SIZE])

    @property
    def root(self) -> bytes:
        """The root of the prefix tree."""
        return self.hash(1)

    def descend(self, label: bytes) -> tuple[list[bytes], bytes]:
        """Follow a label down to where its proof must be ended with the labels of a small subtree.

        Returns:
            The siblings of the path, and the hash of the subtree at its end.
        """
        key = int.from_bytes(label, "big")
        siblings: list[bytes] = []
        node = 1
        while len(siblings) < self.depth and self._counts[node] == MANY:
            node = 2 * node + (key >> KEY_BITS - 1 - len(siblings) & 1)
            siblings.append(self.hash(node ^ 1))
        return siblings, self.hash(node)


def bounds(label: bytes, depth: int) -> tuple[bytes, bytes]:
    """The least and the greatest label that share a label's first `depth` bits."""
    free = KEY_BITS - depth
    least = int.from_bytes(label, "big") >> free << free
    return least.to_bytes(HASH_SIZE, "big"), (least | (1 << free) - 1).to_bytes(HASH_SIZE, "big")
