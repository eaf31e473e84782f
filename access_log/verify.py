"""Audit a whole published log (FORMAT 10), with no database and no code of the writer.

The steps, numbered as in FORMAT 10.1:
(1) the checkpoint is signed by the log's key;
(2) every entry the checkpoint covers is there, and is of the format;
(3) times never decrease;
(4) the chain runs from the origin through every entry;
(5) every published tile states the hashes that follow from the entries;
(6) the tree over the entries has the signed root;
(7) the tree begins with that of an earlier checkpoint, if one is given;
(8) a checkpoint satisfies a policy, if one is given, and the tree begins with it (`cosigned`; then as 7).

An audit may go on from where an earlier one of the same verifier ended (FORMAT 10.6): steps 2 to 5 then
read only the bundles after it, and step 7 holds their tree to all that was audited before.

Steps 2 to 5 are checked bundle by bundle, which needs nothing but the bundle, so that bundles can be
checked side by side; how they join is checked in order.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from functools import partial
from itertools import islice

from access_log.audit import RECORD, examine
from access_log.blame import Suspect, accuse
from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.contradiction import ContradictionError, Signed, require_beginning, require_growth, rewritten
from access_log.encoding import HASH_SIZE
from access_log.entry import first_chain
from access_log.errors import SourceError, VerificationError
from access_log.fetch import Finding, findings, leaf_tile, read_tile, records_in, whole_hashes_in
from access_log.merkle import Frontier, full_root
from access_log.position import Position
from access_log.sources import Source
from access_log.tiles import HEIGHT, WIDTH, Tile, encode_bundle

Progress = Callable[[int, int], None]
"""Called with the number of entries verified so far and the number there are."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A log that verified.

    Attributes:
        signed: Its checkpoint, with the note it was served in.
        begun_at: The index of the first entry that was read: 0 unless the audit went on from an earlier one.
        position: Where a later audit may go on: after the last full bundle.
        chain: The chain value after the last entry.
        first_time: Of the first entry, in milliseconds since the epoch; None in an empty log.
        last_time: Of the last entry; None in an empty log.
    """

    signed: Signed
    begun_at: int
    position: Position
    chain: bytes
    first_time: int | None
    last_time: int | None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that was audited to its end."""
        return self.signed.checkpoint


def _silent(_done: int, _of: int) -> None:
    pass


def verify_log(
    source: Source,
    keys: Sequence[VerifierKey],
    *,
    earlier: Sequence[Signed] = (),
    resume: tuple[Position, Signed] | None = None,
    jobs: int = 1,
    progress: Progress = _silent,
) -> Audit:
    """Audit a log from its first entry to its signed checkpoint.

    Args:
        source: Where it is published.
        keys: The log's key, and any others the caller trusts.
        earlier: Checkpoints of the same log that were opened before, to show that nothing they covered was
            replaced or taken away.
        resume: Where an earlier audit of this log ended, and the checkpoint it audited. What it read is not
            read again; that its entries are still in the tree is shown.
        jobs: How many bundles are fetched and checked side by side: by processes for a directory, by
            connections for a web address.
        progress: Told how far the audit is.

    Raises:
        VerificationError: The log does not verify; names the first bad entry where one can be named.
        ContradictionError: An earlier checkpoint says otherwise; holds both notes as evidence.
        FormatError: The checkpoint is malformed.
        SourceError: The log could not be read.
    """
    signed = signed_checkpoint(source, keys)  # (1)
    return verify_signed(source, signed, earlier=earlier, resume=resume, jobs=jobs, progress=progress)


