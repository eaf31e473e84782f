"""Tiles, bundles and their paths (FORMAT 6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.errors import FormatError
from access_log.merkle import consistency_proof, inclusion_proof, leaf_hash, root_of
from access_log.tiles import (
    Tile,
    bundles_of,
    completed_tiles,
    decode_bundle,
    decode_index,
    encode_bundle,
    entries_path,
    hashes_in,
    node_reader,
    parse_tile_path,
    tile_path,
    tile_root,
    tiles_needed,
    tiles_of,
)
from tests.access_log.simulator import make_entries, naive_consistency, naive_inclusion, naive_root, publish

TILES = st.builds(
    Tile,
    st.none() | st.integers(0, 63),
    st.integers(0, 10**6) | st.integers(0, 2**55 - 1),
    st.integers(1, 256),
)


def test_the_examples_of_c2sp_tlog_tiles() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert entries_path(0, 5) == "tile/entries/000.p/5"
    tree = list(tiles_of(70_000))
    assert [sum(tile.level == level and tile.width == 256 for tile in tree) for level in range(3)] == [
        273,
        1,
        0,
    ]
    partial = [(tile.level, tile.width) for tile in tree if tile.width < 256]
    assert partial == [(0, 112), (1, 17), (2, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]


@given(TILES)
def test_every_path_reads_back(tile: Tile) -> None:
    assert parse_tile_path(tile.path) == tile
    assert decode_index(tile.path.split("/", 2)[2]) == (tile.n, tile.width)


@given(st.from_regex(r"tile/(entries|[0-9]{1,3})/(x[0-9]{3}/){0,3}[0-9]{3}(\.p/[0-9]{1,3})?", fullmatch=True))
def test_whatever_parses_is_written_the_same_way(path: str) -> None:
    try:
        tile = parse_tile_path(path)
    except FormatError:
        return
    assert tile.path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/../000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/entries/x999/x999/x999/x999/x999/x999/999",
        "tile/entries/x001/x001/x001/x001/x001/x001/x001/001",
        "checkpoint",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError):
        parse_tile_path(path)


def test_paths_out_of_bounds_are_not_written() -> None:
    for level, n in ((64, 0), (-1, 0), (0, -1), (0, 2**55)):
        with pytest.raises(FormatError):
            tile_path(level, n)
    for width in (0, 256):
        with pytest.raises(FormatError):
            entries_path(0, width)


@given(st.lists(st.binary(max_size=300)))
def test_bundles_read_back(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


@given(st.lists(st.binary(min_size=106, max_size=106), min_size=1), st.data())
def test_a_cut_bundle_is_found(entries: list[bytes], data: st.DataObject) -> None:
    raw = encode_bundle(entries)
    cut = data.draw(st.integers(0, len(raw) - 1).filter(lambda at: at % 108))
    with pytest.raises(FormatError, match=f"entry {cut // 108}"):
        decode_bundle(raw[:cut])


def test_an_entry_no_bundle_can_hold_is_refused() -> None:
    with pytest.raises(FormatError):
        encode_bundle([bytes(65_536)])


def test_a_tiles_root_is_its_hash_in_the_tile_above() -> None:
    hashes = [leaf_hash(bytes([at])) for at in range(256)]
    assert tile_root(b"".join(hashes)) == naive_root(hashes)
    with pytest.raises(FormatError):
        tile_root(b"".join(hashes[:255]))
    with pytest.raises(FormatError):
        hashes_in(bytes(33))


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_growing_completes_exactly_the_new_full_tiles(one: int, other: int) -> None:
    old, new = sorted((one, other))
    before, after = ({tile for tile in tiles_of(size) if tile.width == 256} for size in (old, new))
    assert set(completed_tiles(old, new)) == after - before


def test_bundles_cover_the_tree() -> None:
    assert list(bundles_of(0)) == []
    assert list(bundles_of(513)) == [Tile(None, 0), Tile(None, 1), Tile(None, 2, 1)]
    assert list(bundles_of(512)) == [Tile(None, 0), Tile(None, 1)]


ENTRIES = make_entries(700)
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@given(st.integers(1, 700), st.data())
def test_proofs_come_from_tiles_alone(size: int, data: st.DataObject) -> None:
    files = publish(ENTRIES[:size]).files
    widths = {(tile.level, tile.n): tile for tile in tiles_of(size)}
    read: list[tuple[int, int]] = []

    def read_tile(level: int, n: int) -> bytes:
        read.append((level, n))
        return files[widths[level, n].path]

    index, older = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    node = node_reader(read_tile)
    assert list(inclusion_proof(index, size, node)) == naive_inclusion(index, LEAVES[:size])
    assert tiles_needed(lambda needs: inclusion_proof(index, size, needs)) == read
    assert list(consistency_proof(older, size, node)) == naive_consistency(older, LEAVES[:size])
    assert root_of(size, node) == naive_root(LEAVES[:size])
    assert len(read) == len(set(read))


def test_a_tile_that_is_too_short_is_refused() -> None:
    node = node_reader(lambda _level, _n: bytes(32))
    with pytest.raises(FormatError, match="too few"):
        node(1, 0)
