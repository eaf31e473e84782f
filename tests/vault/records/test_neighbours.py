"""Neighbours by identity number: found in memory, and nothing of a number leaves it."""

from uuid import uuid4

from stdnum.cn import ric

from vault.crypto.blind import DEMO_ID, Identifier
from vault.records.neighbours import Neighbours
from vault.records.watch import NEIGHBOURS, Flag
from vault.server.portal.fictitious import fictitious_identity

BODY, OFFICER = uuid4(), uuid4()


def number(sequence: int, day: str = "19900101") -> Identifier:
    """The number of that day with this sequence."""
    digits = f"990000{day}{sequence:03}"
    return Identifier(DEMO_ID, digits + ric.calc_check_digit(digits + "0"))


def seen(watched: Neighbours, *numbers: Identifier, gap: float = 1.0) -> list[Flag]:
    found = [watched.see(BODY, OFFICER, one, at, at * gap) for at, one in enumerate(numbers)]
    return [flag for flag in found if flag is not None]


def test_one_number_after_the_other_is_flagged_once() -> None:
    (flag,) = seen(Neighbours(4), *[number(n) for n in range(20)])
    assert (flag.kind, flag.body, flag.officer) == (NEIGHBOURS, str(BODY), str(OFFICER))
    assert (flag.entries, flag.count) == ((0, 1, 2, 3), 4)


def test_upwards_downwards_or_mixed_with_others() -> None:
    mixed = [number(8), number(500), number(6), number(4), number(7, "19850505"), number(2)]
    (flag,) = seen(Neighbours(4), *mixed)
    assert flag.entries == (0, 2, 3, 5)


def test_the_same_number_again_is_no_neighbour_and_far_ones_are_none() -> None:
    assert seen(Neighbours(4), *[number(5)] * 30) == []
    assert seen(Neighbours(4), *[number(n * 40) for n in range(20)]) == []
    assert seen(Neighbours(4), *[Identifier(DEMO_ID, fictitious_identity(n)[0]) for n in range(1, 4)]) == []


def test_after_ten_minutes_they_are_forgotten() -> None:
    assert seen(Neighbours(4), *[number(n) for n in range(20)], gap=301) == []
    assert len(seen(Neighbours(3), *[number(n) for n in range(9)], gap=601)) == 0


def test_officers_are_told_apart_and_nothing_shows_a_number() -> None:
    watched = Neighbours(4)
    assert all(watched.see(BODY, uuid4(), number(n), n, n) is None for n in range(9))
    seen(watched, *[number(n) for n in range(9)])
    assert "990000" not in repr(watched)
