"""Sequencing: from events to entries, chained, committed to and sealed. It does no I/O (FORMAT 9)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from access_log import labels
from access_log.entry import Entry, next_chain
from access_log.merkle import Frontier, extend_with_proofs, leaf_hash
from access_log.payload import Payload


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
class Head:
    """The log's head, read under its lock. `now` is the database's clock, ms since the epoch."""

    size: int
    chain: bytes
    time: int
    frontier: Frontier
    now: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream stands: its newest entry's month (yyyymm), number in that month, and leaf hash."""

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


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one transaction appends: entries with their proofs in the tree they make, and all that changes.

    Attributes:
        time: of every entry, ms since the epoch.
        sealed: (expiry id, ciphertext) of each payload.
        places: where each touched stream stands afterwards.
    """

    first: int
    time: int
    chain: bytes
    frontier: Frontier
    entries: list[bytes]
    leaves: list[bytes]
    proofs: list[tuple[bytes, ...]]
    payloads: list[Payload]
    sealed: list[tuple[int, bytes]]
    places: dict[bytes, Place]


def sequence(
    head: Head,
    events: Sequence[Event],
    places: Mapping[bytes, Place],
    label_maker: LabelMaker,
    seal: Callable[[int, int, bytes], tuple[int, bytes]],
) -> Sequenced:
    """Chains events onto a head.

    Args:
        head: the log's head, held under its lock.
        events: in the order of effect.
        places: where their streams stand.
        label_maker: makes their labels.
        seal: seals a payload's plaintext for (index, time); returns expiry id and ciphertext.
    """
    time = max(head.now, head.time)
    month = labels.month_of(time)
    month_keys = {stream: label_maker.month_key(stream, month) for stream in places}
    standing = dict(places)
    chain, index = head.chain, head.size
    entries: list[bytes] = []
    leaves: list[bytes] = []
    payloads: list[Payload] = []
    sealed: list[tuple[int, bytes]] = []
    for event in events:
        place = standing[event.stream]
        seq = place.seq + 1 if place.month == month else 1
        label = labels.label(month_keys[event.stream], seq)
        payload = event.payload.with_place(seq, place.last_leaf)
        entry = Entry(payload.type, time, chain, label, payload.commitment(label)).encode()
        leaf = leaf_hash(entry)
        chain = next_chain(chain, leaf)
        standing[event.stream] = Place(month, seq, leaf)
        entries.append(entry)
        leaves.append(leaf)
        payloads.append(payload)
        sealed.append(seal(index, time, payload.encode()))
        index += 1
    frontier, proofs = extend_with_proofs(head.frontier, leaves)
    return Sequenced(head.size, time, chain, frontier, entries, leaves, proofs, payloads, sealed, standing)
