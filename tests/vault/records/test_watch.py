"""What strikes and what does not, each pattern both ways, and against a naive model."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from vault.records.watch import (
    MANY_PERSONS,
    MOST_ENTRIES,
    OUT_OF_HOURS,
    SAME_PERSON,
    WINDOW,
    Flag,
    Measures,
    Seen,
    Watch,
)

MEASURES = Measures(7, 21, 4, 3, ZoneInfo("Asia/Shanghai"))
NOON = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)  # a Wednesday, noon in Shanghai
MINUTE = timedelta(minutes=1)


def seen(index: int, at: datetime, subject: str | None, officer: str = "officer", body: str = "body") -> Seen:
    return Seen(index, int(at.timestamp() * 1000), body, officer, subject)


def flags(*queries: Seen, measures: Measures = MEASURES) -> list[Flag]:
    watch = Watch(measures)
    return [flag for one in queries for flag in watch.see(one)]


def test_within_hours_nothing_strikes() -> None:
    for hour in (7, 12, 20):
        at = datetime(2026, 7, 1, hour, tzinfo=MEASURES.zone)
        assert flags(seen(1, at, "a")) == []


def test_out_of_hours_and_at_weekends_once_a_day_for_each_officer() -> None:
    night = datetime(2026, 7, 1, 21, 0, tzinfo=MEASURES.zone)
    early = datetime(2026, 7, 1, 6, 59, tzinfo=MEASURES.zone)
    saturday = datetime(2026, 7, 4, 12, 0, tzinfo=MEASURES.zone)
    for at in (night, early, saturday):
        assert flags(seen(7, at, "a")) == [Flag(OUT_OF_HOURS, "body", "officer", (7,), 1)]
    again = flags(seen(1, night, "a"), seen(2, night + MINUTE, "b"), seen(3, night, "c", officer="other"))
    assert [(one.officer, one.entries) for one in again] == [("officer", (1,)), ("other", (3,))]
    assert len(flags(seen(1, night, "a"), seen(2, night + timedelta(days=1), "b"))) == 2


def test_many_persons_by_one_officer_within_ten_minutes() -> None:
    four = [seen(n, NOON + n * MINUTE, f"person {n}") for n in range(4)]
    assert flags(*four) == [Flag(MANY_PERSONS, "body", "officer", (0, 1, 2, 3), 4)]
    assert flags(*four[:3]) == []
    assert flags(*[seen(n, NOON + n * 4 * MINUTE, f"person {n}") for n in range(9)]) == []
    assert flags(*[seen(n, NOON, f"person {n}", officer=f"officer {n}") for n in range(9)]) == []


def test_persons_nobody_knows_count_each() -> None:
    assert [one.kind for one in flags(*[seen(n, NOON, None) for n in range(4)])] == [MANY_PERSONS]


def test_the_same_person_again_and_again_whoever_asks_in_the_body() -> None:
    three = [seen(n, NOON + n * MINUTE, "a", officer=f"officer {n}") for n in range(3)]
    assert flags(*three) == [Flag(SAME_PERSON, "body", None, (0, 1, 2), 3)]
    assert flags(*[seen(n, NOON, "a", officer="o", body=f"body {n}") for n in range(3)]) == []
    assert flags(*[seen(n, NOON + n * 6 * MINUTE, "a") for n in range(9)]) == []


def test_a_pattern_that_lasts_is_flagged_once_and_again_when_it_comes_again() -> None:
    lasting = [seen(n, NOON + n * MINUTE, "a") for n in range(60)]
    assert len(flags(*lasting)) == 1
    later = [seen(100 + n, NOON + timedelta(hours=3) + n * MINUTE, "a") for n in range(3)]
    assert [one.entries for one in flags(*lasting, *later)] == [(0, 1, 2), (100, 101, 102)]


def test_a_flag_names_so_many_entries_and_counts_all() -> None:
    measures = Measures(7, 21, MOST_ENTRIES + 50, 10_000, MEASURES.zone)
    (flag,) = flags(*[seen(n, NOON, f"person {n}") for n in range(MOST_ENTRIES + 50)], measures=measures)
    assert (len(flag.entries), flag.count, flag.entries[-1]) == (100, 150, 149)


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from("abc"), st.sampled_from("xyz")),
        min_size=1,
        max_size=80,
    )
)
def test_the_first_flag_of_each_is_where_a_naive_count_has_it(steps: list[tuple[int, str, str]]) -> None:
    at, queries = NOON, []
    for index, (gap, officer, subject) in enumerate(steps):
        at += timedelta(seconds=gap)
        queries.append(seen(index, at, subject, officer=officer))
    window = int(WINDOW.total_seconds() * 1000)
    expected: dict[str, int] = {}
    for one in queries:
        same = [
            other
            for other in queries[: one.index + 1]
            if other.subject == one.subject and other.time > one.time - window
        ]
        if len(same) >= MEASURES.same_person:
            expected.setdefault(str(one.subject), one.index)
    first: dict[str, int] = {}
    for flag in flags(*queries):
        if flag.kind == SAME_PERSON:
            first.setdefault(str(queries[flag.entries[-1]].subject), flag.entries[-1])
    assert first == expected
