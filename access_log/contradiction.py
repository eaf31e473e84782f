"""Two signed checkpoints of one log that cannot both be honest, and the evidence that shows it (FORMAT 10.5).

A log's key signs one tree that only grows. Whoever holds two notes of that key that say otherwise can
convince anybody, without the log and without being believed: the notes are the evidence.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hmac import compare_digest

from access_log.checkpoint import Checkpoint
from access_log.errors import FormatError, VerificationError
from access_log.fetch import read_tile
from access_log.merkle import EMPTY_ROOT, Frontier, Node, consistency_proof, verify_consistency
from access_log.sources import Source
from access_log.tiles import HEIGHT, WIDTH, Tile, node_reader


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint that was opened, with the note that shows who signed it.

    Attributes:
        checkpoint: What the note states.
        note: The note, verbatim.
    """

    checkpoint: Checkpoint
    note: str


class Kind(StrEnum):
    """How two checkpoints of one log contradict each other."""

    FORK = "fork"
    """One size, two roots: two logs under one name."""
    REWRITTEN = "rewritten"
    """The later tree does not begin with the earlier one."""
    ROLLED_BACK = "rolled_back"
    """What is served today covers less than was signed before."""


class ContradictionError(VerificationError):
    """A log is not the one an earlier checkpoint of it covers.

    Attributes:
        kind: How.
        evidence: The two signed notes, the earlier known one first.
    """

    def __init__(
        self, kind: Kind, reason: str, known: Signed, found: Signed, index: int | None = None
    ) -> None:
        super().__init__(reason, index)
        self.kind = kind
        self.evidence = (known.note, found.note)


def require_growth(known: Signed, found: Signed) -> None:
    """Check what two checkpoints show by themselves: one log, no rollback, no fork.

    Args:
        known: The one that was known before.
        found: The one the log serves now.

    Raises:
        VerificationError: They are of two logs.
        ContradictionError: The log was rolled back, or forked.
    """
    older, newer = known.checkpoint, found.checkpoint
    if older.origin != newer.origin:
        raise VerificationError("the earlier checkpoint is another log's")
    if older.size > newer.size:
        raise ContradictionError(
            Kind.ROLLED_BACK,
            f"the log was cut: an earlier checkpoint covers {older.size} entries, this one {newer.size}",
            known,
            found,
            newer.size,
        )
    if older.size == newer.size and not compare_digest(older.root, newer.root):
        raise fork(known, found)


def fork(known: Signed, found: Signed) -> ContradictionError:
    """Say that one size was signed with two roots."""
    return ContradictionError(
        Kind.FORK,
        f"the log was forked: its key signed two different trees of {known.checkpoint.size} entries, so that "
        "an entry was replaced in one of them",
        known,
        found,
    )


def rewritten(known: Signed, found: Signed) -> ContradictionError:
    """Say that the later tree does not begin with the earlier."""
    return ContradictionError(
        Kind.REWRITTEN,
        f"an entry before {known.checkpoint.size} was replaced: the log no longer begins with the tree of "
        "the earlier checkpoint",
        known,
        found,
    )


def require_beginning(source: Source, known: Signed, found: Signed) -> None:
    """Check by the log's tiles, without its entries, that the later tree begins with the earlier one.

    The tiles prove which tree of the earlier size the later root holds. If that is not the one the earlier
    checkpoint states, the two notes contradict each other whatever the tiles are worth otherwise.

    Args:
        source: The log.
        known: The checkpoint of the smaller size, or the same.
        found: The checkpoint of the larger size.

    Raises:
        ContradictionError: The log was rolled back, forked or rewritten.
        VerificationError: Tiles that are needed are missing or altered.
        SourceError: The log cannot be read.
    """
    require_growth(known, found)
    older, newer = known.checkpoint, found.checkpoint
    if older.size == 0:
        if older.root != EMPTY_ROOT:
            raise rewritten(known, found)
        return
    node = node_reader(partial(_hashes, source, newer.size))
    try:
        begun = _begun(older.size, node)
        verify_consistency(
            older.size, newer.size, consistency_proof(older.size, newer.size, node), begun, newer.root
        )
    except FormatError as error:
        raise VerificationError(f"a tile is missing or cut ({error})") from None
    except VerificationError:
        raise VerificationError(
            "the tiles of the log do not give the root of the later checkpoint: a tile was altered"
        ) from None
    if not compare_digest(begun, older.root):
        raise rewritten(known, found)


def _begun(size: int, node: Node) -> bytes:
    """The root of the first leaves as the tiles have it."""
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    hashes = tuple(node(level, (size >> level) - 1) for level in levels)
    return Frontier(size, hashes).root()


def _hashes(source: Source, size: int, level: int, n: int) -> bytes:
    """The hashes of one tile of a tree, as many as it has."""
    width = min(WIDTH, (size >> HEIGHT * level) - n * WIDTH)
    return read_tile(source, Tile(level, n, width)) or b""
