"""Entries and the chain (FORMAT 1)."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.entry import LAST_TIME, SIZE, Entry, EntryType, first_chain, next_chain
from access_log.errors import AccessLogError, FormatError, VerificationError

HASH = st.binary(min_size=32, max_size=32)
ENTRIES = st.builds(Entry, st.sampled_from(EntryType), st.integers(0, LAST_TIME), HASH, HASH, HASH)


@given(ENTRIES)
def test_what_is_encoded_decodes_to_itself(entry: Entry) -> None:
    raw = entry.encode()
    assert len(raw) == SIZE
    assert Entry.decode(raw) == entry


@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_whatever_decodes_encodes_to_the_same_bytes(raw: bytes) -> None:
    try:
        entry = Entry.decode(raw)
    except FormatError:
        return
    assert entry.encode() == raw


def test_the_layout_is_that_of_the_format() -> None:
    raw = Entry(EntryType.KEY, 0x0102030405, b"p" * 32, b"l" * 32, b"c" * 32).encode()
    assert raw == b"\x01\x07\x00\x00\x00\x01\x02\x03\x04\x05" + b"p" * 32 + b"l" * 32 + b"c" * 32


def test_the_chain_is_that_of_the_format() -> None:
    assert first_chain("a") == sha256(b"\x11a").digest()
    assert next_chain(b"x" * 32, b"y" * 32) == sha256(b"\x10" + b"x" * 32 + b"y" * 32).digest()


@pytest.mark.parametrize(("at", "value"), [(0, 0), (0, 2), (1, 0), (1, 11), (1, 254), (2, 0x80)], ids=str)
def test_unknown_versions_types_and_times_are_refused(at: int, value: int) -> None:
    raw = bytearray(Entry(EntryType.KEY, 1, bytes(32), bytes(32), bytes(32)).encode())
    raw[at] = value
    with pytest.raises(FormatError):
        Entry.decode(bytes(raw))


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_only_106_bytes_are_an_entry(size: int) -> None:
    with pytest.raises(FormatError, match="106 bytes"):
        Entry.decode(bytes(size))


def test_parts_out_of_bounds_make_no_entry() -> None:
    entry = Entry(EntryType.KEY, 1, bytes(32), bytes(32), bytes(32))
    for wrong in ({"time": -1}, {"time": LAST_TIME + 1}, {"label": b""}, {"previous": bytes(33)}):
        with pytest.raises(FormatError):
            replace(entry, **wrong)


def test_errors_have_one_root_and_name_index_and_reason() -> None:
    error = VerificationError("it is odd", 7)
    assert isinstance(error, AccessLogError)
    assert (str(error), error.index, error.reason) == ("entry 7: it is odd", 7, "it is odd")
    assert str(VerificationError("odd")) == "odd"
