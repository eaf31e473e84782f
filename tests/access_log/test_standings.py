"""Where streams stand follows from labels alone: held against a naive model."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log import labels
from access_log.entry import Entry, EntryType
from access_log.merkle import leaf_hash
from access_log.sequence import Place
from access_log.standings import Found, Walk, advance, months_between

MASTER, ORIGIN = bytes(range(32)), "vault.example/log/2026"
MONTHS = months_between(202611, 202703)


def month_key(stream: bytes, month: int) -> bytes:
    return labels.month_key(labels.stream_key(MASTER, stream), ORIGIN, month)


def entry_of(stream: bytes, month: int, seq: int) -> bytes:
    label = labels.label(month_key(stream, month), seq)
    return Entry(EntryType.RECORD, month, bytes(32), label, bytes(32)).encode()


def test_months_between() -> None:
    assert MONTHS == [202611, 202612, 202701, 202702, 202703]
    assert months_between(202612, 202612) == [202612]
    assert months_between(202701, 202612) == []


@given(st.data())
async def test_every_stream_is_brought_to_its_newest_entry(data: st.DataObject) -> None:
    """From any place it ever stood at, and through months in which nothing happened."""
    found: dict[bytes, Found] = {}
    walks: list[Walk] = []
    expected: list[tuple[Place, int]] = []
    for at in range(data.draw(st.integers(0, 4))):
        stream = at.to_bytes(16, "big")
        places = [Place(0, 0, bytes(32))]
        for month in MONTHS:
            for seq in range(1, 1 + data.draw(st.one_of(st.integers(0, 3), st.integers(0, 40)))):
                raw = entry_of(stream, month, seq)
                found[raw[42:74]] = (len(found), raw)
                places.append(Place(month, seq, leaf_hash(raw)))
        stood = data.draw(st.integers(0, len(places) - 1))
        months = [month for month in MONTHS if month >= places[stood].month]
        walks.append(Walk(stream, places[stood], months))
        expected.append((places[-1], len(places) - 1 - stood))

    async def find(sought: Sequence[bytes]) -> Mapping[bytes, Found]:
        return {label: found[label] for label in sought if label in found}

    await advance(walks, find, month_key)
    assert [(one.place, len(one.met)) for one in walks] == expected
    assert len({index for one in walks for index in one.met}) == sum(count for _, count in expected)


@pytest.mark.parametrize("gap", [1, 2, 5])
async def test_a_gap_ends_the_month(gap: int) -> None:
    """What stands behind it is nobody's next number: an examination names it."""
    stream = bytes(16)
    entries = {seq: entry_of(stream, 202611, seq) for seq in range(1, 9) if seq != gap}
    found = {raw[42:74]: (seq, raw) for seq, raw in entries.items()}

    async def find(sought: Sequence[bytes]) -> Mapping[bytes, Found]:
        return {label: found[label] for label in sought if label in found}

    walk = Walk(stream, Place(0, 0, bytes(32)), [202611])
    await advance([walk], find, month_key)
    assert walk.met == list(range(1, gap))
