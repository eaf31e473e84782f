"""Fetch the bundles of a log and check each by itself (FORMAT 10.1, steps 2 to 5).

A bundle is checked with nothing but its own bytes and its tile, so bundles can be checked side by side:
by processes where hashing takes the time, by connections where fetching does.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from access_log.audit import RECORD, Run, examine
from access_log.encoding import HASH_SIZE
from access_log.entry import SIZE
from access_log.errors import SourceError
from access_log.merkle import full_root
from access_log.sources import Directory, Source
from access_log.tiles import WIDTH, Tile, bundles_of, hashes_in

_SPAN: Final = 32
"""Bundles a worker process takes at a time."""
_LEADING: Final = 3
"""Tasks each worker is kept ahead by."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one bundle; `run` is None where something is wrong with it.

    Sound bundles that are full are known by their root alone, so that little passes between processes.
    """

    bundle: Tile
    run: Run | None
    root: bytes | None = None
    leaves: Sequence[bytes] = ()
    raw: bytes = b""
    tile: bytes | None = None


def inspect(source: Source, keep: AbstractSet[int], bundle: Tile) -> Finding:
    """Fetch a bundle and its tile, and check them against each other (2) to (5)."""
    raw = read_tile(source, bundle) or b""
    tile = read_tile(source, leaf_tile(bundle))
    found = examine(raw, bundle.width)
    if found is None or b"".join(found[1]) != tile:
        return Finding(bundle, None, raw=raw, tile=tile)
    run, leaves = found
    if bundle.width < WIDTH:
        return Finding(bundle, run, leaves=leaves)
    return Finding(bundle, run, full_root(leaves), leaves if bundle.n in keep else ())


def _inspect_span(source: Source, keep: AbstractSet[int], bundles: Sequence[Tile]) -> list[Finding]:
    return [inspect(source, keep, bundle) for bundle in bundles]


def read_tile(source: Source, tile: Tile) -> bytes | None:
    """Fetch a tile or bundle; where a partial one is gone, cut it from the full one (FORMAT 6).

    Returns:
        What is there, at most one byte more than there should be; None if there is nothing.

    Raises:
        SourceError: The source cannot be read.
    """
    unit = RECORD if tile.level is None else HASH_SIZE
    data = source.read(tile.path, unit * tile.width)
    if data is None and tile.width < WIDTH:
        whole = source.read(tile.full.path, unit * WIDTH)
        return None if whole is None else whole[: unit * tile.width]
    return data


def leaf_tile(bundle: Tile) -> Tile:
    """The tile that states the leaf hashes of a bundle's entries."""
    return Tile(0, bundle.n, bundle.width)


@contextmanager
def findings(
    source: Source, size: int, first: int, keep: AbstractSet[int], jobs: int
) -> Iterator[Iterator[Finding]]:
    """Inspect the bundles from a first one on, in order, with so many workers."""
    bundles = bundles_of(size, first)
    few = isinstance(source, Directory) and size // WIDTH - first < _SPAN  # Starting a process costs more.
    if jobs == 1 or few:
        yield (inspect(source, keep, bundle) for bundle in bundles)
        return
    pool: Executor
    if isinstance(source, Directory):
        pool, span = ProcessPoolExecutor(jobs), _SPAN
    else:
        pool, span = ThreadPoolExecutor(jobs), 1
    try:
        task = partial(_inspect_span, source, keep)
        yield _in_order(pool, task, bundles, span, jobs * _LEADING)
    except (BrokenExecutor, BlockingIOError):  # Killed for its memory, or never started.
        raise SourceError("a process of the audit was ended from outside: try again with --jobs 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor,
    task: Callable[[Sequence[Tile]], list[Finding]],
    bundles: Iterator[Tile],
    span: int,
    ahead: int,
) -> Iterator[Finding]:
    """Keep a bounded number of tasks under way and hand out what they find in the bundles' order."""
    spans = iter(lambda: list(islice(bundles, span)), [])
    waiting = deque(pool.submit(task, each) for each in islice(spans, ahead))
    while waiting:
        yield from waiting.popleft().result()
        waiting.extend(pool.submit(task, each) for each in islice(spans, 1))


def records_in(raw: bytes, width: int) -> list[bytes]:
    """The entries of a bundle up to the first that is not 106 bytes long, that one included."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw) and len(entries) < width:
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        entries.append(raw[at + 2 : end])
        if len(entries[-1]) != SIZE or end - at != RECORD:
            break
        at = end
    return entries


def whole_hashes_in(tile: bytes) -> list[bytes]:
    """The hashes of a tile that are there in full."""
    return hashes_in(tile[: len(tile) - len(tile) % HASH_SIZE])
