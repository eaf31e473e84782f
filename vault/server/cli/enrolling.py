"""`creditvault enrol`: a file of records into the vault, row by row, as often as needed."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from consent import bodies
from vault.records.enrol import Enrolled, Furnisher, RowResult
from vault.records.mapping import load_mapping
from vault.records.readers import ColumnReport, CsvReader, Row, read_ndjson
from vault.records.submission import Accepted, Rejected
from vault.server.assembly import Vault
from vault.server.cli.acting import operator, with_vault
from vault.server.cli.output import AsJson, print_json

SOME_REJECTED = 1
_NDJSON = (".ndjson", ".jsonl")


class Tally:
    """Counts what became of the rows, and writes the rejected ones to a file as they come."""

    def __init__(self, rejects: Path) -> None:
        self.enrolled = 0
        self.standing = 0
        self.rejected = 0
        self._path = rejects
        self._file = rejects.open("w")

    def count(self, result: RowResult | Accepted) -> None:
        """Takes one row's result; a rejected row is written with line, column, rule and remedy."""
        if isinstance(result, Rejected):
            self.rejected += 1
            self._file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        elif isinstance(result, Enrolled) and not result.new:
            self.standing += 1
        else:
            self.enrolled += 1

    def close(self) -> None:
        """Closes the file; removes it where nothing was rejected."""
        self._file.close()
        if not self.rejected:
            self._path.unlink()


def enrol(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, or NDJSON by its suffix.")],
    body: Annotated[UUID, typer.Option(help="Id of the furnishing body.")],
    mapping: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="For CSV: which columns make which members."),
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows are listed.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Enrol records from a file. Good rows are kept, bad ones listed; the same file again changes nothing.

    Exit code 1 means that some rows were rejected.

    Example: `creditvault enrol contracts.csv --mapping contracts.mapping.toml --body ID`
    """
    if (mapping is None) != (file.suffix in _NDJSON):
        raise typer.BadParameter(
            "a CSV file needs one, an NDJSON file (.ndjson, .jsonl) has none", param_hint="--mapping"
        )
    listed = rejects or file.with_name(file.name + ".rejects.ndjson")
    tally = Tally(listed)

    async def work(vault: Vault) -> tuple[ColumnReport, ...]:
        async with vault.engine.connect() as connection:
            furnishing = await bodies.read_body(connection, body)
        if furnishing is None or furnishing.status != "active" or "furnish" not in furnishing.capacities:
            raise typer.BadParameter("no active body that may furnish has this id", param_hint="--body")
        with file.open("rb") as stream, _bar(file) as bar:
            reader = _reader(stream, mapping, vault)
            rows = _watched(reader, stream, bar)
            if dry_run:
                for row in rows:
                    tally.count(row if isinstance(row, Rejected) else vault.intake.check(row))
            else:
                furnisher = Furnisher(body, operator().name, operator().role)
                async for result in vault.intake.take_in(rows, furnisher):
                    tally.count(result)
            return reader.columns() if isinstance(reader, CsvReader) else ()

    with closing(tally):
        columns = with_vault(work)
    _tell(tally, columns, dry_run=dry_run, as_json=as_json, rejects=listed)
    raise typer.Exit(SOME_REJECTED if tally.rejected else 0)


def _reader(stream: BinaryIO, mapping: Path | None, vault: Vault) -> CsvReader | Iterator[Row | Rejected]:
    if mapping is None:
        return read_ndjson(stream)
    return CsvReader(stream, load_mapping(mapping, vault.catalogue), vault.catalogue)


def _watched(rows: Iterable[Row | Rejected], stream: BinaryIO, bar: Progress) -> Iterator[Row | Rejected]:
    """The rows, while the bar follows how much of the file was read."""
    task = bar.tasks[0].id
    for row in rows:
        yield row
        bar.update(task, completed=stream.tell())


def _bar(file: Path) -> Progress:
    bar = Progress(
        TextColumn("enrolling"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    bar.add_task("", total=file.stat().st_size)
    return bar


def _tell(
    tally: Tally, columns: Iterable[ColumnReport], *, dry_run: bool, as_json: bool, rejects: Path
) -> None:
    reports = [asdict(column) for column in columns]
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "enrolled": tally.enrolled,
                "standing": tally.standing,
                "rejected": tally.rejected,
                "rejects": str(rejects) if tally.rejected else None,
                "columns": reports,
            }
        )
        return
    for column in reports:
        if column["use"] != "mapped":
            typer.echo(
                f"column {column['column']}: {column['use']}, {column['rows']} rows: {column['reason']}"
            )
    done = "would be enrolled" if dry_run else "enrolled"
    typer.echo(f"{tally.enrolled} {done}, {tally.standing} stood already, {tally.rejected} rejected")
    if tally.rejected:
        typer.echo(f"rejected rows: {rejects}")
