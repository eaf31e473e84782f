"""Check a person's completeness against a whole published log, entry by entry (FORMAT 4.7).

(a) the published checkpoint is signed, and its tree begins with that of the material's checkpoint;
(b) every entry up to it is read: format, times, chain and tree, as an audit does (FORMAT 10.1);
(c) each is held against the labels of the person's streams.

It needs nothing but the log's key, and is exact: where a label was not met it is not in the log.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from access_log.audit import time_of
from access_log.checkpoint import Checkpoint, VerifierKey, open_note
from access_log.completeness import Completeness, Lookout, judge
from access_log.contradiction import ContradictionError, Signed, require_beginning
from access_log.errors import FormatError, VerificationError
from access_log.fetch import read_tile, records_in
from access_log.material import Material
from access_log.sources import Source
from access_log.tiles import WIDTH, Tile, bundles_of
from access_log.verify import audit_entries, signed_checkpoint
from access_log.web import Website

_CONNECTIONS: Final = 8
_LEADING: Final = 3

Progress = Callable[[int, int], None]
"""Called with the number of entries read so far and the number there are."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A published log that verified, and what it says of a person's streams.

    Attributes:
        published: The checkpoint of the published log.
        made_at: The checkpoint of the material.
        last_time: Of the last entry the material's checkpoint covers; None for an empty log.
        completeness: The verdict.
    """

    published: Checkpoint
    made_at: Checkpoint
    last_time: int | None
    completeness: Completeness


def _silent(_done: int, _of: int) -> None:
    pass


def exhaust(
    source: Source,
    material: Material,
    keys: Sequence[VerifierKey],
    *,
    progress: Progress = _silent,
) -> Exhausted:
    """Reads a whole published log for the entries of a person.

    Args:
        source: Where it is published.
        material: What the person was given.
        keys: The log's key, and any others the caller trusts.
        progress: Told how far the reading is.

    Raises:
        VerificationError: The log itself does not verify.
        ContradictionError: It is not the log of the material: it was cut, forked or rewritten.
        FormatError: A checkpoint is malformed.
        SourceError: The log could not be read.
    """
    given, served = opened_checkpoint(material, keys), signed_checkpoint(source, keys)
    doubt: VerificationError | None = None
    try:
        require_beginning(source, given, served)
    except ContradictionError:
        raise
    except VerificationError as error:
        doubt = error  # Tiles that prove nothing: the entries themselves may name the place.
    made_at, published = given.checkpoint, served.checkpoint
    lookout = Lookout(material.streams)
    walk = _Walk(source, published.size, lookout, made_at.size, progress)
    audit_entries(published.origin, walk.entries(), published.root)
    if doubt is not None:
        raise doubt
    # Only now is anything that was read shown to be the log's.
    verdict = judge(material, lookout.found, made_at.size, walk.last_time or 0, walk.first_time or 0)
    return Exhausted(published, made_at, walk.last_time, verdict)


def opened_checkpoint(material: Material, keys: Sequence[VerifierKey]) -> Signed:
    """Opens the checkpoint a material was made at.

    Raises:
        VerificationError: It is malformed, not signed by these keys, or another log's.
    """
    try:
        signed = Signed(open_note(material.checkpoint, keys), material.checkpoint)
    except (FormatError, VerificationError) as error:
        raise VerificationError(f"the checkpoint in the material does not verify ({error})") from None
    if signed.checkpoint.origin != material.origin:
        raise VerificationError("the checkpoint in the material is another log's")
    return signed


@dataclass
class _Walk:
    """All entries in order, each shown to the lookout on its way to the audit."""

    source: Source
    size: int
    lookout: Lookout
    covered: int
    progress: Progress
    last_time: int | None = None
    first_time: int | None = None

    def entries(self) -> Iterator[bytes]:
        for bundle, raw in _bundles(self.source, self.size):
            first = bundle.n * WIDTH
            records = records_in(raw, bundle.width)
            self.lookout.see(first, records)
            if self.first_time is None and records:
                self.first_time = time_of(records[0])
            last = self.covered - 1 - first
            if 0 <= last < len(records):
                self.last_time = time_of(records[last])
            yield from records
            if len(records) < bundle.width:
                raise VerificationError(
                    "it is missing, although the signed checkpoint covers it", first + len(records)
                )
            self.progress(first + bundle.width, self.size)


def _bundles(source: Source, size: int) -> Iterator[tuple[Tile, bytes]]:
    """Every bundle in order; from a web address some are fetched ahead, a bounded number."""
    if not isinstance(source, Website):
        for bundle in bundles_of(size):
            yield bundle, read_tile(source, bundle) or b""
        return
    bundles = bundles_of(size)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        fetch = partial(read_tile, source)
        waiting = deque((each, pool.submit(fetch, each)) for each in islice(bundles, _CONNECTIONS * _LEADING))
        try:
            while waiting:
                bundle, fetched = waiting.popleft()
                yield bundle, fetched.result() or b""
                waiting.extend((each, pool.submit(fetch, each)) for each in islice(bundles, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
