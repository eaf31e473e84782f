"""Single entries of a published log, proven by its tiles."""

import pytest

from access_log.errors import SourceError, VerificationError
from access_log.published import entry_at
from tests.access_log.simulator import KEYS, Memory, make_entries, publish

ENTRIES = make_entries(700)
MEMORY = publish(ENTRIES)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 511, 512, 699])
def test_an_entry_is_proven_where_it_stands(index: int) -> None:
    proven = entry_at(MEMORY, index, KEYS)
    assert proven.entry.encode() == ENTRIES[index]
    assert (proven.index, proven.checkpoint.size) == (index, 700)


def test_an_entry_beyond_the_log_is_said_to_be() -> None:
    with pytest.raises(VerificationError, match="ends before it: it has 700") as caught:
        entry_at(MEMORY, 700, KEYS)
    assert caught.value.index == 700


@pytest.mark.parametrize("path", ["tile/entries/001", "tile/0/001", "tile/1/000.p/2"])
def test_what_was_altered_or_is_gone_is_named(path: str) -> None:
    raw = bytearray(MEMORY.files[path])
    raw[50] ^= 1
    with pytest.raises(VerificationError):
        entry_at(Memory({**MEMORY.files, path: bytes(raw)}), 0 if "1/000" in path else 256, KEYS)
    gone = {each: data for each, data in MEMORY.files.items() if each != path}
    with pytest.raises(VerificationError, match="missing"):
        entry_at(Memory(gone), 300 if "1/000" not in path else 600, KEYS)


def test_without_a_checkpoint_nothing_is_told() -> None:
    with pytest.raises(SourceError):
        entry_at(Memory({}), 0, KEYS)
