"""Case references and the patterns that bind them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import cases

FULL_WIDTH = "\uff08\uff12\uff10\uff12\uff16\uff09沪 0115 执 123 号"
LETTERS = st.text("abcXYZ0189沪执号京", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("(2026)沪0115执*号", "(2026)沪0115执123号"),
        ("(2026)沪0115执*号", FULL_WIDTH),
        ("A-17/26", "a-17/26"),
        ("*", "7"),
        ("K *", "k42"),
    ],
)
def test_a_reference_fits(pattern: str, reference: str) -> None:
    assert cases.fits(pattern, reference)


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("(2026)沪0115执*号", "(2026)沪0115执号"),
        ("(2026)沪0115执*号", "(2026)沪0116执123号"),
        ("(2026)沪0115执*号", "(2026)沪0115执12-3号"),
        ("(2026)沪0115执*号", "x(2026)沪0115执123号"),
        ("A-17/26", "A-17/261"),
        ("aba*aba", "aba"),
        ("*", ""),
        ("*", "-"),
    ],
)
def test_a_reference_does_not_fit(pattern: str, reference: str) -> None:
    assert not cases.fits(pattern, reference)


@given(LETTERS, LETTERS, LETTERS)
def test_a_star_stands_for_letters_and_digits(head: str, middle: str, tail: str) -> None:
    assert cases.fits(f"{head}-*-{tail}", f"{head}-{middle}-{tail}")


@pytest.mark.parametrize("pattern", ["K*", "K", "(2026)*号"])
def test_what_may_bind_a_case(pattern: str) -> None:
    assert cases.is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["*", "", " ", "a*b*"])
def test_what_may_not_bind_a_case(pattern: str) -> None:
    assert not cases.is_pattern(pattern)


def test_one_case_is_counted_once_however_it_is_spelled() -> None:
    grant, other = UUID(int=1), UUID(int=2)
    key = cases.counter_key(grant, "(2026)沪0115执123号")
    assert key == cases.counter_key(grant, FULL_WIDTH)
    assert key != cases.counter_key(other, "(2026)沪0115执123号")
    assert key != cases.counter_key(grant, "(2026)沪0115执124号")
    assert len(key) == 32
