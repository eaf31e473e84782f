"""How a log is published as files: paths, bundles of entries, tiles of hashes (FORMAT 6).

Source: c2sp.org/tlog-tiles, height 8. Everything here is pure; who reads or stores tiles lends a function.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from access_log.encoding import HASH_SIZE
from access_log.errors import FormatError
from access_log.merkle import Node, full_root, parents

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle."""
TILE_SIZE: Final = WIDTH * HASH_SIZE

_MAX_LEVEL: Final = 63
_GROUP: Final = 1000
_MAX_INDEX: Final = 2**63 // WIDTH
_MAX_ENTRY: Final = 0xFFFF
_TILES_REMEMBERED: Final = 512  # of 16 KB each with what is made of it
_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/(.+)", re.ASCII)
_INDEX: Final = re.compile(r"((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)

ReadTile = Callable[[int, int], bytes]
"""`read(level, n)`: the hashes of a tile one after the other, as many as the tree has."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One published file: a tile of hashes, or a bundle of entries.

    Attributes:
        level: The tile's level; None for a bundle of entries, which lies below level 0.
        n: Its index in the level, from 0.
        width: How many hashes or entries it holds, 1 to 256; below 256 it is partial.
    """

    level: int | None
    n: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is published, relative to the log's root."""
        width = None if self.width == WIDTH else self.width
        return entries_path(self.n, width) if self.level is None else tile_path(self.level, self.n, width)

    @property
    def full(self) -> "Tile":
        """The full tile that takes this one's place once the tree has grown."""
        return Tile(self.level, self.n)


def tile_path(level: int, n: int, width: int | None = None) -> str:
    """The path of a tile of hashes: `tile/<level>/<n>[.p/<width>]`.

    Raises:
        FormatError: Level, index or width is out of bounds.
    """
    if not 0 <= level <= _MAX_LEVEL:
        raise FormatError(f"a tile's level is 0 to {_MAX_LEVEL}")
    return f"tile/{level}/{_index_path(n)}{_width_path(width)}"


def entries_path(n: int, width: int | None = None) -> str:
    """The path of a bundle of entries: `tile/entries/<n>[.p/<width>]`.

    Raises:
        FormatError: Index or width is out of bounds.
    """
    return f"tile/entries/{_index_path(n)}{_width_path(width)}"


def parse_tile_path(path: str) -> Tile:
    """Read a path; only what `tile_path` and `entries_path` write is accepted.

    Raises:
        FormatError: It is no path of a tile or bundle.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise FormatError("this is no path of a tile")
    tile = Tile(None if match[1] == "entries" else int(match[1]), *decode_index(match[2]))
    if tile.path != path:
        raise FormatError("this is no canonical path of a tile")
    return tile


def decode_index(path: str) -> tuple[int, int]:
    """Read the last part of a path, `<n>[.p/<width>]`, into index and width (256 where none is given).

    Raises:
        FormatError: It is not written as `tile_path` writes it.
    """
    match = _INDEX.fullmatch(path)
    if match is None:
        raise FormatError("this is no index of a tile")
    n = int(match[1].replace("x", "").replace("/", ""))
    if _index_path(n) + _width_path(int(match[2]) if match[2] else None) != path:
        raise FormatError("this is no canonical index of a tile")
    return n, int(match[2] or WIDTH)


def _index_path(n: int) -> str:
    if not 0 <= n < _MAX_INDEX:
        raise FormatError("a tile's index is out of bounds")
    groups = [f"{n % _GROUP:03}"]
    while n := n // _GROUP:
        groups.append(f"x{n % _GROUP:03}")
    return "/".join(reversed(groups))


def _width_path(width: int | None) -> str:
    if width is None:
        return ""
    if not 0 < width < WIDTH:
        raise FormatError(f"a partial tile is 1 to {WIDTH - 1} wide")
    return f".p/{width}"


# ── Bundles ──────────────────────────────────────────────────────────────────────────────────────


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries one after the other, each behind its length as u16.

    Raises:
        FormatError: An entry is longer than 65,535 bytes.
    """
    lengths = set(map(len, entries))
    if any(length > _MAX_ENTRY for length in lengths):
        raise FormatError("an entry of a bundle has at most 65,535 bytes")
    if len(lengths) == 1:  # As in every log of ours; it saves a step per entry.
        prefix = lengths.pop().to_bytes(2, "big")
        return prefix + prefix.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(raw: bytes) -> list[bytes]:
    """Read a bundle's entries.

    Raises:
        FormatError: The last entry is cut.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > len(raw) or end > len(raw):
            raise FormatError(f"the bundle is cut in its entry {len(entries)}")
        entries.append(raw[at + 2 : end])
        at = end
    return entries


# ── The tiles of a tree ──────────────────────────────────────────────────────────────────────────


def bundles_of(size: int, first: int = 0) -> Iterator[Tile]:
    """The bundles of a tree from a first one on, the last one partial unless it is full."""
    return _level_of(size, None, first)


def tiles_of(size: int) -> Iterator[Tile]:
    """The tiles of hashes of a tree, level by level; every level may end in a partial one."""
    level = 0
    while hashes := size >> (HEIGHT * level):
        yield from _level_of(hashes, level)
        level += 1


def completed_tiles(old_size: int, new_size: int) -> Iterator[Tile]:
    """The full tiles of hashes a tree gains by growing, lower levels first."""
    level = 0
    while tiles := new_size >> (HEIGHT * (level + 1)):
        for n in range(old_size >> (HEIGHT * (level + 1)), tiles):
            yield Tile(level, n)
        level += 1


def _level_of(count: int, level: int | None, first: int = 0) -> Iterator[Tile]:
    for n in range(first, count // WIDTH):
        yield Tile(level, n)
    if count % WIDTH:
        yield Tile(level, count // WIDTH, count % WIDTH)


def hashes_in(tile: bytes) -> list[bytes]:
    """The hashes of a tile, in order.

    Raises:
        FormatError: The tile does not consist of whole hashes.
    """
    if len(tile) % HASH_SIZE:
        raise FormatError("a tile consists of hashes of 32 bytes")
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]


def tile_root(tile: bytes) -> bytes:
    """The root over a full tile: its hash in the tile above.

    Raises:
        FormatError: The tile is not full.
    """
    if len(tile) != TILE_SIZE:
        raise FormatError(f"a full tile has {TILE_SIZE} bytes")
    return full_root(hashes_in(tile))


def node_reader(read_tile: ReadTile) -> Node:
    """Make the `node(level, index)` of merkle.py from tiles; each tile is read once.

    The returned function raises FormatError where a tile holds too few hashes, or part of one.
    """
    tiles: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        n, first = divmod(index << height, WIDTH)
        if (tile_level, n) not in tiles:
            tiles[tile_level, n] = read_tile(tile_level, n)
        row = _rows(tiles[tile_level, n])[height]
        at = (first >> height) * HASH_SIZE
        found = row[at : at + HASH_SIZE]
        if len(found) != HASH_SIZE:
            raise FormatError(f"{tile_path(tile_level, n)} has too few hashes")
        return found

    return node


@lru_cache(maxsize=_TILES_REMEMBERED)
def _rows(tile: bytes) -> tuple[bytes, ...]:
    """The hashes within a tile, one row for each height from 0 to 7, each joined.

    Remembered by the tile's content, which is all they depend on: proofs of one tree share its upper tiles.
    """
    row = hashes_in(tile)
    rows = [tile]
    for _ in range(1, HEIGHT):
        row = parents(row)
        rows.append(b"".join(row))
    return tuple(rows)


def tiles_needed(use: Callable[[Node], object]) -> list[tuple[int, int]]:
    """Find out which tiles a proof reads, as (level, n), so that they can be fetched beforehand.

    Args:
        use: Computes the proof with the node function it is given, for example
            `lambda node: inclusion_proof(index, size, node)`.
    """
    needed: dict[tuple[int, int], None] = {}

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        needed[tile_level, (index << height) // WIDTH] = None
        return bytes(HASH_SIZE)

    use(node)
    return list(needed)
