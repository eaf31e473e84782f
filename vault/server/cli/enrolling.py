"""`creditvault enrol`: a file of records into the vault, row by row, as often as needed."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, Self
from uuid import UUID

import typer
from rich.progress import Progress

from access_log.log import Writing
from consent import bodies
from consent.errors import StateError
from vault.records.enrol import Enrolled, Furnisher, RowResult
from vault.records.mapping import load_mapping
from vault.records.readers import ColumnReport, CsvReader, Row, read_ndjson
from vault.records.submission import Accepted, Rejected
from vault.records.whole import WholeFile
from vault.server.assembly import Vault
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.portal.fictitious import fictitious_identity

SOME_REJECTED = 1
_NDJSON = (".ndjson", ".jsonl")
_CSV = ".csv"
_REASONS = 10


class Tally:
    """Counts what became of the rows, and writes the rejected ones to a file as they come."""

    def __init__(self, rejects: Path) -> None:
        self.enrolled = 0
        self.standing = 0
        self.passed = 0
        self.rejected = 0
        self.reasons: Counter[tuple[str, str, str]] = Counter()
        self._path = rejects
        self._new = rejects.with_name(rejects.name + ".new")

    @contextmanager
    def writing(self) -> Iterator[Self]:
        """Takes results in. The file takes its name once the whole input was read, never half written."""
        try:
            with self._new.open("w", encoding="utf-8") as self._file:
                yield self
            if self.rejected:
                self._new.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)  # of an earlier run, before the rows were mended
        finally:
            self._new.unlink(missing_ok=True)

    def forget(self) -> None:
        """Begins to count anew, after a run that only looked; no row was rejected."""
        self.enrolled = self.standing = 0

    def keep_none(self) -> None:
        """None of the good rows was enrolled, because of the others."""
        self.passed, self.enrolled = self.enrolled, 0

    def count(self, result: RowResult | Accepted) -> None:
        """Takes one row's result; a rejected row is written with line, column, rule and remedy."""
        if isinstance(result, Rejected):
            self.rejected += 1
            self.reasons[result.column, result.rule, result.remedy] += 1
            self._file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        elif isinstance(result, Enrolled) and not result.new:
            self.standing += 1
        else:
            self.enrolled += 1


class ActiveFurnisher:
    """Checked under the head lock of every chunk: a body suspended meanwhile hands in nothing more."""

    def __init__(self, body_id: UUID) -> None:
        self._body_id = body_id

    async def __call__(self, writing: Writing) -> None:
        """Checks the body.

        Raises:
            StateError: it may not furnish now.
        """
        body = await bodies.read_body(writing.connection, self._body_id)
        if body is None or body.status != "active" or "furnish" not in body.capacities:
            raise StateError("this body may not furnish now: see `creditvault body list`")

    def committed(self) -> None:
        """Nothing of its own was written."""


