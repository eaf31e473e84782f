"""A log of millions of entries, and what it costs to start on it, to prove an entry and to append to it.

The entries are chained, hashed into the tree and stored with their tiles as the writer would store them.
Labels and commitments are random, and no payloads are made: neither a start nor a proof looks at them. So
`verify` finds this log whole, and `fsck` would miss its payloads.
"""

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import psycopg
from sqlalchemy import make_url

from access_log.entry import SIZE, EntryType, first_chain
from access_log.merkle import Frontier, full_root
from access_log.tiles import WIDTH
from bench import append, audit, proof, publish
from bench.stage import Stage
from vault.server.embedded import OWNER

_AT_ONCE = 65_536  # entries in one COPY: a full tile of the second level
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_ENTRY_ROW = struct.Struct(">hihiqi").pack
_TILE_ROW = struct.Struct(">hihihiqi").pack
_ENTRY = struct.Struct(">BBQ").pack
_HASH = 32
_LABEL_INDEX = "SELECT pg_get_indexdef('access_log.entry_by_label'::regclass)"


@dataclass(frozen=True)
class LargeFigures:
    """Of a log of `entries`: seconds to make it, bytes on disk, and what is asked of it."""

    entries: int
    made: float
    disk: int
    proof: proof.ProofFigures
    publish: publish.PublishFigures
    folder: audit.FolderFigures
    append: append.AppendFigures


def measure(at: Stage, entries: int, batch: int) -> LargeFigures:
    """Makes the log of the stage, which must be new, so large, and measures it."""
    started = time.perf_counter()
    disk = _make(at, entries)
    made = time.perf_counter() - started
    proved = proof.measure(at)
    published, folder = publish.measure(at), audit.measure_folder(at, 1)
    return LargeFigures(entries, made, disk, proved, published, folder, append.measure(at, 20 * batch, batch))


def _make(at: Stage, entries: int) -> int:
    url = make_url(at.database.url(OWNER)).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT size, origin FROM access_log.head WHERE log = 1").fetchone()
        if found is None or found[0]:
            raise RuntimeError("the log is not a new one")
        connection.execute("SELECT access_log.make_partitions(%s)", (entries,))
        # The index over labels is made afterwards: a sort, not a search for each entry.
        definition = connection.execute(_LABEL_INDEX).fetchone()
        assert definition is not None
        connection.execute("DROP INDEX access_log.entry_by_label")
        now = time.time_ns() // 1_000_000
        chain, frontier = first_chain(found[1]), Frontier.empty()
        roots: list[list[bytes]] = [[]]  # of each level, what is not in a full tile of the level above yet
        for first in range(0, entries, _AT_ONCE):
            rows, leaves, chain = _entries(first, min(entries, first + _AT_ONCE), chain, now)
            with connection.cursor().copy(
                "COPY access_log.entry (log, index, entry) FROM STDIN (FORMAT binary)"
            ) as copy:
                copy.write(_SIGNATURE + b"".join(rows) + _END)
            with connection.cursor().copy(
                "COPY access_log.tile (log, level, index, hashes, root) FROM STDIN (FORMAT binary)"
            ) as copy:
                copy.write(_SIGNATURE + b"".join(_tiles(roots, first // WIDTH, leaves)) + _END)
            whole = len(leaves) - len(leaves) % WIDTH
            for start in range(0, whole, WIDTH):
                frontier = frontier.append_subtree(8, full_root(leaves[start : start + WIDTH]))
            frontier = frontier.extend(leaves[whole:])
        connection.execute(definition[0])
        connection.execute(
            "UPDATE access_log.head SET size = %s, chain = %s, time = %s, frontier = %s WHERE log = 1",
            (entries, chain, now, frontier.encode()),
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE access_log.entry")
        disk = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert disk is not None
        return int(disk[0])


def _entries(first: int, end: int, chain: bytes, now: int) -> tuple[list[bytes], list[bytes], bytes]:
    """Rows and leaf hashes of entries first..end-1, and the chain value after them."""
    head = _ENTRY(1, EntryType.QUERY_PERMITTED, now)
    random = os.urandom(2 * _HASH * (end - first))
    rows, leaves = [], []
    for at, index in enumerate(range(first, end)):
        entry = head + chain + random[2 * _HASH * at : 2 * _HASH * (at + 1)]
        leaf = sha256(b"\x00" + entry).digest()
        chain = sha256(b"\x10" + chain + leaf).digest()
        rows.append(_ENTRY_ROW(3, 2, 1, 8, index, SIZE) + entry)
        leaves.append(leaf)
    return rows, leaves, chain


def _tiles(roots: list[list[bytes]], index: int, hashes: list[bytes], level: int = 0) -> Iterator[bytes]:
    """Rows of the full tiles that these hashes of a level fill, and of those above."""
    full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
    for number, tile in enumerate(full, index):
        root = full_root(tile)
        yield (
            _TILE_ROW(5, 2, 1, 2, level, 8, number, WIDTH * _HASH)
            + b"".join(tile)
            + struct.pack(">i", _HASH)
            + root
        )
        if level + 1 == len(roots):
            roots.append([])
        above = roots[level + 1]
        above.append(root)
        if len(above) == WIDTH:
            yield from _tiles(roots, number // WIDTH, above, level + 1)
            above.clear()
