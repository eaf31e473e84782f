"""A mapping file: which columns of a CSV file make which members of a submission (example: `SUBMISSION.md`).

A mapping is checked against the catalogue before a row is read. It names what it uses; what it does not name
is never stored, so forgetting a column is safe.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from vault.catalogue import Catalogue
from vault.catalogue.months import add_months
from vault.catalogue.schema import Category
from vault.errors import VaultError
from vault.records.values import RefusedError, why

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_MONTHS = re.compile(r"[0-9]{1,4}")
_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")
_BOOLEANS = {"true": True, "false": False}

Scalar = str | int | bool


class MappingError(VaultError):
    """A mapping file is wrong, or a CSV file does not fit it; no row was read.

    Attributes:
        file: The mapping file's name.
        line: The line of the mapping file it is about; 0 for the whole file.
        problem: What is wrong.
        remedy: What to do about it.
    """

    def __init__(self, file: str, line: int, problem: str, remedy: str) -> None:
        self.file = file
        self.line = line
        self.problem = problem
        self.remedy = remedy
        place = f"{file}, line {line}" if line else file
        super().__init__(f"{place}: {problem}. {remedy}")


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One class of amounts: those under `below`; the last step has no `below`."""

    value: str
    below: float | None = None


class Cell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one member's value comes from: exactly one of `value`, `template`, `sha256_of` and `column`.

    Attributes:
        value: The same for every row: text, a whole number, a boolean or a date.
        template: Text in which `{row}` stands for the row's number, from 1.
        sha256_of: A template whose SHA-256 is the value.
        column: A column, taken as `kind` says unless one of the next three is given.
        kind: `text`, `integer`, `boolean` (true, false) or `date` (yyyy-mm-dd).
        values: A table from the column's values.
        classes: Classes of the number in the column, from low to high.
        months_after: A date from which the column counts months.
        optional: Whether an empty cell leaves the member out, rather than rejecting the row.
    """

    value: object = None
    template: str | None = None
    sha256_of: str | None = None
    column: str | None = None
    kind: str = "text"
    values: Mapping[str, Scalar] | None = None
    classes: tuple[Step, ...] | None = None
    months_after: date | None = None
    optional: bool = False


class Subject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose the rows are: `supplied` by the caller, or read from columns."""

    scheme: str
    supplied: bool = False
    number: Cell | None = None
    name: Cell | None = None


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int
    category: str
    basis: str
    delimiter: str = ","
    subject: Subject
    furnisher_reference: Cell
    document: Mapping[str, Cell] = {}
    notice: Mapping[str, Cell] = {}
    consent: Mapping[str, Cell] = {}
    fields: Mapping[str, Cell]


_GROUPS = ("document", "notice", "consent", "fields")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """A checked mapping.

    Attributes:
        name: The mapping file's name.
        text: Its text, to say on which line something stands.
        columns: The columns it uses.
    """

    name: str
    text: str
    columns: frozenset[str]
    _file: _File

    @property
    def delimiter(self) -> str:
        """What separates cells."""
        return self._file.delimiter

    @property
    def supplied(self) -> bool:
        """Whether the caller supplies identities."""
        return self._file.subject.supplied

    def error(self, problem: str, remedy: str, place: str = "", column: str | None = None) -> MappingError:
        """Returns the error that names the line of a member or column in the mapping."""
        return MappingError(self.name, line_of(self.text, place, column), problem, remedy)

    def submission(
        self, row: int, cells: Mapping[str, str], identity: tuple[str, str] | None
    ) -> dict[str, object]:
        """Makes the submission of one row, still to be checked.

        Args:
            row: The row's number, from 1.
            cells: The row by column.
            identity: Number and name of the person, where the caller supplies them.

        Raises:
            RefusedError: A cell does not fit (6.1 to 6.3).
        """
        file = self._file
        subject: dict[str, object] = {"scheme": file.subject.scheme}
        if identity is not None:
            subject["number"], subject["name"] = identity
        else:
            parts = {"number": file.subject.number, "name": file.subject.name}
            subject |= _present(row, cells, {name: cell for name, cell in parts.items() if cell is not None})
        made: dict[str, object] = {"subject": subject, "category": file.category, "basis": file.basis}
        made |= _present(row, cells, {"furnisher_reference": file.furnisher_reference})
        for group in _GROUPS:
            members = _present(row, cells, getattr(file, group))
            if members or group == "fields":
                made[group] = members
        return made


