"""The audit of a published log (FORMAT 10): every alteration is found, and named by its index."""

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access_log.checkpoint import MAX_NOTE, Checkpoint, SigningKey
from access_log.contradiction import Signed
from access_log.entry import next_chain
from access_log.errors import AccessLogError, FormatError, SourceError, VerificationError
from access_log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from access_log.sources import Directory
from access_log.tiles import encode_bundle
from access_log.verify import verify_log
from tests.access_log.simulator import (
    KEYS,
    ORIGIN,
    SIGNER,
    START,
    Memory,
    make_entries,
    naive_root,
    publish,
    serve,
    sign,
    stored_tiles,
)

ENTRIES = make_entries(700)
TILES = stored_tiles(ENTRIES)
EDGES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 700]
NOTES = {size: sign(ENTRIES[:size]) for size in EDGES}
SIZES = st.sampled_from(EDGES)


def checkpoint_at(size: int) -> Checkpoint:
    root = Frontier.empty().extend([leaf_hash(entry) for entry in ENTRIES[:size]]).root()
    return Checkpoint(ORIGIN, size, root)


def served(size: int, rows: dict[int, bytes]) -> Memory:
    """What the server publishes after its rows, but not its tiles, were altered."""
    tiles = {tile: data for tile, data in TILES.items() if (tile.n + 1) * 256 <= size}
    return serve(rows, tiles, NOTES[size], size)


def rows_of(size: int) -> dict[int, bytes]:
    return dict(enumerate(ENTRIES[:size]))


def signed(checkpoint: Checkpoint) -> Signed:
    return Signed(checkpoint, SIGNER.sign(checkpoint) if checkpoint.origin == ORIGIN else "")


