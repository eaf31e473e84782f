"""Name the entry that was altered once a bundle does not verify (FORMAT 10.3).

A broken link lies between two entries, and each of them may be the altered one. Three witnesses decide:
the stored tile of leaf hashes, the entry after the two, and at the very end the signed root.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from access_log.audit import FlawKind, first_flaw, previous_of
from access_log.encoding import HASH_SIZE
from access_log.entry import SIZE, next_chain
from access_log.errors import VerificationError
from access_log.merkle import leaf_hash

_ALTERED: Final = "it was altered: its hash is not the one the tile of leaf hashes states"
_REWRITTEN: Final = (
    "it and those after it were replaced: their hashes are not those the tile of leaf hashes states"
)
_TILE_ALTERED: Final = (
    "the chain runs through it, but the tile of leaf hashes states another hash for it: the tile was altered"
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """Consecutive entries that did not verify, with everything that is known around them.

    Attributes:
        start: The log index of the first entry.
        width: How many entries there must be.
        entries: The entries that were read, in order; they end at the first that is missing.
        chain: The chain value before them.
        time: The newest time before them, in milliseconds.
        tile: The stored leaf hashes of the same entries; empty where there are none to compare with.
        following: Returns the entry after them, if there is one.
        completes: Whether these leaves, as the log's last, lead to the signed root.
    """

    start: int
    width: int
    entries: Sequence[bytes]
    chain: bytes
    time: int
    tile: Sequence[bytes]
    following: Callable[[], bytes | None]
    completes: Callable[[Sequence[bytes]], bool]

    def after(self, position: int) -> bytes | None:
        """The entry after a position, which may stand in the next bundle."""
        if position + 1 < len(self.entries):
            return self.entries[position + 1]
        return self.following() if position + 1 == self.width else None


def accuse(suspect: Suspect) -> VerificationError | None:
    """Return the error that names the first bad entry; None if the entries hold together after all."""
    entries = suspect.entries
    leaves = [leaf_hash(entry) for entry in entries]
    unlike = next((at for at, (a, b) in enumerate(zip(leaves, suspect.tile, strict=False)) if a != b), None)
    flaw = first_flaw(entries, suspect.chain, suspect.time)
    if unlike is not None and (flaw is None or unlike < flaw.position):
        return VerificationError(_unlike_tile(suspect, leaves, unlike), suspect.start + unlike)
    if flaw is not None and flaw.kind is FlawKind.CHAIN:
        if unlike == flaw.position:
            reason = _out_of_place(suspect, leaves[unlike]) or _ALTERED
            return VerificationError(reason, suspect.start + unlike)
        return _broken_link(suspect, leaves, flaw.position)
    if flaw is not None:
        return VerificationError(flaw.reason, suspect.start + flaw.position)
    if len(entries) < suspect.width:
        return VerificationError(
            "it is missing, although the signed checkpoint covers it", suspect.start + len(entries)
        )
    return None


def _unlike_tile(suspect: Suspect, leaves: Sequence[bytes], position: int) -> str:
    """Say what became of an entry whose links hold but whose hash the tile does not state."""
    successor = suspect.after(position)
    chain = next_chain(previous_of(suspect.entries[position]), leaves[position])
    if successor is None or previous_of(successor) != chain:
        return _ALTERED
    next_pair = list(zip(leaves, suspect.tile, strict=False))[position + 1 : position + 2]
    return _REWRITTEN if any(ours != stored for ours, stored in next_pair) else _TILE_ALTERED


def _out_of_place(suspect: Suspect, leaf: bytes) -> str | None:
    """Say which entry this really is, if the tile states its hash at another place."""
    if leaf not in suspect.tile:
        return None
    other = suspect.start + suspect.tile.index(leaf)
    return f"entry {other} stands in its place: entries are missing, doubled or out of order"


def _broken_link(suspect: Suspect, leaves: Sequence[bytes], position: int) -> VerificationError:
    """Decide which of two entries with a broken link between them was altered.

    The tile speaks against neither: it was made from the altered entries, as the last, partial one is.
    """
    index = suspect.start + position
    entry = suspect.entries[position]
    if index == 0:
        return VerificationError("it does not begin the chain of the origin in the checkpoint", 0)
    second = VerificationError("it was altered: its chain value does not follow from the entry before", index)
    first = VerificationError(
        "it was altered, or entries after it are missing: the next entry's chain value does not follow",
        index - 1,
    )
    successor = suspect.after(position)
    if successor is not None and len(successor) == SIZE:
        # The successor states the chain through the second entry as it was when both were logged.
        vouched = next_chain(previous_of(entry), leaves[position]) == previous_of(successor)
        return first if vouched else second
    # The second entry is the log's last: put back the chain value it should state, and ask the root.
    before = suspect.chain
    if position:
        before = next_chain(previous_of(suspect.entries[position - 1]), leaves[position - 1])
    repaired = leaf_hash(entry[:10] + before + entry[10 + HASH_SIZE :])
    # The first entry of a bundle follows on a full one, whose tile was found to state the entry before.
    tile_clears_first = position == 0 and bool(suspect.tile)
    return second if tile_clears_first or suspect.completes([*leaves[:position], repaired]) else first
