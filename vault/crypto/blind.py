"""Identity numbers: their one spelling, their rules, and the message their blind index is made of (FORMAT 7).

Two spellings of one number must find the same person, so the normalization here is part of the format.
Nothing here ever puts a number into a message or a representation.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple, Self

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

from vault.crypto.errors import InvalidIdentifierError
from vault.crypto.provider import Mac

CN_RIC: Final = "cn-ric"
"""The resident identity number of GB 11643, with a real address code."""
DEMO_ID: Final = "demo-id"
"""The same for fictitious people: address codes from 99, which no real number has."""

_LONGEST_INPUT: Final = 64
_FICTITIOUS: Final = "99"
_OLD: Final = re.compile(r"[0-9]{15}")
_NEW: Final = re.compile(r"[0-9]{17}[0-9X]")
_CENTENARIANS: Final = ("996", "997", "998", "999")


class Blind(NamedTuple):
    """The blind index of an identity number, by the newest version of the index key and by all others left.

    Attributes:
        version: The newest.
        value: By that.
        older: By the others: whoever is found by one of them is the same person.
    """

    version: int
    value: bytes
    older: tuple[Mac, ...] = ()

    @property
    def values(self) -> tuple[bytes, ...]:
        """By every version; they stand for one number."""
        return (self.value, *(mac.value for mac in self.older))


@dataclass(frozen=True, slots=True)
class Identifier:
    """A valid identity number in its one spelling.

    Attributes:
        scheme: `cn-ric` or `demo-id`.
        number: 18 characters; absent from `repr` and `str`.

    Raises:
        InvalidIdentifierError: The number is not a normalized, valid one of that scheme.
    """

    scheme: str
    number: str = field(repr=False)

    def __post_init__(self) -> None:
        require_address = _rules(self.scheme)
        if not _NEW.fullmatch(self.number):
            raise InvalidIdentifierError(
                self.scheme, "format", "17 digits and a check digit (0 to 9, X), or the older 15 digits"
            )
        if self.number[-1] != ric.calc_check_digit(self.number):
            raise InvalidIdentifierError(self.scheme, "check-digit", "one of its digits is wrong")
        try:
            _ = self.birth_date
        except ValueError:
            raise InvalidIdentifierError(
                self.scheme, "birth-date", "digits 7 to 14 are a date, yyyymmdd"
            ) from None
        require_address(self.number)

    @classmethod
    def parse(cls, scheme: str, number: str, enabled: Collection[str]) -> Self:
        """Read an identity number as a person or a file spells it.

        Args:
            scheme: The name of the scheme.
            number: Full-width digits, spaces, a lower-case x and 15-digit numbers are accepted.
            enabled: The schemes this deployment serves; `demo-id` belongs to demo mode alone.

        Raises:
            InvalidIdentifierError: The scheme is unknown or not enabled, or the number breaks a rule of it.
        """
        _rules(scheme)
        if scheme not in enabled:
            raise InvalidIdentifierError(scheme, "scheme-enabled", "this deployment does not serve it")
        return cls(scheme, _normalize(scheme, number))

    @property
    def birth_date(self) -> date:
        """The birth date the number carries, in both schemes."""
        # stdnum's own would clean up the number once more, each time.
        number = self.number
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))

    def index_message(self) -> bytes:
        """`scheme ‖ 0x00 ‖ number`: the message of the blind index, for `KeyProvider.mac`."""
        return f"{self.scheme}\0{self.number}".encode("ascii")


def _rules(scheme: str) -> Callable[[str], None]:
    try:
        return _SCHEMES[scheme]
    except KeyError:
        # The name came from outside: sent in the wrong member it may be the number itself.
        raise InvalidIdentifierError("unknown", "scheme", f"use one of {', '.join(_SCHEMES)}") from None


def _normalize(scheme: str, number: str) -> str:
    """FORMAT 7.1, in its order. What is not a number of ours comes out as it may; the rules refuse it."""
    if len(number) > _LONGEST_INPUT:
        return ""
    compact = unicodedata.normalize("NFKC", number).replace(" ", "").replace("x", "X")
    if not _OLD.fullmatch(compact):
        return compact
    if compact.endswith(_CENTENARIANS):
        # Kept for people born before 1900: 19 would make it another person's number.
        raise InvalidIdentifierError(scheme, "century", "give the 18-digit number")
    converted = compact[:6] + "19" + compact[6:]
    return converted + ric.calc_check_digit(converted + "0")


def _require_known_address(number: str) -> None:
    try:
        ric.get_birth_place(number)
    except (ValidationError, KeyError):
        # stdnum lets a KeyError out where it knows the province of a code but not its county.
        raise InvalidIdentifierError(CN_RIC, "address", "digits 1 to 6 are no known address code") from None


def _require_fictitious_address(number: str) -> None:
    if not number.startswith(_FICTITIOUS):
        raise InvalidIdentifierError(DEMO_ID, "address", "a fictitious number begins with 99")


_SCHEMES: Final[Mapping[str, Callable[[str], None]]] = {
    CN_RIC: _require_known_address,
    DEMO_ID: _require_fictitious_address,
}