def verdict(memory: Memory, **options: Sequence[Signed]) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verify_log(memory, KEYS, **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("size", EDGES)
def test_an_honest_log_verifies(size: int) -> None:
    steps: list[tuple[int, int]] = []
    audit = verify_log(publish(ENTRIES[:size]), KEYS, progress=lambda done, of: steps.append((done, of)))
    assert audit.checkpoint == checkpoint_at(size)
    assert audit.checkpoint.root == naive_root([leaf_hash(entry) for entry in ENTRIES[:size]])
    assert (audit.first_time, audit.last_time) == (START, START + (size - 1) // 3)
    assert steps[-1] == (size, size)
    if size < 700:
        assert audit.chain == ENTRIES[size][10:42]


def test_an_empty_log_verifies_and_its_root_must_be_the_empty_one() -> None:
    memory = Memory({"checkpoint": SIGNER.sign(Checkpoint(ORIGIN, 0, EMPTY_ROOT)).encode()})
    audit = verify_log(memory, KEYS)
    assert (audit.checkpoint.size, audit.first_time, audit.last_time) == (0, None, None)
    memory.files["checkpoint"] = SIGNER.sign(Checkpoint(ORIGIN, 0, bytes(32))).encode()
    assert verdict(memory).index is None


FIELDS = {
    "version": (0, 1),
    "type": (1, 2),
    "time": (2, 10),
    "previous": (10, 42),
    "label": (42, 74),
    "commitment": (74, 106),
}


@settings(max_examples=150)
@given(SIZES, st.data(), st.sampled_from(sorted(FIELDS)))
def test_an_altered_row_is_named_by_its_index(size: int, data: st.DataObject, name: str) -> None:
    index = data.draw(
        st.integers(0, size - 1)
        | st.sampled_from([0, size - 1, max(0, size - 2), size // 256 * 256 - 1]).filter(lambda at: at >= 0)
    )
    start, end = FIELDS[name]
    changed = bytearray(ENTRIES[index])
    changed[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    error = verdict(served(size, {**rows_of(size), index: bytes(changed)}))
    assert error.index == index, error


@pytest.mark.parametrize(("size", "index"), [(257, 256), (257, 255), (513, 512), (700, 698), (700, 0)])
def test_a_row_replaced_as_a_whole_is_named_by_its_index(size: int, index: int) -> None:
    other = make_entries(700, origin="another")[index]
    error = verdict(served(size, {**rows_of(size), index: other}))
    assert error.index == index, error


@given(SIZES, st.data())
def test_a_deleted_row_is_named_by_its_index(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    rows = rows_of(size)
    del rows[index]
    error = verdict(served(size, rows))
    assert error.index == index
    assert "missing" in error.reason


@given(SIZES, st.data())
def test_a_log_cut_at_its_end_is_named_by_the_first_that_is_missing(size: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, size - 1))
    error = verdict(served(size, rows_of(kept)))
    assert error.index == kept


@given(st.sampled_from([256, 512, 700]), st.data())
def test_an_entry_taken_out_of_static_files_is_named(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 253))
    rows = dict(enumerate(ENTRIES[:index] + ENTRIES[index + 1 : size]))
    error = verdict(served(size, rows))
    assert error.index == index
    assert f"entry {index + 1} stands in its place" in error.reason


@given(st.integers(0, 254))
def test_swapped_entries_are_named(index: int) -> None:
    rows = {**rows_of(700), index: ENTRIES[index + 1], index + 1: ENTRIES[index]}
    error = verdict(served(700, rows))
    assert error.index == index
    assert "out of order" in error.reason


@given(st.data())
def test_a_tail_rewritten_with_its_chain_is_named(data: st.DataObject) -> None:
    index = data.draw(st.integers(1, 600))
    other = make_entries(700, origin="another")
    rows = rows_of(700)
    chain = ENTRIES[index][10:42]
    for at in range(index, 700):
        rows[at] = other[at][:10] + chain + b"forged" + other[at][16 + 32 :]
        chain = next_chain(chain, leaf_hash(rows[at]))
    error = verdict(served(700, rows))
    if index < 512:
        assert error.index == index
    else:  # The last tile is made from the rows, so only the signed root is left to contradict them.
        assert error.index == 699
        assert "row of entries" in error.reason


@given(st.data())
def test_an_altered_tile_is_named_by_the_entry_it_covers(data: st.DataObject) -> None:
    memory = publish(ENTRIES)
    path = data.draw(st.sampled_from(["tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"]))
    raw = bytearray(memory.files[path])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1
    memory.files[path] = bytes(raw)
    error = verdict(memory)
    covered = 256 if path.startswith("tile/1") else 1
    first = 512 if "002" in path else 256 if "001" in path else 0
    assert error.index == first + at // 32 * covered
    last = error.index == 699
    assert "the tile was altered" in error.reason or "it was altered" in error.reason or last


@pytest.mark.parametrize(
    ("path", "index"),
    [("tile/0/000", 0), ("tile/0/001", 256), ("tile/0/002.p/188", 512), ("tile/1/000.p/2", 0)],
)
def test_tiles_that_are_missing_or_of_another_size_are_named(path: str, index: int) -> None:
    whole = publish(ENTRIES).files
    width = len(whole[path]) // 32
    for data, at in (
        (None, 0),
        (whole[path][:-32], width - 1),
        (whole[path][:40], 1),
        (whole[path] + b"x", width - 1),
    ):
        files = dict(whole)
        del files[path]
        if data is not None:
            files[path] = data
        error = verdict(Memory(files))
        covered = 256 if path.startswith("tile/1") else 1
        assert error.index in {index, index + at * covered}
        assert path in error.reason


@pytest.mark.parametrize(
    ("data", "index"),
    [
        (b"", 256),
        (encode_bundle(ENTRIES[256:512]) + b"\x00", 511),
        (encode_bundle(ENTRIES[256:513]), 511),
        (encode_bundle(ENTRIES[256:300]) + b"\x00", 300),
        (encode_bundle(ENTRIES[256:300]) + b"\x00\x6a", 300),
        (encode_bundle([*ENTRIES[256:300], ENTRIES[300][:50], *ENTRIES[301:512]]), 300),
        (encode_bundle([*ENTRIES[256:300], *ENTRIES[299:511]]), 300),
        (encode_bundle(ENTRIES[:256]), 256),
        (b"\xff" * 108 * 256, 256),
    ],
)
def test_odd_bundles_are_named(data: bytes, index: int) -> None:
    memory = publish(ENTRIES)
    memory.files["tile/entries/001"] = data
    assert verdict(memory).index == index


def test_a_bundle_that_is_not_there_is_a_missing_entry() -> None:
    memory = publish(ENTRIES)
    del memory.files["tile/entries/001"]
    error = verdict(memory)
    assert (error.index, "missing" in error.reason) == (256, True)


def test_full_files_stand_in_for_partial_ones() -> None:
    memory = publish(ENTRIES)
    memory.files["checkpoint"] = sign(ENTRIES[:600]).encode()
    assert "tile/entries/002.p/88" not in memory.files
    grown = make_entries(800)
    later = publish(grown)
    later.files["checkpoint"] = sign(grown[:600]).encode()
    later.files["tile/1/000.p/2"] = later.files["tile/1/000.p/3"][:64]
    assert verify_log(later, KEYS).checkpoint.size == 600


def test_a_root_that_is_not_the_trees_is_found() -> None:
    memory = publish(ENTRIES)
    memory.files["checkpoint"] = SIGNER.sign(Checkpoint(ORIGIN, 700, bytes(32))).encode()
    assert verdict(memory).index == 699


def test_a_last_entry_that_agrees_with_nothing_is_named() -> None:
    memory = publish(ENTRIES[:256])
    changed = ENTRIES[255][:-1] + b"\x00"
    memory.files["tile/entries/000"] = encode_bundle([*ENTRIES[:255], changed])
    error = verdict(memory)
    assert (error.index, "was altered" in error.reason) == (255, True)


def test_a_checkpoint_of_another_log_or_key_is_refused() -> None:
    memory = publish(ENTRIES[:3])
    stranger = SigningKey.from_seed(ORIGIN, bytes(32))
    memory.files["checkpoint"] = stranger.sign(checkpoint_at(3)).encode()
    assert "no signature is by a key" in verdict(memory).reason


def test_a_checkpoint_that_is_missing_or_malformed() -> None:
    with pytest.raises(SourceError, match="no checkpoint"):
        verify_log(Memory(), KEYS)
    with pytest.raises(FormatError):
        verify_log(Memory({"checkpoint": b"<html>"}), KEYS)
    with pytest.raises(FormatError, match="more than"):
        verify_log(Memory({"checkpoint": b"x" * (MAX_NOTE + 1)}), KEYS)


@given(st.sampled_from([0, *EDGES]), SIZES)
def test_an_earlier_checkpoint_must_still_be_in_the_log(older: int, newer: int) -> None:
    memory = publish(ENTRIES[:newer])
    earlier = [signed(checkpoint_at(older))]
    if older > newer:
        error = verdict(memory, earlier=earlier)
        assert (error.index, "was cut" in error.reason) == (newer, True)
        return
    assert verify_log(memory, KEYS, earlier=earlier).checkpoint.size == newer
    other = Checkpoint(ORIGIN, older, bytes(32))
    assert "replaced" in verdict(memory, earlier=[signed(other)]).reason


def test_an_earlier_checkpoint_of_another_log_is_refused() -> None:
    earlier = [signed(Checkpoint("other.example", 1, bytes(32)))]
    assert "another log" in verdict(publish(ENTRIES[:3]), earlier=earlier).reason


class Flapping(Memory):
    """A source that shows the honest files when it is asked again."""

    def read(self, path: str, limit: int) -> bytes | None:
        data = super().read(path, limit)
        self.files[path] = HONEST[path]
        return data


HONEST = publish(ENTRIES).files


def test_a_source_that_answers_twice_differently_never_passes() -> None:
    other = make_entries(700, origin="another")[256:512]
    memory = Flapping(dict(HONEST))
    memory.files["tile/entries/001"] = encode_bundle(other)
    memory.files["tile/0/001"] = b"".join(leaf_hash(entry) for entry in other)
    error = verdict(memory)
    assert (error.index, "differed" in error.reason) == (256, True)


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_of_any_file_is_found(data: st.DataObject) -> None:
    memory = publish(ENTRIES[:300])
    path = data.draw(st.sampled_from(sorted(memory.files)))
    raw = bytearray(memory.files[path])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    memory.files[path] = bytes(raw)
    with pytest.raises(AccessLogError):
        verify_log(memory, KEYS)


@given(st.dictionaries(st.sampled_from(sorted(publish(ENTRIES[:300]).files)), st.binary(max_size=400)))
def test_no_bytes_make_the_audit_fail_in_another_way(junk: dict[str, bytes]) -> None:
    memory = publish(ENTRIES[:300])
    before = dict(memory.files)
    memory.files.update(junk)
    if memory.files != before:
        with pytest.raises(AccessLogError):
            verify_log(memory, KEYS)


def test_processes_and_connections_find_the_same(tmp_path: Path) -> None:
    memory = publish(ENTRIES)
    directory = Directory(memory.write_to(tmp_path))
    assert verify_log(memory, KEYS, jobs=3) == verify_log(memory, KEYS) == verify_log(directory, KEYS, jobs=2)
    changed = bytearray(memory.files["tile/entries/001"])
    changed[108 * 5 + 80] ^= 1
    memory.files["tile/entries/001"] = bytes(changed)
    memory.write_to(tmp_path)
    for source in (memory, directory):
        with pytest.raises(VerificationError, match="entry 261"):
            verify_log(source, KEYS, jobs=2)


class Deadly(Directory):
    """A directory whose reading kills the process that reads, as a system short of memory does."""

    def read(self, path: str, limit: int) -> bytes | None:
        if multiprocessing.parent_process() is not None:
            os._exit(1)
        return super().read(path, limit)


def test_a_process_that_is_killed_gives_no_verdict(tmp_path: Path) -> None:
    publish(make_entries(17_000)).write_to(tmp_path)
    with pytest.raises(SourceError, match="--jobs 1"):
        verify_log(Deadly(tmp_path), KEYS, jobs=2)
    assert verify_log(Deadly(tmp_path), KEYS).checkpoint.size == 17_000


def test_a_log_with_a_full_tile_above_the_leaves() -> None:
    entries = make_entries(66_000)
    assert verify_log(publish(entries[:65_536]), KEYS).checkpoint.size == 65_536
    memory = publish(entries)
    assert "tile/1/000" in memory.files
    assert "tile/2/000.p/1" in memory.files
    assert verify_log(memory, KEYS).checkpoint.size == 66_000
    for path, first in (("tile/1/000", 77 * 256), ("tile/2/000.p/1", 0)):
        whole = memory.files[path]
        raw = bytearray(whole)
        raw[77 * 32 if path == "tile/1/000" else 0] ^= 1
        memory.files[path] = bytes(raw)
        error = verdict(memory)
        assert error.index == first
        assert path in error.reason
        memory.files[path] = whole
