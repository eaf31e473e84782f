"""How fast a body and an officer may ask: a bucket for each, which refills as time passes.

A rate is no rule: it decides nothing about anybody, so what it turns away is no entry. It keeps one client
from taking the others' turns, and whoever stole a key from emptying the vault overnight.

A bucket holds one minute's worth and is told by one moment, that at which it will be full again. It is read
and written with the counters of the batch, under the log's head lock, and so holds across all workers.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rates:
    """Queries a minute; as many may come at once after a minute of rest.

    Attributes:
        body: of one body, all its officers together.
        officer: of one officer.
    """

    body: int
    officer: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A query that came too early.

    Attributes:
        whose: the body or officer whose bucket is empty.
        seconds: until it holds one query again.
    """

    whose: UUID
    seconds: float


class Buckets:
    """The buckets of a batch, in memory; what changed is in `changed`, by whose it is."""

    def __init__(self) -> None:
        self._full_at: dict[UUID, datetime] = {}
        self.changed: dict[UUID, datetime] = {}

    def put(self, whose: UUID, full_at: datetime | None) -> None:
        """Takes over how a bucket stands; None: it is full."""
        if full_at is not None:
            self._full_at[whose] = full_at

    def take(self, taken: tuple[tuple[UUID, int], ...], now: datetime) -> Wait | None:
        """Takes one query out of each of these buckets, or out of none.

        Args:
            taken: whose, and the queries a minute.
            now: the moment.
        """
        filled: dict[UUID, datetime] = {}
        for whose, a_minute in taken:
            one = _MINUTE / a_minute
            # A bucket that would fill later than an empty one was left by a clock that has been set back.
            full_at = min(max(self._full_at.get(whose, now), now), now + _MINUTE) + one
            if full_at - now > _MINUTE:
                return Wait(whose, (full_at - now - _MINUTE).total_seconds())
            filled[whose] = full_at
        self._full_at |= filled
        self.changed |= filled
        return None
