"""The vectors of the prefix tree and its roots: labels of a stream, and others that share long prefixes."""

from hashlib import shake_256
from typing import TypeAlias

from access_log.labels import label, month_key, stream_key
from access_log.prefix import MISSING, Place
from access_log.prefix_tree import PrefixTree
from access_log.roots.leaf import Kind, PrefixRoot

Vector: TypeAlias = "str | int | list[Vector] | dict[str, Vector]"

MONTH_KEY = month_key(stream_key(bytes(32), bytes(range(16))), "vault.example/log/2026", 202607)
STREAM = [label(MONTH_KEY, seq) for seq in range(1, 6)]
CLOSE = [STREAM[0][:31] + bytes([STREAM[0][31] ^ 1]), STREAM[0][:9] + bytes(23)]
"""Labels that share 255 and 72 bits or more with the first."""
SIZES = (0, 1, 2, 5, 7)


def commitment(index: int) -> bytes:
    """Fixed bytes in place of a commitment."""
    return shake_256(f"creditvault vector commitment {index}".encode()).digest(32)


def prefix_vectors() -> list[Vector]:
    """Trees of several sizes: their labels, roots, and a proof for every label, there or not."""
    labels = [*STREAM, *CLOSE]
    return [_tree(labels[:size], labels) for size in SIZES]


def root_vectors() -> list[Vector]:
    """Leaves of the log of roots: an interim one, the final one after it, and that of an empty month."""
    tree = PrefixTree()
    tree.extend((each, Place(at, commitment(at)).encode()) for at, each in enumerate(STREAM))
    log_root = shake_256(b"creditvault vector log root").digest(32)
    roots = (
        PrefixRoot(Kind.INTERIM, 202611, 0, 4, log_root, commitment(0)),
        PrefixRoot(Kind.FINAL, 202611, 0, 5, log_root, tree.root()),
        PrefixRoot(Kind.FINAL, 202612, 5, 5, log_root, MISSING),
    )
    return [
        {
            "kind": int(root.kind),
            "month": root.month,
            "first": root.first,
            "size": root.size,
            "log_root": root.log_root.hex(),
            "prefix_root": root.prefix_root.hex(),
            "root": root.encode().hex(),
        }
        for root in roots
    ]


def _tree(inside: list[bytes], asked: list[bytes]) -> Vector:
    tree = PrefixTree()
    places = [Place(1000 + at, commitment(at)) for at in range(len(inside))]
    tree.extend((each, place.encode()) for each, place in zip(inside, places, strict=True))
    return {
        "labels": [
            {"label": each.hex(), "index": place.index, "commitment": place.commitment.hex()}
            for each, place in zip(inside, places, strict=True)
        ],
        "root": tree.root().hex(),
        "proofs": {each.hex(): tree.prove(each).encode().hex() for each in asked},
    }
