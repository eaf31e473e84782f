"""The fast check of a bundle against the slow walk through it (FORMAT 10.2)."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.audit import FlawKind, examine, first_flaw
from access_log.entry import LAST_TIME, Entry, EntryType, first_chain, next_chain
from access_log.errors import FormatError, VerificationError
from access_log.merkle import Frontier, leaf_hash
from access_log.tiles import encode_bundle
from access_log.verify import audit_entries
from tests.access_log.simulator import ORIGIN, START, make_entries

ENTRIES = make_entries(600)
FIRST = first_chain(ORIGIN)


def chain_of(entries: list[bytes]) -> bytes:
    chain = FIRST
    for entry in entries:
        chain = next_chain(chain, leaf_hash(entry))
    return chain


@given(st.integers(1, 256))
def test_a_sound_bundle_is_accepted_with_its_ends_and_leaves(width: int) -> None:
    entries = ENTRIES[:width]
    found = examine(encode_bundle(entries), width)
    assert found is not None
    run, leaves = found
    assert leaves == [leaf_hash(entry) for entry in entries]
    assert (run.previous, run.chain) == (FIRST, chain_of(entries))
    assert (run.first_time, run.last_time) == (START, START + (width - 1) // 3)
    assert run.follows(FIRST, START)
    assert not run.follows(FIRST, START + 1)
    assert not run.follows(bytes(32), 0)
    assert first_flaw(entries, FIRST, 0) is None


@given(st.integers(1, 40), st.data())
def test_any_flipped_bit_of_a_bundle_is_found(width: int, data: st.DataObject) -> None:
    sound = examine(encode_bundle(ENTRIES[:width]), width)
    raw = bytearray(encode_bundle(ENTRIES[:width]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = examine(bytes(raw), width)
    # Alone, the last entry and the first chain value are held only by their neighbours and the tree.
    assert found is None or (sound is not None and found[1] != sound[1])


@given(st.integers(1, 20), st.data())
def test_the_fast_check_and_the_slow_walk_agree(width: int, data: st.DataObject) -> None:
    entries = ENTRIES[:width]
    at = data.draw(st.integers(0, width - 1))
    changed = bytearray(entries[at])
    changed[data.draw(st.integers(0, 105))] = data.draw(st.integers(0, 255))
    entries[at] = bytes(changed)
    chain = entries[0][10:42]
    assert (examine(encode_bundle(entries), width) is None) == (first_flaw(entries, chain, 0) is not None)


def rebuilt(times: list[int]) -> list[bytes]:
    chain, entries = FIRST, []
    for time in times:
        entry = Entry(EntryType.KEY, time, chain, bytes(32), bytes(32)).encode()
        entries.append(entry)
        chain = next_chain(chain, leaf_hash(entry))
    return entries


def test_time_may_stand_still_but_not_go_back() -> None:
    assert first_flaw(rebuilt([5, 5, 6, 6]), FIRST, 5) is None
    flaw = first_flaw(rebuilt([5, 6, 5, 7]), FIRST, 0)
    assert flaw is not None
    assert (flaw.position, flaw.kind) == (2, FlawKind.TIME)
    assert examine(encode_bundle(rebuilt([5, 6, 5, 7])), 4) is None


def test_a_time_after_the_last_year_is_no_time() -> None:
    raw = rebuilt([LAST_TIME])[0]
    late = raw[:2] + (LAST_TIME + 1).to_bytes(8, "big") + raw[10:]
    assert examine(encode_bundle([raw]), 1) is not None
    assert examine(encode_bundle([late]), 1) is None
    flaw = first_flaw([late], FIRST, 0)
    assert flaw is not None
    assert flaw.kind is FlawKind.FORMAT


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_entries_from_memory_give_chain_and_tree(count: int) -> None:
    entries = ENTRIES[:count]
    leaves = [leaf_hash(entry) for entry in entries]
    root = Frontier.empty().extend(leaves).root()
    assert audit_entries(ORIGIN, iter(entries), root) == audit_entries(ORIGIN, entries)
    assert audit_entries(ORIGIN, iter(entries)) == (chain_of(entries), Frontier.empty().extend(leaves))


ROOT = Frontier.empty().extend([leaf_hash(entry) for entry in ENTRIES]).root()


@given(st.integers(0, 599) | st.sampled_from([255, 256, 598, 599]), st.integers(0, 105), st.integers(1, 255))
def test_an_altered_entry_in_memory_is_named(index: int, at: int, mask: int) -> None:
    entries = list(ENTRIES)
    changed = bytearray(entries[index])
    changed[at] ^= mask
    entries[index] = bytes(changed)
    with pytest.raises(VerificationError) as caught:
        audit_entries(ORIGIN, entries, ROOT)
    assert caught.value.index == index


def test_without_a_root_the_last_break_lies_between_two_entries() -> None:
    last = ENTRIES[599][:10] + bytes(32) + ENTRIES[599][42:]
    with pytest.raises(VerificationError, match="entry 598"):
        audit_entries(ORIGIN, [*ENTRIES[:599], last])


def test_entries_of_another_size_are_named() -> None:
    # Together these two have the bytes of two entries; apart they are none.
    entries = [*ENTRIES[:3], ENTRIES[3][:100], ENTRIES[3][100:] + ENTRIES[4]]
    with pytest.raises(VerificationError, match="entry 3: it has 100 bytes"):
        audit_entries(ORIGIN, entries)
    with pytest.raises(FormatError):
        audit_entries(ORIGIN, [bytes(70_000)])


def test_an_entry_taken_out_of_memory_is_named() -> None:
    with pytest.raises(VerificationError) as caught:
        audit_entries(ORIGIN, ENTRIES[:300] + ENTRIES[301:])
    assert caught.value.index == 299
    assert "missing" in caught.value.reason


def test_the_origin_is_part_of_the_chain() -> None:
    with pytest.raises(VerificationError, match="entry 0: it does not begin the chain of the origin"):
        audit_entries("other.example/log", ENTRIES)
    assert sha256(b"\x11" + ORIGIN.encode()).digest() == ENTRIES[0][10:42]
