"""Two checkpoints of one log that cannot both be honest (FORMAT 10.5)."""

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint, open_note
from access_log.contradiction import ContradictionError, Kind, Signed, require_beginning
from access_log.errors import VerificationError
from access_log.merkle import Frontier, leaf_hash
from tests.access_log.simulator import KEYS, ORIGIN, SIGNER, Memory, make_entries, publish, sign

ENTRIES = make_entries(700)
SIZES = st.sampled_from([1, 2, 3, 128, 255, 256, 257, 300, 511, 512, 513, 699, 700])


def signed(note: str) -> Signed:
    return Signed(open_note(note, KEYS), note)


def over(size: int, root: bytes | None = None) -> Signed:
    if root is None:
        return signed(sign(ENTRIES[:size]))
    return signed(SIGNER.sign(Checkpoint(ORIGIN, size, root)))


def contradiction(log: Memory, known: Signed, found: Signed) -> ContradictionError:
    with pytest.raises(ContradictionError) as caught:
        require_beginning(log, known, found)
    assert caught.value.evidence == (known.note, found.note)
    return caught.value


@given(SIZES, SIZES)
def test_the_tiles_prove_how_honest_checkpoints_lie_in_each_other(one: int, other: int) -> None:
    older, newer = sorted((one, other))
    require_beginning(publish(ENTRIES[:newer]), over(older), over(newer))
    require_beginning(publish(ENTRIES[:newer]), over(0), over(newer))


@given(SIZES, SIZES)
def test_a_tree_that_does_not_begin_with_the_earlier_is_rewritten(one: int, other: int) -> None:
    older, newer = sorted((one, other))
    error = contradiction(publish(ENTRIES[:newer]), over(older, bytes(32)), over(newer))
    assert error.kind is (Kind.FORK if older == newer else Kind.REWRITTEN)
    assert error.index is None


def test_no_tree_begins_with_an_empty_one_of_another_root() -> None:
    assert contradiction(publish(ENTRIES), over(0, bytes(32)), over(700)).kind is Kind.REWRITTEN


def test_a_log_that_covers_less_is_rolled_back() -> None:
    error = contradiction(publish(ENTRIES[:300]), over(301), over(300))
    assert (error.kind, error.index) == (Kind.ROLLED_BACK, 300)


def test_two_logs_do_not_contradict_each_other() -> None:
    stranger = Signed(Checkpoint("other.example/log", 3, bytes(32)), "")
    with pytest.raises(VerificationError, match="another log"):
        require_beginning(publish(ENTRIES), stranger, over(700))


@given(st.sampled_from(sorted(path for path in publish(ENTRIES).files if "entries" not in path)), st.data())
def test_altered_tiles_are_no_evidence_against_the_checkpoints(path: str, data: st.DataObject) -> None:
    log = publish(ENTRIES)
    if path == "checkpoint":
        return
    raw = bytearray(log.files[path])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1
    log.files[path] = bytes(raw)
    needed = path not in {"tile/0/000", "tile/0/001"}  # The tile above states the roots of both.
    with pytest.raises(VerificationError) if needed else nullcontext() as caught:
        require_beginning(log, over(513), over(700))
    assert caught is None or not isinstance(caught.value, ContradictionError)


def test_missing_tiles_are_said_to_be() -> None:
    log = publish(ENTRIES)
    del log.files["tile/0/001"]
    with pytest.raises(VerificationError, match="tile/0/001"):
        require_beginning(log, over(300), over(700))


def test_a_contradiction_stands_even_where_an_unneeded_tile_is_gone() -> None:
    other = Frontier.empty().extend([leaf_hash(entry) for entry in make_entries(512, origin="x")]).root()
    log = publish(ENTRIES)
    del log.files["tile/0/000"]
    assert contradiction(log, over(512, other), over(700)).kind is Kind.REWRITTEN
