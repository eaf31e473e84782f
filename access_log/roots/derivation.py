"""Derive the roots of every month from the entries alone, and hold the log of roots to them (FORMAT 10.7).

It is fed entries in order, in runs that were found sound; it knows nothing of where they come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from access_log.audit import previous_of, time_of
from access_log.entry import first_chain
from access_log.errors import VerificationError
from access_log.labels import month_of
from access_log.merkle import EMPTY_ROOT, Frontier
from access_log.prefix import Place
from access_log.prefix_tree import PrefixTree
from access_log.roots.leaf import Kind, PrefixRoot

_MOST_TRIED: Final = 20_000
"""Entries that are tried one by one for the label that makes the difference."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """Where a month begins, and all that has to be known of what lies before it.

    Attributes:
        index: The number of entries before it.
        roots: The number of roots before it.
        chain: The chain value before its first entry.
        time: Of the last entry before it, in milliseconds since the epoch.
        frontier: The tree over the entries before it.
    """

    index: int
    roots: int
    chain: bytes
    time: int
    frontier: Frontier

    @classmethod
    def start(cls, origin: str) -> "Milestone":
        """Before the first entry of a log."""
        return cls(0, 0, first_chain(origin), 0, Frontier.empty())


@dataclass
class Derivation:
    """The walk through the entries, and the roots that are still to be met on it.

    Attributes:
        roots: All roots of the log of roots, each of which may follow the one before it.
        met: Called with the number of each root that was found right, and the tree it is the root of, which
            is only lent.
        milestone: The newest beginning of a month that was reached.
        frontier: The tree over the entries so far.
    """

    roots: Sequence[PrefixRoot]
    milestone: Milestone
    met: Callable[[int, PrefixTree], None] = lambda _number, _tree: None
    frontier: Frontier = field(init=False)
    _next: int = field(init=False)
    _tree: PrefixTree = field(default_factory=PrefixTree, init=False)
    _agreed: int = field(init=False)
    """The size up to which the roots of this month were found right."""
    _ended: PrefixRoot | None = field(default=None, init=False)
    """A final root that waits for an entry of a later month."""
    _time: int = field(init=False)

    def __post_init__(self) -> None:
        self.frontier, self._time = self.milestone.frontier, self.milestone.time
        self._next = self.milestone.roots
        self._agreed = self.milestone.index

    @property
    def due(self) -> int | None:
        """The size of the next root; None after the last."""
        return self.roots[self._next].size if self._next < len(self.roots) else None

    def take(self, entries: Sequence[bytes], leaves: Sequence[bytes]) -> None:
        """Go on with the next entries, 106 bytes each, and compare the roots that are due among them.

        Raises:
            VerificationError: A root differs from what follows from the entries; it is the first that does.
        """
        at = 0
        while at < len(entries):
            stop = len(entries)
            if self.due is not None:
                stop = min(stop, at + self.due - self.frontier.size)
            if stop > at:
                self._feed(entries[at:stop], leaves[at:stop])
                at = stop
            while self.due == self.frontier.size:
                self._meet(entries[at:])

    def begin(self) -> None:
        """Meet roots that are due before the first entry is taken."""
        while self.due == self.frontier.size:
            self._meet(())

    def close(self) -> None:
        """Check what can only be known at the end of the log.

        Raises:
            VerificationError: A root covers more than the log has, or is final while its month may go on.
        """
        if self.due is not None:
            raise VerificationError(
                f"{self._named(self._next)} covers {self.due} entries, the log has {self.frontier.size}"
            )
        if self._ended is not None:
            raise VerificationError(
                f"{self._named(len(self.roots) - 1)} is final, but no entry of a later month is in the log"
            )

    def _feed(self, entries: Sequence[bytes], leaves: Sequence[bytes]) -> None:
        start = self.frontier.size
        if self._ended is not None:
            self._require_later(entries[0])
        if self._next < len(self.roots):
            month = self.roots[self._next].month
            for index, entry in enumerate(entries, start):
                found = month_of(time_of(entry))
                if found != month:
                    raise VerificationError(
                        f"{self._named(self._next)} covers this entry, which is of {found}", index
                    )
                self._tree.add(entry[42:74], index.to_bytes(8, "big") + entry[74:106])
        self.frontier = self.frontier.extend(leaves)
        self._time = time_of(entries[-1])

    def _require_later(self, entry: bytes) -> None:
        ended, self._ended = self._ended, None
        index = self.frontier.size
        if ended is not None and month_of(time_of(entry)) <= ended.month:
            raise VerificationError(
                f"{self._named(self._next - 1)} is final, but this entry after it is of its month", index
            )
        self.milestone = Milestone(index, self._next, previous_of(entry), self._time, self.frontier)

    def _meet(self, following: Sequence[bytes]) -> None:
        number, root = self._next, self.roots[self._next]
        log_root = self.frontier.root() if self.frontier.size else EMPTY_ROOT
        if root.log_root != log_root:
            raise VerificationError(
                f"{self._named(number)} states another root of the log's tree than it has"
            )
        if root.prefix_root != self._tree.root():
            raise self._explained(number, root, following)
        self.met(number, self._tree)
        self._next += 1
        self._agreed = root.size
        if root.kind is Kind.FINAL:
            self._ended = root
            self._tree = PrefixTree()

    def _named(self, number: int) -> str:
        root = self.roots[number]
        return f"root {number} ({root.kind.name.lower()}, {root.month}, size {root.size})"

    # ── Which label ──────────────────────────────────────────────────────────────────────────────

    def _explained(self, number: int, root: PrefixRoot, following: Sequence[bytes]) -> VerificationError:
        """Say which label makes the difference, where one alone does."""
        named = self._named(number)
        candidates = sorted(
            (Place.decode(record[32:]).index, record[:32], record[32:])
            for record in self._tree
            if Place.decode(record[32:]).index >= self._agreed
        )
        for index, label, place in candidates[:_MOST_TRIED]:
            if self._tree.root_if(label, None) == root.prefix_root:
                return VerificationError(f"{named} leaves out the label of this entry", index)
            for other in (index - 1, index + 1, index - root.first, index - root.first + 1):
                changed = max(other, 0).to_bytes(8, "big") + place[8:]
                if self._tree.root_if(label, changed) == root.prefix_root:
                    return VerificationError(
                        f"{named} gives the label of this entry the index {other}", index
                    )
        for index, entry in enumerate(following, root.size):
            place = index.to_bytes(8, "big") + entry[74:106]
            if self._tree.root_if(entry[42:74], place) == root.prefix_root:
                return VerificationError(
                    f"{named} holds the label of this entry, which it does not cover", index
                )
        return VerificationError(
            f"{named} is not that of the labels in entries {root.first} to {root.size - 1}. Up to entry "
            f"{self._agreed} the roots are right; from there on it holds a label of no entry, or many differ"
        )
