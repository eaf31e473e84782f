"""What commands print: one JSON document, or lines and tables for people."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

_WIDE = 1_000
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def examples(*commands: str) -> str:
    """The last lines of a help page: commands as one would type them."""
    return "\n\n".join(f"Example: `{command}`" for command in commands)


def progress(what: str) -> Progress:
    """A bar on a terminal, on standard error; silence anywhere else. It has one task."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    bar.add_task(what)
    return bar


def print_json(value: object) -> None:
    """Prints one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; its cells are text, never markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # A pipe has no width: nothing is folded there, so that lines can be searched.
    width = None if sys.stdout.isatty() else _WIDE
    Console(markup=False, highlight=False, width=width).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(sorted(map(str, value)))
    return str(value)


def _plain(value: Any) -> object:  # noqa: ANN401 -- whatever a register holds
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    # Dataclasses and structs, with the dates and ids inside them.
    return msgspec.to_builtins(value, enc_hook=_plain, order="deterministic")
