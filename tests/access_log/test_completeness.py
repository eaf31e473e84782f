"""Whether a stream is complete, told from what was found of it."""

import dataclasses
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.completeness import AHEAD, Completeness, Gap, Lookout, judge
from access_log.entry import Entry
from access_log.errors import FormatError
from access_log.material import Kind, Material, MaterialStream, MonthKey, OpenedEntry, read_material
from access_log.merkle import leaf_hash
from access_log.sequence import Place
from tests.access_log.persons import ANN, BOB, CASE, Persons, altered, at


def told(persons: Persons, material: Material) -> Completeness:
    lookout = Lookout(material.streams)
    lookout.see(0, persons.entries)
    return judge(material, lookout.found, len(persons.entries), Entry.decode(persons.entries[-1]).time)


def three_months() -> Persons:
    """Ann has two entries in June, none in July, three in August; Bob and a case come between."""
    persons = Persons()
    for stream, month in (
        (ANN, 6),
        (BOB, 6),
        (ANN, 6),
        (CASE, 7),
        (BOB, 7),
        (ANN, 8),
        (CASE, 8),
        (ANN, 8),
        (ANN, 8),
    ):
        persons.add(stream, at(2026, month))
    return persons


def changed(material: Material, **changes: object) -> Material:
    """The material with its first stream changed."""
    (first, *others) = material.streams
    stream = dataclasses.replace(first, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(material, streams=(stream, *others))


def where(verdict: Completeness) -> list[tuple[int | None, int | None, int | None]]:
    return [(gap.month, gap.seq, gap.index) for gap in verdict.gaps]


def test_a_whole_stream_is_complete() -> None:
    persons = three_months()
    verdict = told(persons, persons.material())
    assert verdict.complete
    (report,) = verdict.streams
    assert report.months == {202606: 2, 202607: 0, 202608: 3}
    assert (report.opened, report.expired, report.newer) == (5, (), ())


def test_a_disclosed_case_stands_beside_and_takes_nothing_from_the_own_stream() -> None:
    persons = three_months()
    material = persons.material(streams=(persons.stream(ANN), persons.stream(CASE, "court 17")))
    verdict = told(persons, material)
    assert verdict.complete
    assert [(one.kind, one.court_reference, one.opened) for one in verdict.streams] == [
        (Kind.PERSON, None, 5),
        (Kind.COVERT, "court 17", 2),
    ]


def test_a_case_need_not_go_on_to_the_present_but_a_person_must() -> None:
    persons = three_months()
    persons.add(BOB, at(2026, 10))
    case = persons.stream(CASE, "court 17")
    ended = dataclasses.replace(case, months=case.months[:2])
    assert told(persons, persons.material(streams=(persons.stream(ANN), ended))).complete
    own = persons.stream(ANN)
    verdict = told(persons, persons.material(streams=(dataclasses.replace(own, months=own.months[:4]),)))
    assert where(verdict) == [(202610, None, None)]


def test_a_number_without_an_entry_is_named() -> None:
    persons = three_months()
    persons.skip(ANN)
    persons.add(ANN, at(2026, 8))
    verdict = told(persons, persons.material())
    assert where(verdict) == [(202608, 4, None)]
    assert "no entry of the log carries" in verdict.gaps[0].reason


def test_an_entry_that_the_material_leaves_out_is_named_as_withheld() -> None:
    persons = three_months()
    material = persons.material()
    kept = tuple(one for one in material.streams[0].entries if one.index != 7)
    verdict = told(persons, changed(material, entries=kept))
    assert where(verdict) == [(202608, 2, 7)]
    assert "withheld" in verdict.gaps[0].reason


def test_an_opening_that_is_not_given_is_withheld_until_its_retention_ends() -> None:
    persons = three_months()
    material = persons.material()
    entries = (OpenedEntry(0, None), *material.streams[0].entries[1:])
    verdict = told(persons, changed(material, entries=entries))
    assert where(verdict) == [(202606, 1, 0)]
    persons.add(BOB, at(2036, 7))
    aged = persons.material()
    verdict = told(persons, changed(aged, entries=(OpenedEntry(0, None), *aged.streams[0].entries[1:])))
    assert verdict.complete
    assert verdict.streams[0].expired == (0,)


def test_an_opening_that_was_altered_is_named() -> None:
    persons = three_months()
    material = persons.material()
    first = material.streams[0].entries[0]
    opening = altered(first.opening, lambda attribute: attribute.update(value='"refused"'))
    entries = (OpenedEntry(0, opening), *material.streams[0].entries[1:])
    verdict = told(persons, changed(material, entries=entries))
    assert where(verdict) == [(202606, 1, 0)]
    assert "does not lead to the entry's commitment" in verdict.gaps[0].reason


def test_an_opening_of_another_entry_is_named() -> None:
    persons = three_months()
    material = persons.material()
    entries = list(material.streams[0].entries)
    entries[0] = OpenedEntry(0, entries[1].opening)
    assert where(told(persons, changed(material, entries=tuple(entries)))) == [(202606, 1, 0)]


def test_an_entry_of_somebody_else_among_the_own_is_named() -> None:
    persons = three_months()
    material = persons.material()
    entries = tuple(sorted((*material.streams[0].entries, OpenedEntry(1, None)), key=lambda one: one.index))
    verdict = told(persons, changed(material, entries=entries))
    assert where(verdict) == [(None, None, 1)]
    assert "does not carry a label" in verdict.gaps[0].reason


@pytest.mark.parametrize("month", [202606, 202607, 202608])
def test_a_month_key_that_is_kept_back_is_named_or_its_entries_are_missed(month: int) -> None:
    persons = three_months()
    material = persons.material()
    months = tuple(one for one in material.streams[0].months if one.month != month)
    verdict = told(persons, changed(material, months=months))
    assert not verdict.complete
    if month != 202606:
        assert (month, None, None) in where(verdict)


def test_entries_hidden_before_the_first_month_are_betrayed_by_the_first_one_shown() -> None:
    persons = three_months()
    material = persons.material()
    later = tuple(one for one in material.streams[0].entries if one.index >= 5)
    verdict = told(persons, changed(material, months=material.streams[0].months[1:], entries=later))
    assert where(verdict) == [(202608, 1, 5)]
    assert "names an entry before it" in verdict.gaps[0].reason


def test_an_entry_hidden_in_a_foreign_stream_breaks_the_chain_of_the_own() -> None:
    persons = three_months()
    hidden = persons.add(BOB, at(2026, 8))
    place = persons.places[ANN]
    persons.places[ANN] = dataclasses.replace(place, last_leaf=leaf_hash(persons.entries[hidden]))
    persons.add(ANN, at(2026, 8))
    verdict = told(persons, persons.material())
    assert where(verdict) == [(202608, 4, 10)]
    assert "follows another entry" in verdict.gaps[0].reason


def test_entries_after_the_material_are_told_and_not_required() -> None:
    persons = three_months()
    material = persons.material()
    size, last = len(persons.entries), persons.time
    persons.add(ANN, at(2026, 8))
    lookout = Lookout(material.streams)
    lookout.see(0, persons.entries)
    verdict = judge(material, lookout.found, size, last)
    assert verdict.complete
    assert verdict.streams[0].newer == (9,)


def test_an_entry_under_a_label_that_stands_already_is_named() -> None:
    persons = three_months()
    place = persons.places[ANN]
    persons.places[ANN] = dataclasses.replace(place, seq=place.seq - 1)
    again = persons.add(ANN, at(2026, 8))
    verdict = told(persons, persons.material())
    assert (202608, 3, again) in where(verdict)


def test_a_label_of_another_month_is_named() -> None:
    persons = three_months()
    # The label of September under a time of August: the writer's clock went wrong, or it lies.
    september = persons.maker.month_key(ANN, 202609)
    persons.maker = _Wrong(persons.maker.master, persons.maker.origin, september)
    persons.places[ANN] = dataclasses.replace(persons.places[ANN], seq=0)
    persons.add(ANN, at(2026, 8))
    persons.maker = Persons().maker
    persons.add(BOB, at(2026, 9))
    verdict = told(persons, persons.material())
    assert any("of another month" in gap.reason for gap in verdict.gaps)


class _Wrong(type(Persons().maker)):  # type: ignore[misc]
    """Makes labels of a key it was given, whatever the month."""

    __slots__ = ("_key",)

    def __init__(self, master: bytes, origin: str, key: bytes) -> None:
        super().__init__(master, origin)
        object.__setattr__(self, "_key", key)

    def month_key(self, stream_id: bytes, month: int) -> bytes:
        return self._key  # type: ignore[no-any-return]


def test_numbers_are_followed_however_many() -> None:
    persons = Persons()
    for _ in range(AHEAD + 50):
        persons.add(ANN, at(2026, 6))
    verdict = told(persons, persons.material())
    assert verdict.complete
    assert verdict.streams[0].months == {202606: AHEAD + 50}


# ── Against a naive model ────────────────────────────────────────────────────────────────────────

MONTHS = st.integers(0, 3)
STEPS = st.lists(st.tuples(st.sampled_from([ANN, BOB]), MONTHS), min_size=1, max_size=40)


@given(STEPS, st.data())
def test_whatever_is_left_out_is_named_and_nothing_else(
    steps: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    """The model: the material must list exactly the stream's indexes; every other index is a gap."""
    persons = Persons()
    persons.add(ANN, at(2026, 1))
    for stream, month in sorted(steps, key=lambda step: step[1]):
        persons.add(stream, at(2026, 1 + month))
    material = persons.material()
    own = [one.index for one in material.streams[0].entries]
    left_out = data.draw(st.sets(st.sampled_from(own)))
    kept = tuple(one for one in material.streams[0].entries if one.index not in left_out)
    verdict = told(persons, changed(material, entries=kept))
    assert sorted(gap.index for gap in verdict.gaps if gap.index is not None) == sorted(left_out)
    assert verdict.complete is (not left_out)
    assert sum(verdict.streams[0].months.values()) == len(own)


@given(STEPS, st.data())
def test_whatever_entry_is_not_in_the_log_is_missed(
    steps: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    """Numbers below the last one found in a month are missed by name; the last one by its opening."""
    persons = Persons()
    persons.add(ANN, at(2026, 1))
    for stream, month in sorted(steps, key=lambda step: step[1]):
        persons.add(stream, at(2026, 1 + month))
    material = persons.material()
    gone = data.draw(st.sampled_from([one.index for one in material.streams[0].entries]))
    lookout = Lookout(material.streams)
    for index, entry in enumerate(persons.entries):
        if index != gone:
            lookout.see(index, [entry])
    verdict = judge(material, lookout.found, len(persons.entries), persons.time)
    assert not verdict.complete
    assert gone in [gap.index for gap in verdict.gaps]


def test_a_stream_without_keys_is_said_to_have_none() -> None:
    persons = three_months()
    empty = MaterialStream(Kind.PERSON, None, (), ())
    verdict = told(persons, persons.material(streams=(empty,)))
    assert verdict.gaps == (Gap(1, None, None, None, "the material has no month key for this stream"),)


# ── A stream that goes on from an earlier log ────────────────────────────────────────────────────


def going_on(before: bytes) -> Persons:
    """Ann's stream had entries in a log that was closed; she has two here, in July and August."""
    persons = Persons()
    persons.places[ANN] = Place(0, 0, before)
    for stream, month in ((BOB, 6), (ANN, 7), (ANN, 8)):
        persons.add(stream, at(2026, month))
    return persons


def told_of(persons: Persons, stream: MaterialStream) -> Completeness:
    material = persons.material(streams=(stream,))
    lookout = Lookout(material.streams)
    lookout.see(0, persons.entries)
    first, last = (Entry.decode(persons.entries[index]).time for index in (0, -1))
    return judge(material, lookout.found, len(persons.entries), last, first)


def from_june(persons: Persons, stream: MaterialStream) -> MaterialStream:
    key = MonthKey(202606, persons.maker.month_key(ANN, 202606))
    return replace(stream, months=(key, *stream.months))


def test_its_first_entry_names_the_last_of_the_earlier_log() -> None:
    before = bytes([7]) * 32
    persons = going_on(before)
    stream = from_june(persons, persons.stream(ANN))
    assert told_of(persons, replace(stream, before=before)).complete
    for other in (None, bytes([8]) * 32):
        verdict = told_of(persons, replace(stream, before=other))
        assert [gap.index for gap in verdict.gaps] == [1]
        assert "names a" in verdict.gaps[0].reason


def test_an_entry_of_this_log_cannot_be_passed_off_as_one_of_the_earlier() -> None:
    """The month in which it stands would have to be given: it is one of this log."""
    persons = Persons()
    hidden = persons.add(ANN, at(2026, 6))
    for month in (7, 8):
        persons.add(ANN, at(2026, month))
    stream = persons.stream(ANN)
    cut = replace(
        stream,
        months=stream.months[1:],
        entries=stream.entries[1:],
        before=leaf_hash(persons.entries[hidden]),
    )
    verdict = told_of(persons, cut)
    assert [(gap.month, gap.index) for gap in verdict.gaps] == [(202606, None)]


def test_what_comes_before_is_read_as_it_is_written() -> None:
    persons = going_on(bytes([7]) * 32)
    stream = replace(persons.stream(ANN), before=bytes([7]) * 32)
    material = persons.material(streams=(stream,))
    assert read_material(material.encode()) == material
    for instead in (b'"before":3', b'"before":"AAAA"', b'"before":null'):
        raw = re.sub(rb'"before":"[^"]*"', instead, material.encode())
        with pytest.raises(FormatError):
            read_material(raw)
