"""Sequencing: from events to entries, chained and committed to. It does no I/O (FORMAT 9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload
from uuid import UUID

from access_log import labels
from access_log.entry import encode_entry, next_chain
from access_log.labels import Labels
from access_log.merkle import Frontier, Growth, grow, leaf_hash
from access_log.payload import Payload
from access_log.receipt import write_receipt


@dataclass(frozen=True, slots=True)
class RequestMark:
    """What is kept of a request in the entry's transaction; never an answer."""

    request_id: UUID
    client: UUID
    idempotency_key: bytes | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, for one stream."""

    stream: bytes
    payload: Payload
    request: RequestMark | None = None


@dataclass(frozen=True, slots=True)
class KeyState:
    """Which of the log's own keys sign (FORMAT 5.2).

    Attributes:
        epoch: Number of the newest keys, from 1.
        changing: Whether those before them sign too, because the change is not complete.
    """

    epoch: int = 1
    changing: bool = False

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs whose keys sign, oldest first."""
        return (self.epoch - 1, self.epoch) if self.changing else (self.epoch,)


@dataclass(frozen=True, slots=True)
class Head:
    """The log's head, read under its lock. `now` is the database's clock, ms since the epoch.

    Attributes:
        successor: Origin of the log opened in its place; None while it is open.
    """

    size: int
    chain: bytes
    time: int
    frontier: Frontier
    now: int
    keys: KeyState = KeyState()
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream stands in a log: its newest entry's month (yyyymm), number in that month, and leaf hash.

    Before its first entry there, month and number are 0, and the leaf hash is that of its newest entry in an
    earlier log, or zeros (FORMAT 3).
    """

    month: int
    seq: int
    last_leaf: bytes


@dataclass(frozen=True, slots=True)
class LabelMaker:
    """Makes labels of one log under one label master (FORMAT 3)."""

    master: bytes
    origin: str

    def month_key(self, stream_id: bytes, month: int) -> bytes:
        """The key of one stream for one month."""
        return labels.month_key(labels.stream_key(self.master, stream_id), self.origin, month)

    def labels(self, stream_id: bytes, month: int) -> Labels:
        """The labels of one stream in one month."""
        return Labels(self.month_key(stream_id, month))


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one transaction appends, and all that changes. Its payloads are yet to be sealed.

    Attributes:
        time: of every entry, ms since the epoch.
        places: where each touched stream stands afterwards.
    """

    time: int
    chain: bytes
    growth: Growth
    entries: list[bytes]
    leaves: list[bytes]
    payloads: list[Payload]
    places: Mapping[bytes, Place]

    @property
    def first(self) -> int:
        """The index of the first new entry."""
        return self.growth.first

    @property
    def frontier(self) -> Frontier:
        """The tree with the new entries."""
        return self.growth.frontier


class Receipts(Sequence[str]):
    """The receipts of one transaction's entries, each written when it is asked for.

    Args:
        new: the entries, which are durable.
        note: the checkpoint over them, which was raised.
    """

    def __init__(self, new: Sequenced, note: str) -> None:
        self._new = new
        self._note = note

    def __len__(self) -> int:
        return len(self._new.entries)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        positions = range(len(self))[at]
        if isinstance(positions, range):
            return [self._write(position) for position in positions]
        return self._write(positions)

    def _write(self, at: int) -> str:
        return write_receipt(self._new.entries[at], self._new.first + at, self._proofs[at], self._note)

    @cached_property
    def _proofs(self) -> list[tuple[bytes, ...]]:
        return self._new.growth.proofs()


@dataclass(slots=True)
class _Standing:
    """Where a stream stands while its entries are made: labels of the month, newest number and leaf."""

    labels: Labels
    seq: int
    last_leaf: bytes


def sequence(
    head: Head, places: Mapping[bytes, Place], label_maker: LabelMaker, events: Sequence[Event]
) -> Sequenced:
    """Chains events onto a head, in the order of effect.

    Args:
        head: the log's head, held under its lock.
        places: where the events' streams stand.
        label_maker: makes their labels.
        events: what happened.
    """
    time = max(head.now, head.time)
    month = labels.month_of(time)
    standing = {
        stream: _Standing(
            label_maker.labels(stream, month), place.seq if place.month == month else 0, place.last_leaf
        )
        for stream, place in places.items()
    }
    chain = head.chain
    entries: list[bytes] = []
    leaves: list[bytes] = []
    payloads: list[Payload] = []
    for event in events:  # This runs for every entry that is written, under the head lock.
        stream = standing[event.stream]
        stream.seq += 1
        label = stream.labels.of(stream.seq)
        payload = event.payload.with_place(stream.seq, stream.last_leaf)
        entry = encode_entry(payload.type, time, chain, label, payload.commitment(label))
        stream.last_leaf = leaf = leaf_hash(entry)
        chain = next_chain(chain, leaf)
        entries.append(entry)
        leaves.append(leaf)
        payloads.append(payload)
    return Sequenced(
        time=time,
        chain=chain,
        growth=grow(head.frontier, leaves),
        entries=entries,
        leaves=leaves,
        payloads=payloads,
        places={stream_id: Place(month, one.seq, one.last_leaf) for stream_id, one in standing.items()},
    )