def enrol(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV (.csv), or NDJSON (.ndjson, .jsonl).")
    ],
    body: Annotated[UUID, typer.Option(help="Id of the furnishing body.")],
    mapping: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="For CSV: which columns make which members."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows are listed. Default: FILE.rejects.ndjson.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, enrol none.")] = False,
    whole: Annotated[
        bool, typer.Option("--all-or-nothing", help="Enrol none unless every row passes every check.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Enrol records from a file. Good rows are kept, bad ones listed; the same file again changes nothing.

    Exit code 1 means that some rows were rejected. With `--all-or-nothing` the file is read twice: rows are
    enrolled once all have passed. A run that was interrupted is done again, and goes on where it ended.

    Example: `creditvault enrol contracts.csv --mapping contracts.mapping.toml --body ID`
    """
    _check_suffix(file, mapping)
    listed = rejects or file.with_name(file.name + ".rejects.ndjson")
    tally = Tally(listed)

    async def work(vault: Vault) -> tuple[ColumnReport, ...]:
        async with vault.engine.connect() as connection:
            furnishing = await bodies.read_body(connection, body)
        if furnishing is None or furnishing.status != "active" or "furnish" not in furnishing.capacities:
            raise typer.BadParameter("no active body that may furnish has this id", param_hint="--body")
        run = _Run(vault, body, file, mapping, tally)
        if whole:
            return await run.whole(dry_run=dry_run)
        return run.check() if dry_run else await run.row_by_row()

    columns = with_vault(work)
    if whole and tally.rejected and not dry_run:
        tally.keep_none()
    if as_json:
        _print(tally, columns, dry_run=dry_run, rejects=listed)
    else:
        _tell(tally, columns, dry_run=dry_run, rejects=listed)
    raise typer.Exit(SOME_REJECTED if tally.rejected else 0)


def _check_suffix(file: Path, mapping: Path | None) -> None:
    suffix = file.suffix.lower()
    if suffix not in (_CSV, *_NDJSON):
        raise typer.BadParameter("give a .csv, .ndjson or .jsonl file", param_hint="FILE")
    if (mapping is None) == (suffix == _CSV):
        raise typer.BadParameter("a CSV file needs one, an NDJSON file has none", param_hint="--mapping")


class _Run:
    """One file on its way in."""

    def __init__(self, vault: Vault, body: UUID, file: Path, mapping: Path | None, tally: Tally) -> None:
        self._vault = vault
        self._furnisher = Furnisher(body, operator().name, operator().role)
        self._guard = ActiveFurnisher(body)
        self._file = file
        self._mapping = mapping
        self._tally = tally

    def check(self) -> tuple[ColumnReport, ...]:
        """Checks every row, and enrols none."""
        with self._source("checking") as source, self._tally.writing():
            for row in source.rows():
                self._tally.count(row if isinstance(row, Rejected) else self._vault.intake.check(row))
            return source.columns()

    async def row_by_row(self) -> tuple[ColumnReport, ...]:
        """Enrols good rows, and lists bad ones."""
        with self._source("enrolling") as source, self._tally.writing():
            taken = self._vault.intake.take_in(source.rows(), self._furnisher, guard=self._guard)
            async for result in taken:
                self._tally.count(result)
            return source.columns()

    async def whole(self, *, dry_run: bool) -> tuple[ColumnReport, ...]:
        """Checks every row, and enrols them where all pass."""
        vault = self._vault
        entire = WholeFile(vault.engine, vault.intake, vault.enrolment, self._furnisher)
        with self._source("checking") as source, self._tally.writing():
            async for result in entire.examine(source.rows()):
                self._tally.count(result)
            columns = source.columns()
        if dry_run:
            return columns
        if self._tally.rejected:
            await entire.turn_away(self._guard)
            return columns
        self._tally.forget()
        with self._source("enrolling") as source:
            async for result in entire.enrol(source.rows(), self._guard):
                self._tally.count(result)
        return columns

    def _source(self, what: str) -> "AbstractContextManager[_Source]":
        return _Source.open(self._file, self._mapping, self._vault, what)


class _Source:
    """A file of records being read, while a bar follows how much of it was."""

    def __init__(self, stream: BinaryIO, reader: CsvReader | Iterator[Row | Rejected], bar: Progress) -> None:
        self._stream = stream
        self._reader = reader
        self._bar = bar

    @classmethod
    @contextmanager
    def open(cls, file: Path, mapping: Path | None, vault: Vault, what: str) -> Iterator[Self]:
        """Opens it; `what` stands beside the bar.

        Raises:
            MappingError: it does not fit its mapping.
        """
        with file.open("rb") as stream, progress(what) as bar:
            bar.update(bar.task_ids[0], total=file.stat().st_size)
            yield cls(stream, _reader(stream, mapping, vault), bar)

    def rows(self) -> Iterator[Row | Rejected]:
        """The rows, read or turned away."""
        for row in self._reader:
            yield row
            self._bar.update(self._bar.task_ids[0], completed=self._stream.tell())

    def columns(self) -> tuple[ColumnReport, ...]:
        """What became of each column of a CSV file; none of another."""
        return self._reader.columns() if isinstance(self._reader, CsvReader) else ()


def _reader(stream: BinaryIO, mapping: Path | None, vault: Vault) -> CsvReader | Iterator[Row | Rejected]:
    if mapping is None:
        return read_ndjson(stream)
    columns = load_mapping(mapping, vault.catalogue)
    # Invented people are for a demo alone; elsewhere the reader refuses a mapping without identities.
    invented = fictitious_identity if columns.supplied and vault.settings.demo else None
    return CsvReader(stream, columns, vault.catalogue, invented)


def _print(tally: Tally, columns: Iterable[ColumnReport], *, dry_run: bool, rejects: Path) -> None:
    print_json(
        {
            "dry_run": dry_run,
            "enrolled": tally.enrolled,
            "standing": tally.standing,
            "passed": tally.passed,
            "rejected": tally.rejected,
            "rejects": str(rejects) if tally.rejected else None,
            "reasons": [
                {"column": column, "rule": rule, "remedy": remedy, "rows": rows}
                for (column, rule, remedy), rows in tally.reasons.most_common(_REASONS)
            ],
            "columns": [asdict(column) for column in columns],
        }
    )


def _tell(tally: Tally, columns: Iterable[ColumnReport], *, dry_run: bool, rejects: Path) -> None:
    uses: dict[str, list[ColumnReport]] = {}
    for column in columns:
        uses.setdefault(column.use, []).append(column)
    for use, words in (("mapped", "mapped"), ("unmapped", "not mapped, never stored")):
        if use in uses:
            typer.echo(f"{words}: {', '.join(column.column for column in uses.pop(use))}")
    for one in (each for refused in uses.values() for each in refused):
        typer.echo(f"refused, never stored: {one.column} ({one.rows:,} rows): {one.reason}")
    for (place, rule, remedy), rows in tally.reasons.most_common(_REASONS):
        typer.echo(f"rejected by rule {rule}: {place or 'the whole line'} ({rows:,} rows): {remedy}")
    done = "would be enrolled" if dry_run else "enrolled"
    typer.echo(f"{tally.enrolled:,} {done}, {tally.standing:,} stood already, {tally.rejected:,} rejected")
    if tally.passed:
        typer.echo(f"{tally.passed:,} more would pass: none is enrolled while others are rejected")
    if tally.rejected:
        typer.echo(f"rejected rows, with what to do: {rejects}")
