"""How far long work is."""

import io
import sys

import pytest

from access_log.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_time_that_is_left_is_told_once_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), iter([0.0, 10.0, 100.0, 100.01])
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "monotonic", lambda: next(clock))
    with output.progress("steps") as show:
        show(500, 2000)  # Where a run that goes on from another begins.
        show(600, 2000)
        show(1000, 2000)
        show(1001, 2000)
    drawn = [line.strip() for line in terminal.getvalue().replace("\x1b[K", "").split("\r") if line.strip()]
    assert drawn == [
        "25 %  500 of 2,000 steps",
        "30 %  600 of 2,000 steps, 2:20 left",
        "50 %  1,000 of 2,000 steps, 3:20 left",
    ]
    assert terminal.getvalue().endswith("\r\x1b[K")
