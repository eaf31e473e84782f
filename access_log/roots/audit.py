"""Audit the log of roots of a published log, with no database and no code of the writer (FORMAT 10.7).

The steps, numbered as there:
(1) both checkpoints are signed by their keys, the one of the roots under the log's origin;
(2) every root is there, is of the format, may follow the one before it, and the tree over all has the signed
    root; it begins with the tree that was audited before;
(3) every entry is there, of the format, in the chain and in order of time, and the tree over all has the
    signed root; it begins with the tree that was audited before;
(4) every root states the root of the log's tree and of the prefix tree that follow from the entries;
(5) every final root stands before an entry of a later month.

Whoever audits regularly goes on from the beginning of the newest month that was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from access_log.audit import RECORD, examine
from access_log.checkpoint import VerifierKey
from access_log.contradiction import Signed, require_growth, rewritten
from access_log.entry import SIZE as ENTRY
from access_log.errors import FormatError, VerificationError
from access_log.fetch import read_tile
from access_log.merkle import Frontier, leaf_hash
from access_log.roots import leaf
from access_log.roots.derivation import Derivation, Milestone
from access_log.roots.leaf import Kind, PrefixRoot, placed, roots_origin
from access_log.sources import Source
from access_log.tiles import WIDTH, Tile, bundles_of, decode_bundle
from access_log.verify import Progress, signed_checkpoint, verify_log

_RECORD = 2 + leaf.SIZE


@dataclass(frozen=True, slots=True)
class Seen:
    """What an earlier audit of the same auditor ended with."""

    log: Signed
    roots: Signed
    milestone: Milestone


@dataclass(frozen=True, slots=True)
class RootsAudit:
    """A log of roots that is what follows from its log.

    Attributes:
        seen: Both checkpoints, and where a later audit may go on.
        begun_at: The index of the first entry that was read.
        months: How many months have their final root.
        covered: How many entries the newest root covers.
    """

    seen: Seen
    begun_at: int
    months: int
    covered: int


def _silent(_done: int, _of: int) -> None:
    pass


def audit_roots(
    log: Source,
    roots: Source,
    *,
    log_keys: Sequence[VerifierKey],
    roots_keys: Sequence[VerifierKey],
    before: Seen | None = None,
    reached: Callable[[Seen], None] = lambda _seen: None,
    progress: Progress = _silent,
) -> RootsAudit:
    """Derive every root anew from the published log.

    Args:
        log: Where the log is published.
        roots: Where its log of roots is published.
        log_keys: The log's key.
        roots_keys: The key of the log of roots.
        before: What the last audit ended with; entries before its milestone are not read again.
        reached: Told where an interrupted audit may go on, whenever a month is behind it.
        progress: Told how far the audit is.

    Raises:
        VerificationError: A log does not verify, or a root differs; names the first, and the entry if one
            can be named.
        ContradictionError: A log does not begin with what was audited before; holds the evidence.
        FormatError: A checkpoint is malformed.
        SourceError: A log cannot be read.
    """
    signed_roots = signed_checkpoint(roots, roots_keys)  # (1), first: the log may only be ahead of its roots
    signed_log = signed_checkpoint(log, log_keys)
    if signed_roots.checkpoint.origin != roots_origin(signed_log.checkpoint.origin):
        raise VerificationError("the log of roots that was named belongs to another log")
    stated = published_roots(roots, signed_roots, before.roots if before else None)  # (2)
    if before is not None:
        require_growth(before.log, signed_log)
    start = before.milestone if before else Milestone.start(signed_log.checkpoint.origin)
    derived = Derivation(stated, start)

    def passed(milestone: Milestone) -> None:
        reached(Seen(signed_log, signed_roots, milestone))

    _walk(log, log_keys, signed_log, before.log if before else None, derived, passed, progress)
    derived.close()
    return RootsAudit(
        seen=Seen(signed_log, signed_roots, derived.milestone),
        begun_at=start.index,
        months=sum(root.kind is Kind.FINAL for root in stated),
        covered=stated[-1].size if stated else 0,
    )


def published_roots(source: Source, signed: Signed, before: Signed | None = None) -> list[PrefixRoot]:
    """Read the log of roots, which is small, as a whole (2).

    Args:
        source: Where it is published.
        signed: Its checkpoint.
        before: What was audited before, if anything.

    Raises:
        VerificationError: A root is missing, cut, out of place, or was altered.
        ContradictionError: It does not begin with what was audited before.
        SourceError: It cannot be read.
    """
    checkpoint = signed.checkpoint
    if before is not None:
        require_growth(before, signed)
    frontier = Frontier.empty()
    found: list[PrefixRoot] = []
    for bundle in bundles_of(checkpoint.size):
        raws = _read_roots(source, bundle, len(found))
        leaves = [leaf_hash(raw) for raw in raws]
        if before is not None and 0 <= before.checkpoint.size - len(found) <= len(raws):
            begun = frontier.extend(leaves[: before.checkpoint.size - len(found)])
            if begun.root() != before.checkpoint.root:
                raise rewritten(before, signed)
        frontier = frontier.extend(leaves)
        for raw in raws:
            found.append(placed(raw, found))
    if frontier.root() != checkpoint.root:
        raise VerificationError("the roots do not give the signed root of their log: one of them was altered")
    return found


def _read_roots(source: Source, bundle: Tile, first: int) -> list[bytes]:
    data = source.read(bundle.path, _RECORD * bundle.width)
    if data is None and bundle.width < WIDTH:
        whole = source.read(bundle.full.path, _RECORD * WIDTH)
        data = None if whole is None else whole[: _RECORD * bundle.width]
    try:
        raws = decode_bundle(data or b"")
    except FormatError:
        raws = []
    if len(raws) != bundle.width:
        raise VerificationError(f"{bundle.path} of the log of roots, from root {first} on, is missing or cut")
    return raws


def _walk(  # noqa: PLR0917 -- the two checkpoints of one log
    source: Source,
    keys: Sequence[VerifierKey],
    signed: Signed,
    before: Signed | None,
    derived: Derivation,
    reached: Callable[[Milestone], None],
    progress: Progress,
) -> None:
    """Read every entry from the milestone on (3), and derive the roots (4), (5)."""
    size = signed.checkpoint.size
    start = milestone = derived.milestone
    chain, time = start.chain, start.time
    derived.begin()
    for bundle in bundles_of(size, start.index // WIDTH):
        skipped = max(0, start.index - bundle.n * WIDTH)
        raw = (read_tile(source, bundle) or b"")[skipped * RECORD :]
        if skipped == bundle.width:
            continue
        found = examine(raw, bundle.width - skipped)
        if found is None or not found[0].follows(chain, time):
            verify_log(source, keys)  # Names the entry.
            raise VerificationError(f"{bundle.path} was read twice and differed", bundle.n * WIDTH)
        run, leaves = found
        chain, time = run.chain, run.last_time
        _require_before(before, signed, derived.frontier, leaves)
        derived.take([raw[at + 2 : at + 2 + ENTRY] for at in range(0, len(raw), RECORD)], leaves)
        if derived.milestone is not milestone:
            milestone = derived.milestone
            reached(milestone)
        progress(derived.frontier.size, size)
    if derived.frontier.root() != signed.checkpoint.root:
        verify_log(source, keys)
        raise VerificationError("the entries do not give the signed root of the log")


def _require_before(
    before: Signed | None, signed: Signed, frontier: Frontier, leaves: Sequence[bytes]
) -> None:
    if before is None:
        return
    more = before.checkpoint.size - frontier.size
    if 0 <= more <= len(leaves) and frontier.extend(leaves[:more]).root() != before.checkpoint.root:
        raise rewritten(before, signed)
