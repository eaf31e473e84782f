"""A log over several months and its log of roots, published in memory; a tamperer may change any of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.labels import month_of
from access_log.merkle import Frontier, leaf_hash
from access_log.prefix import Place
from access_log.prefix_tree import PrefixTree
from access_log.roots.leaf import Kind, PrefixRoot, next_month, roots_origin
from access_log.tiles import Tile, bundles_of, encode_bundle
from tests.access_log.simulator import KEYS, ORIGIN, Memory, publish

SIGNER = SigningKey.from_seed(roots_origin(ORIGIN), b"r" * 32)
ROOTS_KEYS = (VerifierKey.parse(SIGNER.verifier_key()),)
LOG_KEYS = KEYS

Labels = dict[bytes, bytes]
"""Labels with their places."""


def entries_of(months: Sequence[tuple[str, int]], repeat: int | None = None) -> list[bytes]:
    """A chain of entries: so many from each ISO date on, a second apart; one may repeat the first label."""
    chain = first_chain(ORIGIN)
    entries: list[bytes] = []
    for day, count in months:
        start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
        for at in range(count):
            seed = (0 if len(entries) == repeat else len(entries)).to_bytes(8, "big")
            entry = Entry(
                EntryType.HEARTBEAT,
                start + 1000 * at,
                chain,
                sha256(b"label" + seed).digest(),
                sha256(b"commitment" + seed).digest(),
            ).encode()
            entries.append(entry)
            chain = next_chain(chain, leaf_hash(entry))
    return entries


def labels_in(entries: Sequence[bytes], first: int, size: int) -> Labels:
    return {
        entry[42:74]: Place(index, entry[74:106]).encode()
        for index, entry in enumerate(entries[first:size], first)
    }


@dataclass
class Operator:
    """Whoever writes the log of roots; `tamper` changes the labels of a root before it is made."""

    entries: list[bytes]
    roots: list[PrefixRoot] = field(default_factory=list)
    tamper: Callable[[int, Labels], None] = lambda _number, _labels: None

    def say(self, kind: Kind, month: int, first: int, size: int) -> None:
        labels = labels_in(self.entries, first, size)
        self.tamper(len(self.roots), labels)
        tree = PrefixTree()
        tree.extend(labels.items())
        log_root = Frontier.empty().extend([leaf_hash(entry) for entry in self.entries[:size]]).root()
        self.roots.append(PrefixRoot(kind, month, first, size, log_root, tree.root()))

    def say_all(self, every: int = 50) -> "Operator":
        """Interim roots after so many entries, and a final one for each month."""
        month, first = month_of(int.from_bytes(self.entries[0][2:10], "big")), 0
        for index, entry in enumerate(self.entries):
            while month_of(int.from_bytes(entry[2:10], "big")) != month:
                self.say(Kind.FINAL, month, first, index)
                month, first = next_month(month), index
            if index % every == every - 1:
                self.say(Kind.INTERIM, month, first, index + 1)
        return self

    def publish(self) -> tuple[Memory, Memory]:
        return publish(self.entries), publish_roots([root.encode() for root in self.roots])


def publish_roots(raws: Sequence[bytes], signer: SigningKey = SIGNER) -> Memory:
    memory = Memory()
    for bundle in bundles_of(len(raws)):
        part = list(raws[bundle.n * 256 : bundle.n * 256 + bundle.width])
        memory.files[bundle.path] = encode_bundle(part)
        memory.files[Tile(0, bundle.n, bundle.width).path] = b"".join(map(leaf_hash, part))
    root = Frontier.empty().extend([leaf_hash(raw) for raw in raws]).root()
    memory.files["checkpoint"] = signer.sign(Checkpoint(signer.name, len(raws), root)).encode()
    return memory
