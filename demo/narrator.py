"""Tells the story: chapters, what was done and checked; on a terminal with colours and progress bars."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 120
_INDENT = 3
Advance = Callable[[int], None]


class StoryError(Exception):
    """Something did not come out as the story says; the message says what, in plain words."""


class Narrator:
    """Speaks on standard output."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            # A terminal may lack the letters of a name; whoever reads a pipe wants each line as it is told.
            sys.stdout.reconfigure(errors="replace", line_buffering=True)
        terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, width=None if terminal else _PLAIN_WIDTH)
        self._checks = 0

    @property
    def checks(self) -> int:
        """How many claims of the story were checked, and held."""
        return self._checks

    def chapter(self, number: int, title: str) -> None:
        """Opens a chapter."""
        self._console.print()
        self._console.print(Text(f"{number}. {title}", style="bold"))

    def say(self, words: str) -> None:
        """Tells what happens."""
        self._console.print(Text(f"   {words}"), soft_wrap=True)

    def check(self, holds: bool, words: str) -> None:  # noqa: FBT001 -- reads as a sentence: check(this, "words")
        """States a claim, and ends the story if it does not hold.

        Raises:
            StoryError: it does not hold.
        """
        if not holds:
            self.fail(f"this does not hold: {words}")
        self.held(words)

    def held(self, words: str) -> None:
        """States a claim whose check has just passed."""
        self._checks += 1
        self._console.print(Text("   ✓ ", style="green") + Text(words), soft_wrap=True)

    def fail(self, words: str) -> NoReturn:
        """Ends the story.

        Raises:
            StoryError: always.
        """
        raise StoryError(words)

    def warn(self, words: str) -> None:
        """Says loudly what went wrong."""
        self._console.print(Text(words, style="bold red"), soft_wrap=True)

    def command(self, words: str, command: str) -> None:
        """Shows a command to paste: on a line of its own, never broken and without decoration."""
        self._console.print(Text(f"   {words}"), soft_wrap=True)
        self._console.print(Text(command, style="cyan"), soft_wrap=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Shows rows under a header."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for place, title in enumerate(header):
            table.add_column(title, no_wrap=place == 0, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(Padding(table, (0, 0, 0, _INDENT)))

    @contextmanager
    def progress(self, words: str, total: int) -> Iterator[Advance]:
        """A bar on a terminal; elsewhere nothing, since the line that follows says what was done."""
        with Progress(
            TextColumn("   {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as bars:
            task = bars.add_task(words, total=total)
            yield lambda done: bars.advance(task, done)
