"""Reads one value of a submission against what the catalogue says of it. Refusals name rules, never values.

The numbers are those of `SUBMISSION.md`.
"""

import re
import unicodedata
from datetime import date
from typing import TypeGuard

from vault.catalogue import Catalogue
from vault.catalogue.months import MONTHS_A_YEAR, add_months
from vault.catalogue.schema import Field, ForbiddenKind

FieldValue = str | int | bool | date

EARLIEST = date(1900, 1, 1)
"""No living person's record is older."""

_YEARS_AHEAD = 100
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Letters of any script, digits, and the marks document numbers are written with, Chinese ones too.
_CODE = re.compile(r"[\w .,:;/()#&+\-\u00b7\u3001\u300a\u300b\u3010\u3011\u3014\u3015\uff08\uff09\uff0c]+")
_MARKS = re.compile(r"[\W_]+")
_IDEOGRAPHIC_SPACE = "\u3000"


class RefusedError(Exception):
    """Unwinds the reading of one submission; it never leaves `vault.records`.

    Attributes:
        column: The member, field or column it is about.
        rule: The broken rule's number.
        remedy: What to do, without any value of the submission.
    """

    def __init__(self, column: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.column = column
        self.rule = rule
        self.remedy = remedy


def read_text(value: object, column: str, longest: int) -> str:
    """Returns `value` as printable text of 1 to `longest` characters with no blanks at its ends (2.3 to 2.5).

    Raises:
        RefusedError: It is none.
    """
    if not isinstance(value, str):
        raise RefusedError(column, "2.3", "Give a string.")
    if not 1 <= len(value) <= longest:
        raise RefusedError(column, "2.4", f"Give 1 to {longest} characters.")
    # What does not print also hides: zero-width marks would carry a forbidden word past the screen.
    if value != value.strip() or not value.replace(_IDEOGRAPHIC_SPACE, "").isprintable():
        raise RefusedError(
            column, "2.5", "Leave out control and invisible characters and blanks at the ends."
        )
    return value


def read_date(value: object, column: str, today: date, *, future: bool = False) -> date:
    """Returns `value` as a calendar date from 1900 to today, or to a century ahead where it may lie there.

    Raises:
        RefusedError: It is none (2.3), or lies outside (5.6).
    """
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise RefusedError(column, "2.3", "Give a date as yyyy-mm-dd.")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise RefusedError(column, "2.3", "Give a date that exists, as yyyy-mm-dd.") from None
    if day < EARLIEST:
        raise RefusedError(column, "5.6", "Correct the date: it lies before 1900.")
    if not future and day > today:
        raise RefusedError(column, "5.6", "Correct the date: it lies in the future.")
    if day > add_months(today, _YEARS_AHEAD * MONTHS_A_YEAR):
        raise RefusedError(
            column, "5.6", "Leave the date out where there is no end: it lies a century ahead."
        )
    return day


def read_reference(value: object, column: str, catalogue: Catalogue, identity: str) -> str:
    """Returns `value` as a reference or number of a document, which may carry no identity (5.8).

    Raises:
        RefusedError: It is none.
    """
    text = read_text(value, column, catalogue.pack.limits.code_length)
    if not _CODE.fullmatch(text):
        raise RefusedError(column, "2.5", "Use letters, digits, blanks and the usual marks of references.")
    _refuse_forbidden(text, column, catalogue, identity, reference=True)
    return text


def read_field(raw: object, field: Field, catalogue: Catalogue, today: date, identity: str) -> FieldValue:
    """Returns the value of a field of the catalogue.

    Args:
        raw: The JSON value.
        field: What the catalogue says of it.
        catalogue: The pack, for its limits and its screen.
        today: The legal date.
        identity: The person's identity number, which no reference may carry.

    Raises:
        RefusedError: The value has the wrong type (2.3), size (2.4, 5.3), spelling (2.5) or is none of the
            field's values (5.4), lies in the future (5.6), or speaks of what is forbidden (5.8).
    """
    column = f"fields.{field.name}"
    if field.kind == "date":
        return read_date(raw, column, today, future=field.future)
    if field.kind == "boolean":
        if not isinstance(raw, bool):
            raise RefusedError(column, "2.3", "Give true or false.")
        return raw
    if field.kind == "integer":
        return _read_integer(raw, field, column)
    if field.kind in {"enum", "class"}:
        if not isinstance(raw, str) or raw not in field.values:
            raise RefusedError(column, "5.4", f"Give one of {', '.join(field.values)}.")
        return raw
    if field.kind == "code" and field.screened:
        return read_reference(raw, column, catalogue, identity)
    text = read_text(raw, column, field.max_length or catalogue.pack.limits.code_length)
    if field.screened:
        _refuse_forbidden(text, column, catalogue, identity, reference=False)
    return text


def _read_integer(raw: object, field: Field, column: str) -> int:
    if not _is_integer(raw):
        raise RefusedError(column, "2.3", "Give a whole number.")
    low, high = field.minimum or 0, field.maximum or 0
    if not low <= raw <= high:
        raise RefusedError(column, "5.3", f"Give {low} to {high}.")
    return raw


def _is_integer(raw: object) -> TypeGuard[int]:
    return isinstance(raw, int) and not isinstance(raw, bool)


def _refuse_forbidden(
    text: str, column: str, catalogue: Catalogue, identity: str, *, reference: bool
) -> None:
    # However it is spaced or spelled, the number would lie where it is not sealed as one.
    compact = _MARKS.sub("", unicodedata.normalize("NFKC", text)).upper()
    if identity in compact:
        raise RefusedError(column, "5.8", "Leave out the person's identity number.")
    kind = catalogue.screen.words(text)
    if kind is not None:
        raise RefusedError(column, "5.8", f"Leave it out: {why(kind)}.")
    pattern = catalogue.screen.pattern(text, reference=reference)
    if pattern is not None:
        raise RefusedError(column, "5.8", f"Leave out what looks like this: {pattern.title.lower()}.")


def why(kind: ForbiddenKind) -> str:
    """Says why a kind of data is refused, with its source, as the end of a sentence."""
    return (
        f"{kind.reason} ({kind.source} {kind.article})" if kind.article else f"{kind.reason} ({kind.source})"
    )