def verify_signed(
    source: Source,
    signed: Signed,
    *,
    earlier: Sequence[Signed] = (),
    resume: tuple[Position, Signed] | None = None,
    jobs: int = 1,
    progress: Progress = _silent,
) -> Audit:
    """Audit a log up to a checkpoint of it that was opened (1); everything else is as in `verify_log`.

    Raises:
        VerificationError: The log does not verify; names the first bad entry where one can be named.
        ContradictionError: An earlier checkpoint says otherwise; holds both notes as evidence.
        SourceError: The log could not be read.
    """
    known = (*earlier, *((resume[1],) if resume else ()))
    for each in known:
        require_growth(each, signed)
    start = resume[0] if resume else Position.start(signed.checkpoint.origin)
    doubt = _doubt(source, known, signed) if resume else None  # (7) where entries are not read
    walk = _Walk(source, signed, known, start)
    with findings(source, signed.checkpoint.size, start.size // WIDTH, walk.keep, jobs) as found:
        for finding in found:
            walk.step(finding)  # (2) to (5), (7)
            progress(walk.frontier.size, signed.checkpoint.size)
    walk.close()  # (5) and (6)
    if doubt is not None:
        raise doubt
    last_time = walk.time if signed.checkpoint.size else None
    return Audit(signed, start.size, walk.settled, walk.chain, walk.first_time, last_time)


def _doubt(source: Source, known: Sequence[Signed], signed: Signed) -> VerificationError | None:
    """Hold the signed tree to what was known before by its tiles alone.

    Returns:
        What is wrong with the tiles, if they prove nothing: the audit itself may name the place.

    Raises:
        ContradictionError: The log is another one than before, which would else be laid to an entry.
    """
    for each in known:
        try:
            require_beginning(source, each, signed)
        except ContradictionError:
            raise
        except VerificationError as error:
            return error
    return None


def signed_checkpoint(source: Source, keys: Sequence[VerifierKey]) -> Signed:
    """Open the checkpoint a log serves (1).

    Raises:
        VerificationError: It is not signed by the log's key.
        FormatError: It is malformed.
        SourceError: It could not be read.
    """
    note = source.read("checkpoint", MAX_NOTE)
    if note is None:
        raise SourceError("there is no checkpoint: name the log's root, which holds 'checkpoint' and 'tile'")
    return Signed(open_note(note, keys), note.decode())


def audit_entries(origin: str, entries: Iterable[bytes], root: bytes | None = None) -> tuple[bytes, Frontier]:
    """Audit a whole log from memory or a database: format, times, chain and tree, without tiles.

    Args:
        origin: The log's origin.
        entries: All its entries from index 0, 106 bytes each; they are read as a stream.
        root: The root the tree must have, if the caller knows it. Without it the caller compares the
            frontier's, and a break at the very last entry cannot be told from one right before it.

    Returns:
        The chain value after the last entry, and the tree's frontier.

    Raises:
        VerificationError: Names the first bad entry.
        FormatError: An entry is longer than any bundle could hold.
    """
    chain, time, frontier = first_chain(origin), 0, Frontier.empty()
    stream = iter(entries)
    while group := list(islice(stream, WIDTH)):
        found = examine(encode_bundle(group), len(group))
        if found is None or not found[0].follows(chain, time):
            suspect = Suspect(
                frontier.size,
                len(group),
                group,
                chain,
                time,
                tile=(),
                following=partial(next, stream, None),
                completes=partial(_completes, frontier, root),
            )
            raise accuse(suspect) or VerificationError("it does not hold together", frontier.size)
        run, leaves = found
        chain, time = run.chain, run.last_time
        frontier = _grown(frontier, full_root(leaves) if len(leaves) == WIDTH else None, leaves)
    if root is not None:
        _require_root(frontier, root)
    return chain, frontier


# ── All bundles in order ─────────────────────────────────────────────────────────────────────────


@dataclass
class _Walk:
    """The state of an audit between two bundles: O(log n) hashes, whatever the log's size."""

    source: Source
    signed: Signed
    earlier: Sequence[Signed]
    start: InitVar[Position]
    chain: bytes = field(init=False)
    time: int = field(init=False)
    first_time: int | None = field(init=False)
    frontier: Frontier = field(init=False)
    rows: list[list[bytes]] = field(init=False)
    """For each tile level from 1 the hashes of its unfinished tile."""
    settled: Position = field(init=False)
    """After the last full bundle."""

    def __post_init__(self, start: Position) -> None:
        self.chain, self.time, self.first_time = start.chain, start.time, start.first_time
        self.frontier, self.rows = start.frontier(), [list(row) for row in start.rows]
        self.settled = start

    @property
    def checkpoint(self) -> Checkpoint:
        return self.signed.checkpoint

    @property
    def keep(self) -> frozenset[int]:
        """The bundles whose leaves are needed to know the trees of the earlier checkpoints."""
        return frozenset(each.checkpoint.size // WIDTH for each in self.earlier)

    def step(self, finding: Finding) -> None:
        """Join the next bundle to what was verified before it."""
        run = finding.run
        if run is None or not run.follows(self.chain, self.time):
            raise self._accused(finding)
        self._check_earlier(finding)
        if self.first_time is None:
            self.first_time = run.first_time
        self.chain, self.time = run.chain, run.last_time
        self.frontier = _grown(self.frontier, finding.root, finding.leaves)
        if finding.root is not None:
            self._fill(1, finding.root)
            rows = tuple(map(tuple, self.rows))
            self.settled = Position(self.frontier.size, self.chain, self.time, self.first_time, rows)

    def close(self) -> None:
        """Check what can only be known at the end: the last tile of each level, and the root."""
        for level, row in enumerate(self.rows, start=1):
            if row:
                self._check_tile(level, row)
        _require_root(self.frontier, self.checkpoint.root)
        for each in self.earlier:
            if each.checkpoint.size == self.frontier.size:
                self._require_earlier(each, self.frontier)

    def _fill(self, level: int, root: bytes) -> None:
        """Add the root of a full tile to the tile above it, which may fill that one in turn."""
        if len(self.rows) < level:
            self.rows.append([])
        row = self.rows[level - 1]
        row.append(root)
        if len(row) == WIDTH:
            self._check_tile(level, row)
            self.rows[level - 1] = []
            self._fill(level + 1, full_root(row))

    def _check_tile(self, level: int, row: Sequence[bytes]) -> None:
        """Compare a tile above level 0 with what follows from the entries (5)."""
        covered = 1 << HEIGHT * level
        tile = Tile(level, (self.frontier.size // covered - 1) // WIDTH, len(row))
        stored = read_tile(self.source, tile)
        if stored != b"".join(row):
            raise _tile_error(tile, stored, row)

    def _check_earlier(self, finding: Finding) -> None:
        for each in self.earlier:
            more = each.checkpoint.size - self.frontier.size
            if 0 <= more < finding.bundle.width:
                self._require_earlier(each, self.frontier.extend(finding.leaves[:more]))

    def _require_earlier(self, earlier: Signed, frontier: Frontier) -> None:
        if frontier.root() != earlier.checkpoint.root:
            raise rewritten(earlier, self.signed)

    def _accused(self, finding: Finding) -> VerificationError:
        """Name the entry at which a bundle fails."""
        bundle, start = finding.bundle, finding.bundle.n * WIDTH
        raw, tile = finding.raw, finding.tile
        if finding.run is not None:  # The bundle is sound but does not join: fetch it again to look inside.
            raw = read_tile(self.source, bundle) or b""
            tile = read_tile(self.source, leaf_tile(bundle))
        suspect = Suspect(
            start,
            bundle.width,
            records_in(raw, bundle.width),
            self.chain,
            self.time,
            whole_hashes_in(tile or b""),
            following=lambda: self._entry_at(start + bundle.width),
            completes=partial(_completes, self.frontier, self.checkpoint.root),
        )
        return accuse(suspect) or _odd_file(bundle, raw, tile)

    def _entry_at(self, index: int) -> bytes | None:
        """The first entry of a later bundle, or None where the log ends or has a gap."""
        width = min(WIDTH, self.checkpoint.size - index)
        if width <= 0:
            return None
        raw = read_tile(self.source, Tile(None, index // WIDTH, width)) or b""
        return next(iter(records_in(raw, width)), None)


def _grown(frontier: Frontier, root: bytes | None, leaves: Sequence[bytes]) -> Frontier:
    """Add a full bundle by its root, the last one by its leaves."""
    return frontier.extend(leaves) if root is None else frontier.append_subtree(HEIGHT, root)


def _completes(frontier: Frontier, root: bytes | None, leaves: Sequence[bytes]) -> bool:
    """Whether these leaves, as the last, lead to the root."""
    return frontier.extend(leaves).root() == root


def _require_root(frontier: Frontier, root: bytes) -> None:
    if frontier.root() != root:
        raise VerificationError(
            "the entries do not give the signed root although the chain holds: this last entry, or a "
            "row of entries that ends with it, was altered",
            frontier.size - 1 if frontier.size else None,
        )


def _odd_file(bundle: Tile, raw: bytes, tile: bytes | None) -> VerificationError:
    """Say what is wrong with files whose entries and hashes agree as far as they go."""
    start = bundle.n * WIDTH
    if len(raw) != RECORD * bundle.width:
        return VerificationError(f"{bundle.path} goes on after it", start + bundle.width - 1)
    leaves = leaf_tile(bundle)
    if tile is None:
        return VerificationError(f"{leaves.path}, which states its hash, is missing", start)
    if len(tile) != HASH_SIZE * bundle.width:
        last = min(len(tile) // HASH_SIZE, bundle.width - 1)
        return VerificationError(f"{leaves.path} does not end where it must", start + last)
    return VerificationError(f"{bundle.path} was read twice and differed", start)


def _tile_error(tile: Tile, stored: bytes | None, row: Sequence[bytes]) -> VerificationError:
    """Say what is wrong with a tile above level 0; the index is that of the first entry it covers."""
    covered = 1 << HEIGHT * (tile.level or 0)
    first = tile.n * WIDTH
    if stored is None:
        return VerificationError(f"{tile.path}, which covers it, is missing", first * covered)
    pairs = zip(row, whole_hashes_in(stored), strict=False)
    position = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    if position is None:
        return VerificationError(f"{tile.path}, which covers it, does not end where it must", first * covered)
    return VerificationError(
        f"{tile.path} states another hash than the {covered} entries from here on have: it was altered",
        (first + position) * covered,
    )
