"""Reads files of submissions, never more than a line in memory: NDJSON, and CSV through a mapping.

A bad line is a `Rejected` and the reading goes on; a file that does not fit its mapping is a `MappingError`
before its first row.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import BinaryIO

from vault.catalogue import Catalogue
from vault.records.mapping import ColumnMapping
from vault.records.submission import Rejected
from vault.records.values import RefusedError, why

LONGEST_LINE = 65_536
"""Bytes of one line, or of one CSV row with its line breaks."""

_BOM = b"\xef\xbb\xbf"
_UTF8 = "Save the file as UTF-8."


@dataclass(frozen=True, slots=True)
class Row:
    """One decoded line: its number, from 1, and the submission it holds, not yet checked."""

    line: int
    value: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What became of a CSV column.

    Attributes:
        column: Its name.
        use: `mapped`, `unmapped` (never stored), `forbidden`, or `needs-warned-consent`; the last two are
            refused and never stored.
        reason: Why, in words.
        rows: How many rows had something in it; 0 for mapped columns, which are not counted.
    """

    column: str
    use: str
    reason: str
    rows: int


def read_ndjson(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[Row | Rejected]:
    """Yields each line of an NDJSON stream that is not blank, decoded or rejected (rules 1.1 to 1.4)."""
    number = 0
    while raw := stream.readline(longest + 1):
        number += 1
        if len(raw) > longest:
            _drain(stream, raw, longest)
            yield _oversized(number, longest)
            continue
        if number == 1:
            raw = raw.removeprefix(_BOM)  # the same line without its mark
        if not raw.strip():
            continue
        yield _decode(raw, number)


def read_one(raw: bytes) -> Row | Rejected:
    """Reads a body that is one submission, on as many lines as it likes."""
    return _decode(raw.removeprefix(_BOM), 1)


def _decode(raw: bytes, number: int) -> Row | Rejected:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Rejected(number, "", "1.1", _UTF8)
    try:
        return Row(number, json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant))
    except _DuplicateError:
        return Rejected(number, "", "1.4", "Give each member of an object once.")
    except (ValueError, RecursionError):
        return Rejected(number, "", "1.3", "Write one JSON object on one line (RFC 8259).")


class _DuplicateError(Exception):
    """An object names a member twice; which one would count is anybody's guess."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateError
    return members


def _refuse_constant(_name: str) -> object:
    raise ValueError("NaN and Infinity are no JSON")


def _drain(stream: BinaryIO, raw: bytes, longest: int) -> None:
    """Skips the rest of the line `raw` is the beginning of."""
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(longest)


def _oversized(number: int, longest: int) -> Rejected:
    return Rejected(number, "", "1.2", f"Keep each line within {longest} bytes.")


class CsvReader:
    """Reads a CSV file (RFC 4180) through a mapping.

    The header is read at once: a missing, renamed or repeated column raises `MappingError`. Columns the
    mapping does not use are never stored; those the catalogue forbids are reported as refused.

    Args:
        stream: The file.
        mapping: Which columns make which members.
        catalogue: The law, which knows forbidden columns by their names.
        identities: Number and name of the person of a row, counted from 1; where the mapping says `supplied`.
        longest: Bytes of one row.

    Raises:
        MappingError: The file does not fit the mapping.
    """

    def __init__(
        self,
        stream: BinaryIO,
        mapping: ColumnMapping,
        catalogue: Catalogue,
        identities: Callable[[int], tuple[str, str]] | None = None,
        longest: int = LONGEST_LINE,
    ) -> None:
        if mapping.supplied != (identities is not None):
            raise mapping.error(
                "identities come either from the caller or from columns",
                "Set subject.supplied = true exactly where the caller gives identities.",
                "subject",
            )
        self._mapping = mapping
        self._identities = identities
        self._longest = longest
        self._records = _csv_records(stream, longest)
        self._header = self._read_header()
        self._check_columns()
        self._reports = [self._judge(column, catalogue) for column in self._header]
        self._counts = [0] * len(self._header)
        self._idle = [place for place, (use, _) in enumerate(self._reports) if use != "mapped"]

    def columns(self) -> tuple[ColumnReport, ...]:
        """Returns what became of each column, in the file's order; counts cover the rows read so far."""
        return tuple(
            ColumnReport(column, use, reason, rows)
            for column, (use, reason), rows in zip(self._header, self._reports, self._counts, strict=True)
        )

    def __iter__(self) -> Iterator[Row | Rejected]:
        row = 0
        for line, raw in self._records:
            row += 1
            if raw is None:
                yield _oversized(line, self._longest)
                continue
            try:
                yield Row(line, self._submission(row, raw))
            except RefusedError as refused:
                yield Rejected(line, refused.column, refused.rule, refused.remedy)

    def _submission(self, row: int, raw: bytes) -> dict[str, object]:
        cells = _cells(raw, self._mapping.delimiter)
        if len(cells) != len(self._header):
            raise RefusedError("", "1.6", f"Give {len(self._header)} cells, as the header has.")
        for place in self._idle:
            if cells[place].strip():
                self._counts[place] += 1
        named = dict(zip(self._header, cells, strict=True))
        return self._mapping.submission(row, named, self._identities(row) if self._identities else None)

    def _read_header(self) -> list[str]:
        _, raw = next(self._records, (1, b""))
        try:
            header = [column.strip() for column in _cells(raw or b"", self._mapping.delimiter)]
        except RefusedError as refused:
            raise self._mapping.error("the file's first line is no header", refused.remedy) from None
        if len(set(header)) != len(header):
            raise self._mapping.error(
                "the file's header names a column twice", "Give each column a name of its own."
            )
        return header

    def _check_columns(self) -> None:
        for column in self._mapping.columns:
            if column not in self._header:
                close = get_close_matches(column, self._header, n=1)
                hint = f" (is it now {close[0]}?)" if close else ""
                raise self._mapping.error(
                    f"the file has no column {column}{hint}",
                    "Rename the column in the file, or change the mapping on that line.",
                    column=column,
                )

    def _judge(self, column: str, catalogue: Catalogue) -> tuple[str, str]:
        if column in self._mapping.columns:
            return "mapped", "mapped"
        kind = catalogue.screen.name(column)
        if kind is None:
            return "unmapped", "not in the mapping"
        return ("forbidden" if kind.level == "never" else "needs-warned-consent"), why(kind)


def _csv_records(stream: BinaryIO, longest: int) -> Iterator[tuple[int, bytes | None]]:
    """Yields the first line and the bytes of each row that is not blank; None for an oversized one.

    A row ends where a line ends and its quotation marks are paired. One that is too long is given up at the
    end of the line on which it became so: a lost quotation mark costs at most the rows of `longest` bytes.
    """
    number = 0
    first, row = 1, b""
    while raw := stream.readline(longest + 1):
        number += 1
        if number == 1:
            raw = raw.removeprefix(_BOM)  # the same line without its mark
        if not row:
            first = number
        row += raw
        if len(row) > longest:
            _drain(stream, raw, longest)
            yield first, None
            row = b""
        elif row.count(b'"') % 2 == 0:
            if row.strip():
                yield first, row
            row = b""
    if row:
        yield first, row


def _cells(raw: bytes, delimiter: str) -> Sequence[str]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RefusedError("", "1.1", _UTF8) from None
    try:
        return next(csv.reader([text], strict=True, delimiter=delimiter))
    except csv.Error:
        raise RefusedError(
            "", "1.5", "Pair the quotation marks and double those inside (RFC 4180)."
        ) from None
