"""What about queries strikes one: patterns that people should look at. Pure, and never a reason to refuse.

Told from what the log's payloads say, over the queries of ten minutes. A pattern is flagged once for each
officer (or body) while it lasts, not once for each query of it. The measures are ours, unverified (K), and
settings.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

WINDOW: Final = timedelta(minutes=10)
OUT_OF_HOURS: Final = "out of hours"
MANY_PERSONS: Final = "many persons in a short time"
SAME_PERSON: Final = "the same person again and again"
NEIGHBOURS: Final = "neighbours by identity number"
MOST_ENTRIES: Final = 100
"""Most entries a flag names; it counts them all."""

_WINDOW_MS: Final = int(WINDOW.total_seconds() * 1000)
_SATURDAY: Final = 5
_MOST_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Measures:
    """From when on something strikes one.

    Attributes:
        first_hour: of a working day, in the legal time zone.
        last_hour: the first hour after it.
        many_persons: persons one officer asks about within ten minutes.
        same_person: queries of one body about one person within ten minutes.
        zone: the legal time zone.
    """

    first_hour: int
    last_hour: int
    many_persons: int
    same_person: int
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Seen:
    """One query as its entry states it.

    Attributes:
        time: ms since the epoch.
        subject: the person's id; None for one whom the vault does not know.
    """

    index: int
    time: int
    body: str
    officer: str
    subject: str | None

    @classmethod
    def of(cls, index: int, time: int, values: Mapping[str, Any]) -> "Seen":
        """A query from the attributes of its entry."""
        return cls(index, time, values["body"], values["officer"], values["subject"])


@dataclass(frozen=True, slots=True)
class Flag:
    """A pattern that struck.

    Attributes:
        kind: one of the constants here.
        officer: None where the body as a whole is meant.
        entries: indexes of the queries in it, the newest last, at most `MOST_ENTRIES`.
        count: how many there are.
    """

    kind: str
    body: str
    officer: str | None
    entries: tuple[int, ...]
    count: int


@dataclass(slots=True)
class _Recent:
    """The queries of ten minutes of one officer, or of one body about one person."""

    queries: deque[Seen] = field(default_factory=deque)
    quiet_until: int = 0

    def add(self, seen: Seen) -> None:
        self.queries.append(seen)
        while self.queries[0].time <= seen.time - _WINDOW_MS:
            self.queries.popleft()

    def flag(self, kind: str, officer: str | None) -> Flag | None:
        """The flag of these queries, unless one was raised while the pattern lasts."""
        newest = self.queries[-1]
        quiet, self.quiet_until = newest.time < self.quiet_until, newest.time + _WINDOW_MS
        if quiet:
            return None
        entries = tuple(one.index for one in self.queries)
        return Flag(kind, newest.body, officer, entries[-MOST_ENTRIES:], len(entries))


class Watch:
    """Watches queries in the order of the log."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._officers: dict[str, _Recent] = {}
        self._persons: dict[tuple[str, str], _Recent] = {}
        self._late: dict[str, object] = {}
        self._swept = 0

    def see(self, seen: Seen) -> list[Flag]:
        """What this query makes strike."""
        self._sweep(seen.time)
        found = [self._out_of_hours(seen), self._many_persons(seen), self._same_person(seen)]
        return [flag for flag in found if flag is not None]

    def _out_of_hours(self, seen: Seen) -> Flag | None:
        local = datetime.fromtimestamp(seen.time / 1000, UTC).astimezone(self._measures.zone)
        within = self._measures.first_hour <= local.hour < self._measures.last_hour
        if (within and local.weekday() < _SATURDAY) or self._late.get(seen.officer) == local.date():
            return None
        self._late[seen.officer] = local.date()
        return Flag(OUT_OF_HOURS, seen.body, seen.officer, (seen.index,), 1)

    def _many_persons(self, seen: Seen) -> Flag | None:
        recent = self._officers.setdefault(seen.officer, _Recent())
        recent.add(seen)
        known = {one.subject for one in recent.queries if one.subject is not None}
        # Persons the vault does not know count each by itself: nobody can tell here who they are.
        persons = len(known) + sum(one.subject is None for one in recent.queries)
        return recent.flag(MANY_PERSONS, seen.officer) if persons >= self._measures.many_persons else None

    def _same_person(self, seen: Seen) -> Flag | None:
        if seen.subject is None:
            return None
        recent = self._persons.setdefault((seen.body, seen.subject), _Recent())
        recent.add(seen)
        many = len(recent.queries) >= self._measures.same_person
        return recent.flag(SAME_PERSON, None) if many else None

    def _sweep(self, time: int) -> None:
        """Forgets, once in ten minutes, who has not asked for as long."""
        if time - self._swept < _WINDOW_MS:
            return
        self._swept = time
        old = time - _WINDOW_MS
        self._officers = {
            who: recent for who, recent in self._officers.items() if recent.queries[-1].time > old
        }
        self._persons = {
            who: recent for who, recent in self._persons.items() if recent.queries[-1].time > old
        }
        if len(self._late) > _MOST_REMEMBERED:
            self._late.clear()
