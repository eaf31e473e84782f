"""A log in memory with the streams of persons, through as many months as a test needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from access_log import labels
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.material import Kind, Material, MaterialStream, MonthKey, OpenedEntry
from access_log.merkle import leaf_hash
from access_log.payload import Party, Payload
from access_log.sequence import LabelMaker, Place
from tests.access_log.simulator import KEYS, ORIGIN, Memory, publish, sign

MASTER = bytes(range(32))
ANN, BOB, CASE = b"ann.............", b"bob.............", b"case............"
NOBODY = Place(0, 0, bytes(32))


def at(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Persons:
    """A log that grows one entry at a time, written by the book: FORMAT 1 to 3."""

    maker: LabelMaker = field(default_factory=lambda: LabelMaker(MASTER, ORIGIN))
    entries: list[bytes] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    places: dict[bytes, Place] = field(default_factory=dict)
    chain: bytes = field(default_factory=lambda: first_chain(ORIGIN))
    time: int = 0

    def add(self, stream: bytes, time: int, **values: str) -> int:
        """Logs an entry; returns its index."""
        self.time = max(self.time, time)
        month = labels.month_of(self.time)
        place = self.places.get(stream, NOBODY)
        seq = place.seq + 1 if place.month == month else 1
        label = labels.label(self.maker.month_key(stream, month), seq)
        values = {"decision": "permitted", **values}
        payload = Payload.create(EntryType.QUERY_PERMITTED, values).with_place(seq, place.last_leaf)
        entry = Entry(payload.type, self.time, self.chain, label, payload.commitment(label)).encode()
        self.chain = next_chain(self.chain, leaf_hash(entry))
        self.places[stream] = Place(month, seq, leaf_hash(entry))
        self.entries.append(entry)
        self.payloads.append(payload)
        self.streams.append(stream)
        return len(self.entries) - 1

    def skip(self, stream: bytes) -> None:
        """Goes on as if the stream had an entry more than anybody is told of."""
        place = self.places[stream]
        self.places[stream] = Place(place.month, place.seq + 1, place.last_leaf)

    def publish(self) -> Memory:
        return publish(self.entries)

    def material(self, stream: bytes = ANN, **changes: object) -> Material:
        """What the person of this stream would be given."""
        own = self.stream(stream)
        values: dict[str, object] = {
            "origin": ORIGIN,
            "log_keys": tuple(map(str, KEYS)),
            "checkpoint": sign(self.entries),
            "retention_years": 10,
            "streams": (own,),
        }
        return Material(**{**values, **changes})  # type: ignore[arg-type]

    def stream(self, stream: bytes, reference: str | None = None) -> MaterialStream:
        own = [index for index, each in enumerate(self.streams) if each == stream]
        first = labels.month_of(Entry.decode(self.entries[own[0]]).time)
        last = labels.month_of(self.time)
        return MaterialStream(
            Kind.PERSON if reference is None else Kind.COVERT,
            reference,
            tuple(
                MonthKey(month, self.maker.month_key(stream, month))
                for month in labels.months_between(first, last)
            ),
            tuple(OpenedEntry(index, self.payloads[index].opening(Party.PERSON)) for index in own),
        )


def altered(
    opening: Mapping[str, object] | None, change: Callable[[dict[str, object]], object]
) -> dict[str, object]:
    """An opening with one attribute changed: `change` is given the one that holds `decision`."""
    assert opening is not None
    attributes = [dict(each) for each in opening["attributes"]]  # type: ignore[attr-defined]
    change(next(each for each in attributes if each.get("name") == "decision"))
    return {**opening, "attributes": attributes}
