"""Sequencing without a database: what comes out is one chain, labelled, linked and proven."""

from base64 import b64decode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log import labels
from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.merkle import Frontier, leaf_hash, verify_inclusion
from access_log.payload import Party, Payload, check_opening
from access_log.receipt import verify_receipt
from access_log.sequence import (
    Event,
    Head,
    LabelMaker,
    Place,
    Receipts,
    sequence,
)
from access_log.signing_keys import SigningKey

ORIGIN = "creditvault.test/log"
MAKER = LabelMaker(bytes(32), ORIGIN)
STREAMS = [bytes([number]) * 16 for number in range(4)]
NEW = Place(0, 0, bytes(32))
MONTH_END = int(datetime(2026, 11, 30, 23, 59, 59, 999000, UTC).timestamp() * 1000)
BATCHES = st.lists(
    st.tuples(st.integers(-50_000, 50_000), st.lists(st.sampled_from(STREAMS), min_size=1, max_size=9)),
    min_size=1,
    max_size=6,
)


@given(BATCHES)
def test_any_batches_make_one_chain(batches: list[tuple[int, list[bytes]]]) -> None:
    """Clocks jump around the end of a month; streams come in any order."""
    head = Head(0, first_chain(ORIGIN), 0, Frontier.empty(), 0)
    places = dict.fromkeys(STREAMS, NEW)
    entries: list[bytes] = []
    linked: dict[bytes, list[tuple[int, int, bytes, bytes]]] = {stream: [] for stream in STREAMS}
    for ahead, streams in batches:
        now = MONTH_END + ahead
        head = Head(head.size, head.chain, head.time, head.frontier, now)
        events = [Event(stream, Payload.create(EntryType.HEARTBEAT, {})) for stream in streams]
        standing = {s: places[s] for s in set(streams)}
        new = sequence(head, standing, MAKER, events)
        proofs = new.growth.proofs()
        assert new.first == head.size
        assert new.time == max(now, head.time)
        assert new.frontier == head.frontier.extend(new.leaves)
        month = labels.month_of(new.time)
        for at, raw in enumerate(new.entries):
            entry, stream, values = Entry.decode(raw), streams[at], new.payloads[at].values()
            index, seq = head.size + at, int(str(values["seq"]))
            assert entry.time == new.time
            assert entry.label == labels.label(MAKER.month_key(stream, month), seq)
            assert leaf_hash(raw) == new.leaves[at]
            verify_inclusion(index, new.frontier.size, new.leaves[at], proofs[at], new.frontier.root())
            assert check_opening(entry, new.payloads[at].opening(Party.INSPECTOR)) == values
            linked[stream].append((month, seq, b64decode(str(values["previous"])), new.leaves[at]))
        places |= new.places
        entries += new.entries
        head = Head(new.frontier.size, new.chain, new.time, new.frontier, now)
    chain = first_chain(ORIGIN)
    for raw in entries:
        assert Entry.decode(raw).previous == chain
        chain = next_chain(chain, leaf_hash(raw))
    assert chain == head.chain
    for stream, found in linked.items():
        _check_stream(found, places[stream])


def _check_stream(found: list[tuple[int, int, bytes, bytes]], place: Place) -> None:
    """Numbers run from 1 in each month without a gap; `previous` crosses months."""
    month, number, leaf = 0, 0, bytes(32)
    for entry_month, seq, previous, own in found:
        assert seq == (number + 1 if entry_month == month else 1)
        assert previous == leaf
        month, number, leaf = entry_month, seq, own
    assert place == Place(month, number, leaf)


def test_a_new_month_begins_at_one_and_remembers_the_last() -> None:
    head = Head(0, first_chain(ORIGIN), MONTH_END, Frontier.empty(), MONTH_END + 1)
    standing = Place(202611, 41, b"l" * 32)
    event = Event(STREAMS[0], Payload.create(EntryType.HEARTBEAT, {}))
    new = sequence(head, {STREAMS[0]: standing}, MAKER, [event])
    values = new.payloads[0].values()
    assert (values["seq"], b64decode(str(values["previous"]))) == (1, b"l" * 32)
    assert new.places[STREAMS[0]].month == 202612


def test_a_clamped_time_stays_in_its_month() -> None:
    """The clock is already back in the month before: the entry is not."""
    head = Head(0, first_chain(ORIGIN), MONTH_END + 1, Frontier.empty(), MONTH_END - 30_000)
    event = Event(STREAMS[0], Payload.create(EntryType.HEARTBEAT, {}))
    new = sequence(head, {STREAMS[0]: NEW}, MAKER, [event])
    assert (new.time, new.places[STREAMS[0]].month) == (MONTH_END + 1, 202612)


def test_receipts_are_a_sequence_of_what_each_entry_is_owed() -> None:
    signer = SigningKey.from_seed(ORIGIN, bytes(32))
    head = Head(0, first_chain(ORIGIN), 0, Frontier.empty(), MONTH_END)
    events = [Event(STREAMS[0], Payload.create(EntryType.HEARTBEAT, {})) for _ in range(5)]
    new = sequence(head, {STREAMS[0]: NEW}, MAKER, events)
    receipts = Receipts(new, signer.sign(Checkpoint(ORIGIN, 5, new.frontier.root())))
    keys = [VerifierKey.parse(signer.verifier_key())]
    assert [verify_receipt(text, keys).entry.encode() for text in receipts] == new.entries
    assert receipts[-1] == receipts[4]
    assert receipts[1:3] == [receipts[1], receipts[2]]
    with pytest.raises(IndexError):
        _ = receipts[5]
