"""Where streams stand, found from the labels of the entries alone (FORMAT 3).

Labels of a stream run from 1 in each month without a gap, so the newest entry of a month is found by asking
for one number after another, and whether a month has any by asking for its first. Payloads are not needed:
this is how streams are restored when payloads were lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels
from access_log.archive import Archive
from access_log.merkle import leaf_hash
from access_log.sequence import Place

ABREAST: Final = 1000
"""Streams that are asked about in one statement."""

_WIDEST: Final = 256
_MONTHS: Final = 12
_YEAR: Final = 100
_BY_LABEL: Final = text(
    "SELECT index, entry FROM access_log.entry"
    " WHERE log = :log AND substring(entry from 43 for 32) = ANY(:labels)"
)

Found = tuple[int, bytes]
"""Index and bytes of an entry."""
Find = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, Found]]]
MonthKey = Callable[[bytes, int], bytes]


def finder(connection: AsyncConnection, log: int, archive: Archive | None) -> Find:
    """Finds entries by their labels, through the index over them; archived ones through the archive's own."""

    async def find(sought: Sequence[bytes]) -> Mapping[bytes, Found]:
        rows = await connection.execute(_BY_LABEL, {"log": log, "labels": list(sought)})
        found = {row[1][42:74]: (row[0], row[1]) for row in rows}
        if archive is not None and len(found) < len(sought):
            missing = [label for label in sought if label not in found]
            archived = await asyncio.to_thread(archive.find, missing)
            found |= {raw[42:74]: (index, raw) for index, raw in archived.items()}
        return found

    return find


@dataclass
class Walk:
    """One stream on its way from where it stood to where it stands.

    Attributes:
        stream: Its id.
        place: The newest place found so far.
        months: The months still to be asked about, the next one first; the first goes on after `place`.
        met: Indexes of the entries it passed.
        width: How many numbers it asks for at once: more the longer it goes on without a gap.
    """

    stream: bytes
    place: Place
    months: Sequence[int]
    met: list[int] = field(default_factory=list)
    width: int = 1

    def sought(self) -> range:
        """The numbers to ask for in the month at hand."""
        first = self.place.seq + 1 if self.place.month == self.months[0] else 1
        return range(first, first + self.width)

    def step(self, found: Sequence[Found | None]) -> None:
        """Goes on to what was found, as far as it has no gap, and past the month's end to the next."""
        for seq, each in zip(self.sought(), found, strict=True):
            if each is None:
                self.months, self.width = self.months[1:], 1
                return
            index, entry = each
            self.place = Place(self.months[0], seq, leaf_hash(entry))
            self.met.append(index)
        self.width = min(2 * self.width, _WIDEST)


async def advance(walks: Sequence[Walk], find: Find, month_key: MonthKey) -> None:
    """Brings every stream to where it stands, all abreast: one statement for each step."""
    keys: dict[tuple[bytes, int], bytes] = {}
    going = [one for one in walks if one.months]
    while going:
        sought: list[list[bytes]] = []
        for one in going:
            at = (one.stream, one.months[0])
            if at not in keys:
                keys[at] = month_key(*at)
            sought.append([labels.label(keys[at], seq) for seq in one.sought()])
        found = await find([label for each in sought for label in each])
        for one, asked in zip(going, sought, strict=True):
            one.step([found.get(label) for label in asked])
        going = [one for one in going if one.months]


def months_between(first: int, last: int) -> list[int]:
    """The months yyyymm from one to another, both included; none if the first is the later one."""
    start, end = _count(first), _count(last)
    return [at // _MONTHS * _YEAR + at % _MONTHS + 1 for at in range(start, end + 1)]


def _count(month: int) -> int:
    return month // _YEAR * _MONTHS + month % _YEAR - 1
