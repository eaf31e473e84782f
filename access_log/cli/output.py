"""What a command says: in words or JSON, with an exit code, and how far it is (FORMAT 10.4)."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final, TextIO

from access_log.contradiction import ContradictionError
from access_log.errors import AccessLogError, VerificationError
from access_log.payload import JSON
from access_log.verify import Progress

GOOD: Final = 0
TAMPERED: Final = 1
UNREADABLE: Final = 2

_REDRAW: Final = 0.1
_ETA_AFTER: Final = 2.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found.

    Attributes:
        found: The members of its JSON object, beside `ok`.
        words: The same in plain words; what others wrote in it has gone through `plain`.
        bad: Whether what was checked is not good, although there is more to say than a reason; then `found`
            has `index` and `reason` among its members.
    """

    found: dict[str, JSON]
    words: str
    bad: bool = False


def told(report: Report, *, as_json: bool) -> int:
    """Print what was found, and return the exit code."""
    verdict: dict[str, JSON] = {"ok": False, "tampered": True} if report.bad else {"ok": True}
    _print(json.dumps({**verdict, **report.found}) if as_json else report.words)
    return TAMPERED if report.bad else GOOD


def does_not_verify(error: AccessLogError, *, as_json: bool) -> int:
    """Print what does not verify, with the evidence where there is some, and return the exit code."""
    _print(json.dumps(finding_of(error)) if as_json else "\n".join(_in_words(error)))
    return TAMPERED


def finding_of(error: AccessLogError) -> dict[str, JSON]:
    """The JSON object of what does not verify."""
    found: dict[str, JSON] = {
        "ok": False,
        "tampered": True,
        "index": error.index if isinstance(error, VerificationError) else None,
        "reason": error.reason if isinstance(error, VerificationError) else str(error),
    }
    if isinstance(error, ContradictionError):
        found |= {"kind": error.kind.value, "evidence": list(error.evidence)}
    return found


def _in_words(error: AccessLogError) -> Iterator[str]:
    yield f"Does not verify: {plain(str(error))}."
    if isinstance(error, ContradictionError):
        for note, which in zip(error.evidence, ("known before", "found now"), strict=True):
            yield f"\nEvidence, the checkpoint {which}, as it was signed:\n"
            yield from map(plain, note.splitlines())


def cannot_tell(message: str, *, as_json: bool) -> int:
    """Print why there is no verdict, and return the exit code."""
    if as_json:
        _print(json.dumps({"ok": False, "tampered": False, "index": None, "reason": message}))
    else:
        complain(message)
    return UNREADABLE


def complain(message: str) -> None:
    """Say in one line, beside what is found, that something failed."""
    sys.stderr.write(f"access_log: {plain(message)}\n")


def iso(time: int) -> str:
    """Write milliseconds since the epoch as a date and time."""
    moment = _EPOCH + timedelta(milliseconds=time)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """Show what others wrote without letting it steer the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


@contextmanager
def progress(what: str = "entries") -> Iterator[Progress]:
    """Show how far long work is, on a terminal only; the line is gone afterwards.

    Args:
        what: What is counted.
    """
    bar = _Bar(sys.stderr, what)
    try:
        yield bar.show
    finally:
        bar.clear()


class _Bar:
    """Progress on a terminal; silence anywhere else."""

    def __init__(self, stream: TextIO, what: str) -> None:
        self._stream = stream if stream.isatty() else None
        self._what = what
        self._started = 0.0
        self._drawn = -_REDRAW
        self._first: int | None = None

    def show(self, done: int, of: int) -> None:
        """Draw how much is done, at most ten times a second."""
        now = monotonic()
        if self._first is None:
            self._first, self._started = done, now
        if self._stream is None or now - self._drawn < _REDRAW:
            return
        self._drawn = now
        left = self._left(done - self._first, of - done, now - self._started)
        self._stream.write(f"\r\x1b[K{done * 100 // max(of, 1):3} %  {done:,} of {of:,} {self._what}{left} ")
        self._stream.flush()

    @staticmethod
    def _left(done: int, more: int, seconds: float) -> str:
        """How long the rest takes if it goes on as it did; nothing before that can be told."""
        if seconds < _ETA_AFTER or done <= 0:
            return ""
        minutes, rest = divmod(round(more * seconds / done), 60)
        return f", {minutes}:{rest:02} left"

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
