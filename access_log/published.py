"""Single entries of a published log, each proven under its signed checkpoint by tiles alone (FORMAT 6, 7)."""

from collections.abc import Sequence
from functools import partial

from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.entry import Entry
from access_log.errors import VerificationError
from access_log.fetch import read_tile, records_in
from access_log.merkle import Node, inclusion_proof, leaf_hash, verify_inclusion
from access_log.receipt import VerifiedReceipt
from access_log.sources import Source
from access_log.tiles import HEIGHT, WIDTH, Tile, node_reader
from access_log.verify import signed_checkpoint


def entry_at(source: Source, index: int, keys: Sequence[VerifierKey]) -> VerifiedReceipt:
    """One entry of a published log, proven to stand at its index like a receipt's.

    Raises:
        VerificationError: The log does not hold so many entries, or it does not verify there.
        FormatError: The checkpoint, a tile or the entry is malformed.
        SourceError: The log cannot be read.
    """
    checkpoint = signed_checkpoint(source, keys).checkpoint
    return VerifiedReceipt(Entry.decode(proven_entry(source, index, checkpoint)), index, checkpoint)


def proven_entry(source: Source, index: int, checkpoint: Checkpoint) -> bytes:
    """One entry, proven by the log's tiles to stand at its index under a checkpoint that was verified.

    Raises:
        VerificationError: The checkpoint does not cover it, or the log does not verify there.
        FormatError: A tile or a bundle is malformed.
        SourceError: The log cannot be read.
    """
    if index >= checkpoint.size:
        raise VerificationError(f"the published log ends before it: it has {checkpoint.size} entries", index)
    n, at = divmod(index, WIDTH)
    bundle = Tile(None, n, min(WIDTH, checkpoint.size - n * WIDTH))
    records = records_in(read_tile(source, bundle) or b"", bundle.width)
    if len(records) <= at:
        raise VerificationError("it is missing, although the signed checkpoint covers it", index)
    proof = inclusion_proof(index, checkpoint.size, nodes_of(source, checkpoint.size))
    try:
        verify_inclusion(index, checkpoint.size, leaf_hash(records[at]), proof, checkpoint.root)
    except VerificationError:
        reason = "it, or a tile that covers it, was altered: its hash does not lead to the signed root"
        raise VerificationError(reason, index) from None
    return records[at]


def nodes_of(source: Source, size: int) -> Node:
    """Reads nodes of the tree of this size from its tiles; what they say is not verified.

    The function returned raises VerificationError where a tile is missing, FormatError where one is cut.
    """
    return node_reader(partial(_hashes, source, size))


def _hashes(source: Source, size: int, level: int, n: int) -> bytes:
    tile = Tile(level, n, min(WIDTH, (size >> HEIGHT * level) - n * WIDTH))
    hashes = read_tile(source, tile)
    if hashes is None:
        raise VerificationError(f"{tile.path}, which covers it, is missing", (n * WIDTH) << HEIGHT * level)
    return hashes
