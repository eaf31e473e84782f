"""Invented people: the same for the same row, in every run, and nobody real."""

from datetime import date, timedelta

from stdnum.cn import ric

_GIVEN = (
    "Ada", "Bao", "Carl", "Dora", "Emil", "Fang", "Greta", "Hugo", "Ida", "Jun",
    "Karl", "Lin", "Mira", "Nils", "Olga", "Ping", "Rosa", "Sven", "Tao", "Ute",
)  # fmt: skip
_FAMILY = (
    "Beispiel", "Demo", "Example", "Fictus", "Invented", "Mockup", "Muster", "Nobody", "Placeholder",
    "Sample", "Specimen", "Testfall",
)  # fmt: skip
_SEQUENCES = 999
_ADDRESSES = 10_000
_FIRST_BIRTH = date(1950, 1, 1)
_BIRTHS = 18_000  # days: the youngest is born in April 1999
_STRIDE = 7_919  # a prime that is no factor of the above, so that neighbours differ in age

MOST = _SEQUENCES * _ADDRESSES
"""How many different people there are."""


def fictitious_identity(n: int) -> tuple[str, str]:
    """Returns identity number and name of the invented person `n`, counted from 1.

    The number is of the scheme `demo-id`: well-formed (GB 11643), with an address code from 99, which no real
    number has.

    Raises:
        ValueError: There is no person `n`.
    """
    if not 1 <= n <= MOST:
        raise ValueError(f"there are invented people 1 to {MOST}")
    address, sequence = divmod(n - 1, _SEQUENCES)
    birth = _FIRST_BIRTH + timedelta(days=n * _STRIDE % _BIRTHS)
    number = f"99{address:04}{birth:%Y%m%d}{sequence + 1:03}"
    name = f"{_GIVEN[n % len(_GIVEN)]} {_FAMILY[n // len(_GIVEN) % len(_FAMILY)]}"
    return number + ric.calc_check_digit(number + "0"), name
