"""Is a person's stream complete? The pure half: what to look for, and what follows from it (FORMAT 4.7).

`Lookout` is shown every entry of the log once and keeps those that carry a label of the person's streams.
`judge` then requires, stream by stream:

(1) a key for every month from the one the stream began in, without a gap; where it goes on from an earlier
    log, from the first of this one;
(2) in each month the numbers 1 to n, each once, in the order of the log, under a time of that month;
(3) an opening for each entry that the material's checkpoint covers, unless its retention has ended;
(4) each opening to fit its entry's commitment, and to state the number its label stands for;
(5) each opening to name the stream's entry before it, across months, and the first of them none, or the one
    the material names in an earlier log;
(6) no opening of an entry that does not stand in the stream.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from access_log import labels
from access_log.encoding import HASH_SIZE, from_base64
from access_log.entry import Entry
from access_log.errors import FormatError, VerificationError
from access_log.material import Kind, Material, MaterialStream
from access_log.merkle import leaf_hash
from access_log.payload import FIRST_PREVIOUS, check_opening

AHEAD: Final = 256
"""How many numbers past the last one found are looked for: an entry that skipped so many is still seen."""

_LABEL: Final = slice(42, 74)
_YEAR: Final = 100


@dataclass(frozen=True, slots=True)
class Sighting:
    """An entry of the log that carries the label of a number of a stream's month.

    Attributes:
        month: The month (yyyymm) whose key made the label.
        seq: The number.
        index: Where it stands in the log.
        entry: The entry, 106 bytes.
    """

    month: int
    seq: int
    index: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing or wrong.

    Attributes:
        stream: Of the material, from 1.
        month: The month (yyyymm); None where it is about the whole stream.
        seq: The number in the month, where one can be named.
        index: The entry, where one can be named.
        reason: What is missing or wrong, in plain words, without any value of a payload.
    """

    stream: int
    month: int | None
    seq: int | None
    index: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What was found of one stream.

    Attributes:
        kind: Whose it is.
        court_reference: Of a covert case.
        months: How many entries each month (yyyymm) has, months without any included.
        opened: Entries whose openings fit.
        expired: Indexes of entries that have no opening because their retention has ended.
        newer: Indexes of entries that were logged after the material was made.
    """

    kind: Kind
    court_reference: str | None
    months: Mapping[int, int]
    opened: int
    expired: tuple[int, ...]
    newer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completeness:
    """The verdict about all streams of a material."""

    streams: tuple[StreamReport, ...]
    gaps: tuple[Gap, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing wrong."""
        return not self.gaps


