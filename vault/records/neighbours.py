"""Neighbours by identity number: somebody goes through numbers one after the other.

No entry and no table holds an identity number, so this alone is told while a query is answered, from the
numbers of ten minutes in the memory of one worker. What leaves it is a flag with indexes of entries.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from vault.crypto.blind import Identifier
from vault.records.watch import MOST_ENTRIES, NEIGHBOURS, WINDOW, Flag

_NEAR: Final = 20
"""How far apart neighbours are. The last digit before the check digit tells the sex: some differ by two."""
_MOST_OF_ONE: Final = 500
_MOST_OFFICERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    index: int
    at: float


@dataclass(slots=True)
class _Officer:
    """What one officer asked about lately: in the order of time, and the newest of each number."""

    asked: deque[_Asked] = field(default_factory=deque)
    newest: dict[int, _Asked] = field(default_factory=dict)
    quiet_until: float = 0.0

    def see(self, one: _Asked) -> None:
        """Takes a number in, and lets those go that are too old or too many."""
        since = one.at - WINDOW.total_seconds()
        while self.asked and (self.asked[0].at <= since or len(self.asked) == _MOST_OF_ONE):
            gone = self.asked.popleft()
            if self.newest[gone.number] is gone:
                del self.newest[gone.number]
        self.asked.append(one)
        self.newest[one.number] = one

    def near(self, number: int) -> list[int]:
        """The entries of the neighbours of a number, and its own."""
        around = range(number - _NEAR, number + _NEAR + 1)
        return [self.newest[one].index for one in around if one in self.newest]


class Neighbours:
    """The numbers officers asked about lately.

    Args:
        many: from how many neighbours on it is flagged.
    """

    def __init__(self, many: int) -> None:
        self._many = many
        self._officers: OrderedDict[tuple[UUID, str], _Officer] = OrderedDict()

    def __repr__(self) -> str:
        return "Neighbours()"

    def see(
        self, body_id: UUID, officer_id: UUID, identifier: Identifier, index: int, now: float
    ) -> Flag | None:
        """Takes one logged query in; a flag if it is one neighbour too many.

        Args:
            body_id: who asked.
            officer_id: the officer named.
            identifier: of the person asked about, known here or not.
            index: of the query's entry.
            now: seconds on a clock that is never set.
        """
        digits = identifier.number[:-1]
        if not digits.isdigit():
            return None
        officer = self._officer(officer_id, identifier.scheme)
        officer.see(_Asked(int(digits), index, now))
        near = officer.near(int(digits))
        if len(near) < self._many:
            return None
        quiet, officer.quiet_until = now < officer.quiet_until, now + WINDOW.total_seconds()
        return None if quiet else _flag(body_id, officer_id, near)

    def _officer(self, officer_id: UUID, scheme: str) -> _Officer:
        key = (officer_id, scheme)
        officer = self._officers.setdefault(key, _Officer())
        self._officers.move_to_end(key)
        if len(self._officers) > _MOST_OFFICERS:
            self._officers.popitem(last=False)
        return officer


def _flag(body_id: UUID, officer_id: UUID, entries: Collection[int]) -> Flag:
    return Flag(
        NEIGHBOURS, str(body_id), str(officer_id), tuple(sorted(entries)[-MOST_ENTRIES:]), len(entries)
    )
