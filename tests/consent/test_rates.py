"""Buckets against a naive model: never more than a minute's worth and what refilled, and never less."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from consent.rates import Buckets, Wait

NOW = datetime(2026, 7, 1, tzinfo=UTC)
BODY, OFFICER = UUID(int=1), UUID(int=2)
MINUTE = timedelta(minutes=1)


def test_a_minutes_worth_at_once_and_then_one_by_one() -> None:
    buckets = Buckets()
    assert [buckets.take(((BODY, 3),), NOW) for _ in range(3)] == [None] * 3
    assert buckets.take(((BODY, 3),), NOW) == Wait(BODY, 20.0)
    assert buckets.take(((BODY, 3),), NOW + timedelta(seconds=19)) == Wait(BODY, 1.0)
    assert buckets.take(((BODY, 3),), NOW + timedelta(seconds=20)) is None
    assert buckets.take(((BODY, 3),), NOW + timedelta(seconds=20)) == Wait(BODY, 20.0)


def test_who_has_to_wait_takes_from_neither() -> None:
    buckets = Buckets()
    both = ((BODY, 10), (OFFICER, 1))
    assert buckets.take(both, NOW) is None
    before = dict(buckets.changed)
    assert buckets.take(both, NOW) == Wait(OFFICER, 60.0)
    assert buckets.changed == before


def test_a_bucket_left_by_a_clock_that_was_ahead_empties_for_a_minute_and_no_longer() -> None:
    buckets = Buckets()
    buckets.put(BODY, NOW + timedelta(days=365))
    refused = buckets.take(((BODY, 60),), NOW)
    assert refused == Wait(BODY, 1.0)


@given(
    st.integers(1, 20),
    st.lists(st.integers(0, 30_000), min_size=1, max_size=60),
)
def test_as_a_naive_bucket_would(a_minute: int, gaps: list[int]) -> None:
    buckets, now = Buckets(), NOW
    held, seen = float(a_minute), now
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        held = min(a_minute, held + (now - seen) / MINUTE * a_minute)
        seen = now
        wait = buckets.take(((BODY, a_minute),), now)
        if abs(held - 1) < 1e-3:  # the model's rounding decides nothing
            return
        assert (wait is None) == (held > 1)
        if wait is None:
            held -= 1
        else:
            assert abs(wait.seconds - (1 - held) * 60 / a_minute) < 0.01