class Lookout:
    """Looks out for the entries of some streams among all entries of a log.

    What it keeps grows with the streams' own entries, never with the log.

    Args:
        streams: The streams, by their month keys.
        ahead: How many numbers past the last found one are looked for in each month.
    """

    def __init__(self, streams: Sequence[MaterialStream], ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._keys = [{each.month: each.key for each in stream.months} for stream in streams]
        self._made: dict[tuple[int, int], int] = {}
        self._sought: dict[bytes, tuple[int, int, int]] = {}
        self.found: list[list[Sighting]] = [[] for _ in streams]
        for at, keys in enumerate(self._keys):
            for month in keys:
                self._look_for(at, month, ahead)

    def see(self, index: int, entries: Iterable[bytes]) -> None:
        """Is shown entries of 106 bytes that follow each other, the first of this index."""
        sought = self._sought
        for at, entry in enumerate(entries, index):
            place = sought.get(entry[_LABEL])
            if place is not None:
                stream, month, seq = place
                self.found[stream].append(Sighting(month, seq, at, entry))
                self._look_for(stream, month, seq + self._ahead)

    def _look_for(self, stream: int, month: int, last: int) -> None:
        made = self._made.get((stream, month), 0)
        key = self._keys[stream][month]
        for seq in range(made + 1, last + 1):
            self._sought[labels.label(key, seq)] = (stream, month, seq)
        self._made[stream, month] = max(made, last)


def judge(
    material: Material,
    found: Sequence[Sequence[Sighting]],
    size: int,
    last_time: int,
    first_time: int | None = None,
) -> Completeness:
    """Holds what was found against what a person was given.

    Args:
        material: What they were given.
        found: For each of its streams every entry of the log that carries one of its labels, in any order.
        size: Of the checkpoint the material was made at.
        last_time: Of the last entry that this checkpoint covers, milliseconds since the epoch.
        first_time: Of the log's first entry, likewise; asked for where a stream goes on from an earlier log.
    """
    began = None if first_time is None else labels.month_of(first_time)
    reports: list[StreamReport] = []
    gaps: list[Gap] = []
    for number, (stream, sightings) in enumerate(zip(material.streams, found, strict=True), 1):
        judged = _Judge(number, stream, size, labels.month_of(last_time), material.retention_years, began)
        reports.append(judged.report(sightings))
        gaps += judged.gaps
    return Completeness(tuple(reports), tuple(gaps))


@dataclass
class _Judge:
    number: int
    stream: MaterialStream
    size: int
    present: int
    retention_years: int
    began: int | None
    gaps: list[Gap] = field(default_factory=list)
    opened: int = 0
    expired: list[int] = field(default_factory=list)

    def report(self, sightings: Sequence[Sighting]) -> StreamReport:
        self._check_months()
        placed = sorted(sightings, key=lambda one: (one.month, one.seq, one.index))
        covered = [one for one in placed if one.index < self.size]
        self._check_numbers(covered)
        self._check_openings(covered)
        counts = {each.month: 0 for each in self.stream.months}
        for one in covered:
            counts[one.month] += 1
        return StreamReport(
            self.stream.kind,
            self.stream.court_reference,
            counts,
            self.opened,
            tuple(self.expired),
            tuple(sorted(one.index for one in placed if one.index >= self.size)),
        )

    def _gap(self, reason: str, *, month: int | None = None, at: Sighting | None = None) -> None:
        if at is None:
            self.gaps.append(Gap(self.number, month, None, None, reason))
        else:
            self.gaps.append(Gap(self.number, at.month, at.seq, at.index, reason))

    def _check_months(self) -> None:
        """Requires (1): a person's stream goes on to the present, that of a case ends with its disclosure."""
        months = [each.month for each in self.stream.months]
        if not months:
            self._gap("the material has no month key for this stream")
            return
        first = months[0]
        if self.stream.before is not None and self.began is not None:
            # Otherwise an entry of this log could be passed off as one of the earlier log.
            first = min(first, self.began)
        last = max(months[-1], self.present) if self.stream.kind is Kind.PERSON else months[-1]
        given = set(months)
        for month in labels.months_between(first, last):
            if month not in given:
                self._gap("the material has no key for this month: its entries cannot be found", month=month)

    def _check_numbers(self, placed: Sequence[Sighting]) -> None:
        """Requires (2)."""
        before: Sighting | None = None
        for one in placed:
            expected = before.seq + 1 if before is not None and before.month == one.month else 1
            if one.seq < expected:
                self._gap("another entry carries the same label", at=one)
            for seq in range(expected, one.seq):
                reason = "no entry of the log carries this number's label, and a later number's is there"
                self.gaps.append(Gap(self.number, one.month, seq, None, reason))
            if before is not None and one.index <= before.index:
                self._gap("it stands before an entry of a lower number or an earlier month", at=one)
            if labels.month_of(Entry.decode(one.entry).time) != one.month:
                self._gap("its time is of another month than its label", at=one)
            before = one

    def _check_openings(self, placed: Sequence[Sighting]) -> None:
        """Requires (3) to (6)."""
        openings = {each.index: each.opening for each in self.stream.entries}
        before: Sighting | None = None
        for one in placed:
            if one.index not in openings:
                self._gap("the material does not list this entry: it was withheld from you", at=one)
            else:
                opening = openings.pop(one.index)
                if opening is not None:
                    self._check_opening(one, opening, before)
                elif labels.month_of(Entry.decode(one.entry).time) >= self._oldest_kept:
                    self._gap("its opening was withheld: its retention has not ended", at=one)
                else:
                    self.expired.append(one.index)
            before = one
        for index in openings:
            reason = "the material lists it, but it does not carry a label of this stream"
            if index >= self.size:
                reason = "the material lists it, but its checkpoint does not cover it"
            self.gaps.append(Gap(self.number, None, None, index, reason))

    @property
    def _oldest_kept(self) -> int:
        return self.present - self.retention_years * _YEAR

    def _check_opening(self, one: Sighting, opening: Mapping[str, object], before: Sighting | None) -> None:
        try:
            values = check_opening(Entry.decode(one.entry), opening)
        except VerificationError as error:
            self._gap(error.reason, at=one)
            return
        self.opened += 1
        if values.get("seq") != one.seq:
            self._gap("its opening states another number than its label stands for, or none", at=one)
        try:
            previous = from_base64(str(values.get("previous")), "the entry before", HASH_SIZE)
        except FormatError:
            self._gap("its opening does not name the entry before it in the stream", at=one)
            return
        if _is_missing_before(one, before):
            return  # The missing number was named already; this entry may well follow it.
        if before is None and previous != (self.stream.before or FIRST_PREVIOUS):
            self._gap(
                "it names another entry before it in the stream than the one in an earlier log"
                if self.stream.before is not None
                else "it names an entry before it in the stream, and there is none in these months",
                at=one,
            )
        elif before is not None and previous != leaf_hash(before.entry):
            self._gap(
                "it follows another entry of the stream than the one before it here",
                at=one,
            )


def _is_missing_before(one: Sighting, before: Sighting | None) -> bool:
    """Whether the number before this one in its month was not found."""
    if before is not None and before.month == one.month:
        return one.seq != before.seq + 1
    return one.seq != 1