def load_mapping(path: Path, catalogue: Catalogue) -> ColumnMapping:
    """Reads a mapping file and checks it against the catalogue.

    Raises:
        MappingError: It cannot be read, is malformed, or maps what the catalogue does not hold.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(
            path.name, 0, "the mapping file cannot be read", "Give a file in UTF-8."
        ) from error
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise MappingError(
            path.name, 0, f"the mapping is malformed: {error}", "Correct it; SUBMISSION.md has an example."
        ) from error
    columns = frozenset(cell.column for _, cell in _all_cells(file) if cell.column is not None)
    mapping = ColumnMapping(path.name, text, columns, file)
    _check(mapping, file, catalogue)
    return mapping


def line_of(text: str, place: str = "", column: str | None = None) -> int:
    """Returns the line, from 1, on which a mapping first names a column, or a member as `fields.type`.

    Of a member that stands inside another's line it is that line; 0 where nothing is found.
    """
    lines: dict[str, int] = {}
    table = ""
    named = re.compile(rf"""column\s*=\s*["']{re.escape(column or "")}["']""")
    for number, line in enumerate(text.splitlines(), 1):
        if column and named.search(line):
            return number
        if header := _TABLE.match(line):
            table = f"{header[1]}."
            lines.setdefault(header[1], number)
        elif key := _KEY.match(line):
            lines.setdefault(table + key[1], number)
    while place and place not in lines:
        place = place.rpartition(".")[0]
    return lines.get(place, 0)


def _all_cells(file: _File) -> Iterator[tuple[str, Cell]]:
    yield "furnisher_reference", file.furnisher_reference
    for part, cell in (("number", file.subject.number), ("name", file.subject.name)):
        if cell is not None:
            yield f"subject.{part}", cell
    for group in _GROUPS:
        members: Mapping[str, Cell] = getattr(file, group)
        for name, cell in members.items():
            yield f"{group}.{name}", cell


def _check(mapping: ColumnMapping, file: _File, catalogue: Catalogue) -> None:
    category = catalogue.categories.get(file.category)
    if file.schema != 1:
        raise mapping.error("the schema is not 1", "Write schema = 1, or upgrade the vault.", "schema")
    if category is None:
        known = ", ".join(catalogue.categories)
        raise mapping.error("the catalogue has no such category", f"Use one of {known}.", "category")
    if file.basis not in category.bases:
        allowed = ", ".join(category.bases)
        raise mapping.error("the basis is not allowed for this category", f"Cite one of {allowed}.", "basis")
    if len(file.delimiter) != 1 or file.delimiter in '"\r\n':
        raise mapping.error("the delimiter is none", 'Use one character, as "," or ";".', "delimiter")
    if file.subject.supplied == (file.subject.number is not None):
        raise mapping.error(
            "the rows' identities have no source, or two",
            "Set subject.supplied = true, or give subject.number a column.",
            "subject",
        )
    for place, cell in _all_cells(file):
        _check_cell(mapping, place, cell, catalogue)
    _check_fields(mapping, file, category)


def _check_cell(mapping: ColumnMapping, place: str, cell: Cell, catalogue: Catalogue) -> None:
    sources = [cell.value, cell.template, cell.sha256_of, cell.column]
    if sum(source is not None for source in sources) != 1:
        raise mapping.error(
            f"{place} has no source, or more than one",
            "Give one of value, template, sha256_of and column.",
            place,
            cell.column,
        )
    if cell.value is not None and not isinstance(cell.value, str | int | date):
        raise mapping.error(
            f"the value of {place} is of no kind a member has",
            "Give text, a whole number, a boolean or a date.",
            place,
            cell.column,
        )
    ways = [cell.values, cell.classes, cell.months_after]
    used = sum(way is not None for way in ways)
    if used > 1 or (used and (cell.column is None or cell.kind != "text")):
        raise mapping.error(
            f"{place} is read in more than one way",
            "Give one of kind, values, classes and months_after, with a column.",
            place,
            cell.column,
        )
    if cell.kind not in {"text", "integer", "boolean", "date"}:
        raise mapping.error(
            f"the kind of {place} is unknown", "Use text, integer, boolean or date.", place, cell.column
        )
    bounds = [step.below for step in cell.classes or ()]
    rising = [bound for bound in bounds[:-1] if bound is not None]
    if cell.classes is not None and (
        not bounds
        or bounds[-1] is not None
        or len(rising) != len(bounds) - 1
        or rising != sorted(set(rising))
    ):
        raise mapping.error(
            f"the classes of {place} do not cover every number once",
            "Let below rise from step to step, and leave it out in the last.",
            place,
            cell.column,
        )
    kind = catalogue.screen.name(cell.column) if cell.column is not None else None
    if kind is not None:
        raise mapping.error(
            f"the column {cell.column} may not be stored: {why(kind)}",
            "Take it out of the mapping.",
            place,
            cell.column,
        )


def _check_fields(mapping: ColumnMapping, file: _File, category: Category) -> None:
    for name, cell in file.fields.items():
        field = category.fields.get(name)
        place = f"fields.{name}"
        if field is None:
            known = ", ".join(category.fields)
            raise mapping.error(f"{category.code} has no field {name}", f"Use {known}.", place, cell.column)
        targets = [*(cell.values or {}).values(), *(step.value for step in cell.classes or ())]
        if field.values and not all(target in field.values for target in targets):
            raise mapping.error(
                f"the table of {name} leads to a value the field cannot take",
                f"Use {', '.join(field.values)}.",
                place,
                cell.column,
            )
    missing = [name for name, field in category.fields.items() if field.required and name not in file.fields]
    if missing:
        raise mapping.error(f"{category.code} needs {', '.join(missing)}", "Map it.", "fields")


def _present(row: int, cells: Mapping[str, str], members: Mapping[str, Cell]) -> dict[str, object]:
    """Makes the values of a group's members, leaving out optional ones whose cell is empty."""
    made: dict[str, object] = {}
    for name, cell in members.items():
        if cell.column is None:
            made[name] = _without_column(cell, row)
            continue
        text = cells[cell.column].strip()
        if text:
            made[name] = _from_column(cell, cell.column, text)
        elif not cell.optional:
            raise RefusedError(
                cell.column, "6.1", "Fill the cell, or make the member optional in the mapping."
            )
    return made


def _without_column(cell: Cell, row: int) -> object:
    if cell.template is not None:
        return cell.template.replace("{row}", str(row))
    if cell.sha256_of is not None:
        return hashlib.sha256(cell.sha256_of.replace("{row}", str(row)).encode()).hexdigest()
    return cell.value.isoformat() if isinstance(cell.value, date) else cell.value


def _from_column(cell: Cell, column: str, text: str) -> Scalar:
    if cell.values is not None:
        if text not in cell.values:
            raise RefusedError(column, "6.2", "Use a value the mapping's table lists, or add it there.")
        return cell.values[text]
    if cell.classes is not None:
        return _class_of(cell.classes, column, text)
    if cell.months_after is not None:
        if not _MONTHS.fullmatch(text):
            raise RefusedError(column, "6.3", "Give a whole number of months.")
        return add_months(cell.months_after, int(text)).isoformat()
    if cell.kind == "integer":
        if not _NUMBER.fullmatch(text) or "." in text:
            raise RefusedError(column, "6.3", "Give a whole number.")
        return int(text)
    if cell.kind == "boolean":
        if text.casefold() not in _BOOLEANS:
            raise RefusedError(column, "6.3", "Give true or false.")
        return _BOOLEANS[text.casefold()]
    return text


def _class_of(classes: tuple[Step, ...], column: str, text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise RefusedError(column, "6.3", "Give a number, with a point before decimals.")
    number = Decimal(text)
    for step in classes:
        if step.below is not None and number < Decimal(step.below):
            return step.value
    return classes[-1].value
