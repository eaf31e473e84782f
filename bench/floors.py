"""What a figure must reach, and how fast this machine is while it is measured.

The floors were set on a machine that hashes `REFERENCE` entries a second. A shared machine may be three
times slower on another day, so the bare hashing of entries is measured before and after each figure, and a
figure that misses its floor is judged again at the speed of the reference: a slow machine is told from a
slow release.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from statistics import median
from typing import Final, ParamSpec, TypeVar

from access_log.entry import SIZE

REFERENCE: Final = 1_100_000
"""Entries hashed a second by the machine on which the floors were set."""

_ENTRIES: Final = 10_000
_LONG: Final = 100
_TIMES: Final = 5
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Speed:
    """Entries one process hashes in a second that passes, and in a second of its processor time."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Speed":
        """Measured here, in a fraction of a second."""
        entries = [bytes(SIZE)] * _ENTRIES
        walls, cpus = [], []
        for _ in range(_TIMES):
            wall, cpu = time.perf_counter(), time.process_time()
            hash_only(entries)
            walls.append(_ENTRIES / (time.perf_counter() - wall))
            cpus.append(_ENTRIES / (time.process_time() - cpu))
        return cls(median(walls), median(cpus))

    def and_then(self, later: "Speed") -> "Speed":
        """The mean of both."""
        return Speed((self.wall + later.wall) / 2, (self.cpu + later.cpu) / 2)


@dataclass(frozen=True)
class Floor:
    """A bound of one figure.

    Attributes:
        bound: what it must reach; of a time or a size, what it may not pass.
        most: whether it is such a time or size.
        cpu: whether it counts processor time.
        scales: whether a faster machine would do better: a ratio, or memory, does not.
    """

    bound: float
    most: bool = False
    cpu: bool = False
    scales: bool = True

    def verdict(self, figure: float, speed: Speed) -> str:
        """Whether the figure reaches it, on a machine that was so fast meanwhile."""
        name = f"{'bar' if self.most else 'floor'} {self.bound:,g}"
        if self._reached(figure):
            return f"{name}: reached"
        if not self.scales:
            return f"{name}: NOT reached"
        part = (speed.cpu if self.cpu else speed.wall) / REFERENCE
        there = figure * part if self.most else figure / part
        judged = "reached" if self._reached(there) else "NOT reached"
        shown = f"{there:,.0f}" if there >= _LONG else f"{there:.3g}"
        return f"{name}: {judged} at the reference's speed, as {shown}; {part:.2f} of it here"

    def _reached(self, figure: float) -> bool:
        return figure <= self.bound if self.most else figure >= self.bound


def beside(measure: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Speed]:
    """Measures something; returns it with the speed of the machine before and after it."""
    before = Speed.now()
    measured = measure(*args, **kwargs)
    return measured, before.and_then(Speed.now())


def hash_only(entries: list[bytes]) -> None:
    """The three hashes each entry costs at least: leaf, chain, node."""
    chain = bytes(32)
    for raw in entries:
        leaf = sha256(b"\x00" + raw).digest()
        chain = sha256(b"\x10" + chain + leaf).digest()
        sha256(b"\x01" + chain + leaf).digest()
