"""The words registers are written in: purposes, fields, categories, and texts people read."""

import re
from collections.abc import Iterable

from consent.errors import InvalidError

LONGEST_TEXT = 2000

_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_FIELD = re.compile(r"[A-Z]{3}\.[a-z][a-z0-9_]{0,63}")
_CATEGORY = re.compile(r"[A-Z]{3}")


def purposes(names: Iterable[str]) -> list[str]:
    """The purposes in order, for instance `credit-granting`.

    Raises:
        InvalidError: one is not written as a purpose.
    """
    return _all_match(_CODE, names, "purpose", "credit-granting")


def fields(names: Iterable[str]) -> list[str]:
    """The fields in order, for instance `FIN.type`.

    Raises:
        InvalidError: one is not written as a field.
    """
    return _all_match(_FIELD, names, "field", "FIN.type")


def categories(codes: Iterable[str]) -> list[str]:
    """The categories in order, for instance `FIN`.

    Raises:
        InvalidError: one is not written as a category.
    """
    return _all_match(_CATEGORY, codes, "category", "FIN")


def code(value: str, what: str) -> str:
    """A code in lower-case letters, digits and hyphens.

    Raises:
        InvalidError: it is not written so.
    """
    if not _CODE.fullmatch(value):
        raise InvalidError(f"the {what} must be written in lower-case letters, digits and hyphens")
    return value


def text(value: str, what: str) -> str:
    """A text that people will read, without surrounding space.

    Raises:
        InvalidError: it says nothing, is too long, or holds characters that cannot be printed.
    """
    stripped = value.strip()
    if not 0 < len(stripped) <= LONGEST_TEXT or not stripped.isprintable():
        raise InvalidError(f"the {what} must be one line of 1 to {LONGEST_TEXT} printable characters")
    return stripped


def _all_match(pattern: re.Pattern[str], names: Iterable[str], what: str, example: str) -> list[str]:
    distinct = sorted(set(names))
    if not all(pattern.fullmatch(name) for name in distinct):
        raise InvalidError(f"each {what} must be written like {example}")
    return distinct
