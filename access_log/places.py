"""The second half of an examination: every payload, and the place of every entry in its stream (FORMAT 2, 3).

It walks from the newest entry to the oldest. A stream's row names its newest entry, and each payload names
the entry before it, so every entry met is expected by exactly one of the two, and its label must follow
from the stream it is expected in. Where a stream went on in a later log, what was kept of its end here names
its newest entry; and its first entry here names its end in the logs before.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels, reading
from access_log.belonging import Belonging, Standing
from access_log.bridging import Bridge
from access_log.encoding import HASH_SIZE, from_base64
from access_log.entry import Entry, EntryType
from access_log.errors import FormatError
from access_log.findings import MOST, Findings
from access_log.indexes import IndexCheck
from access_log.losses import Ranges
from access_log.merkle import leaf_hash
from access_log.payload import FIRST_PREVIOUS, Payload
from access_log.rederive import CHUNK
from access_log.stored_log import StoredLog

_STREAMS_AT_A_TIME: Final = 1000
_YEAR: Final = 100  # a month is written yyyymm
_MONTHS: Final = 12
_LONGEST_RETENTION: Final = 100

_PAYLOADS = text(
    "SELECT index, expiry_id, sealed FROM access_log.payload"
    " WHERE log = :log AND index >= :first AND index < :end"
)
_REQUESTS = text(
    "SELECT index, client, octet_length(idempotency_key), octet_length(body),"
    " CAST(extract(epoch FROM time) * 1000 AS bigint) FROM access_log.request"
    " WHERE log = :log AND index >= :first AND index < :end"
)
_QUERIES = frozenset({EntryType.QUERY_PERMITTED, EntryType.QUERY_REFUSED})
_CLOCK_MS = 60_000
"""By how much an entry's time may be ahead of the database's clock (FORMAT 1)."""
_LONGEST_MS = 600_000
"""Well over what one transaction takes between the head lock and its statement of requests."""
_STRAY = text(
    "SELECT index FROM access_log.payload WHERE log = :log AND (index < 0 OR index >= :end)"
    " UNION SELECT index FROM access_log.request WHERE log = :log AND (index < 0 OR index >= :end)"
    " ORDER BY index LIMIT :most"
)
_STREAMS = text(
    "SELECT stream_id, month, seq, last_leaf FROM access_log.stream WHERE log = :log"
    " UNION ALL SELECT stream_id, month, seq, last_leaf FROM access_log.stream_end WHERE log = :log"
)
_CARRIED = text(
    "SELECT DISTINCT ON (stream_id) stream_id, last_leaf FROM access_log.stream_end"
    " WHERE log < :log ORDER BY stream_id, log DESC"
)
_BY_LABEL = text(
    "SELECT index FROM access_log.entry WHERE log = :log AND substring(entry from 43 for 32) = :label"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a payload says its entry stands: number in the month, leaf hash of the stream's entry before.

    `about` has subject, body and basis, which say in which stream it should stand; None of a lost payload.
    """

    seq: int
    previous: bytes
    about: tuple[str | None, str | None, str | None] | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """What is kept of a request: its client, the lengths of its digests, and when it was written, in ms."""

    client: UUID
    key: int | None
    body: int
    time: int

    def flaw(self, entry: Entry, place: _Place | None) -> str | None:
        """What does not go with its entry; None if all does, as far as it can be told."""
        if self.body != HASH_SIZE or self.key not in {None, HASH_SIZE}:
            return "its digests are none"
        if not -_CLOCK_MS <= self.time - entry.time <= _LONGEST_MS:
            return "it was not written when the entry was"
        if entry.type in _QUERIES and place is not None and place.about is not None:
            _, body, _ = place.about
            if body != str(self.client):
                return "another body asked"
        return None


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What is known of an entry before it is met.

    Attributes:
        stream: Its stream; None where an entry after it was out of place.
        month: Its month, or where `seq` is None the month before which it must lie.
        seq: Its number; None where it is the last of a month nobody names.
        by: The entry that names it; None: its stream's row.
    """

    stream: bytes | None
    month: int
    seq: int | None
    by: int | None


class _Expected:
    """Expectations by leaf hash: one for each stream, so on disk, in a file nobody else can open."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE expected (leaf BLOB PRIMARY KEY, stream BLOB, month INTEGER, seq INTEGER,"
            " by INTEGER) WITHOUT ROWID"
        )
        self._database.execute(
            "CREATE TABLE carried (stream BLOB PRIMARY KEY, leaf BLOB UNIQUE) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")

    def carry(self, stream: bytes, leaf: bytes) -> bool:
        """Keeps where a stream ended in the logs before; False where another ended there too."""
        added = self._database.execute("INSERT OR IGNORE INTO carried VALUES (?, ?)", (stream, leaf))
        return added.rowcount == 1

    def carried(self, leaf: bytes) -> bytes | None:
        """The stream that ended with this leaf hash in the logs before, which then is expected no more."""
        rows = self._database.execute(
            "DELETE FROM carried WHERE leaf = ? RETURNING stream", (leaf,)
        ).fetchall()
        return rows[0][0] if rows else None

    def is_carried(self, stream: bytes) -> bool:
        """Whether a stream ended in the logs before, and no entry here named that yet."""
        found = self._database.execute("SELECT 1 FROM carried WHERE stream = ?", (stream,))
        return found.fetchone() is not None

    def add(self, leaf: bytes, expectation: _Expectation) -> bool:
        """Keeps an expectation; False where that leaf is expected already."""
        one = expectation
        added = self._database.execute(
            "INSERT OR IGNORE INTO expected VALUES (?, ?, ?, ?, ?)",
            (leaf, one.stream, one.month, one.seq, one.by),
        )
        return added.rowcount == 1

    def take(self, leaf: bytes) -> _Expectation | None:
        """Returns and forgets what is expected of the entry with this leaf hash."""
        rows = self._database.execute(
            "DELETE FROM expected WHERE leaf = ? RETURNING stream, month, seq, by", (leaf,)
        ).fetchall()
        return _Expectation(*rows[0]) if rows else None

    def left(self) -> tuple[list[_Expectation], int]:
        """Some of the expectations no entry met, and the number of all."""
        number: int = self._database.execute("SELECT count(*) FROM expected").fetchone()[0]
        rows = self._database.execute("SELECT stream, month, seq, by FROM expected LIMIT ?", (MOST,))
        return [_Expectation(*row) for row in rows], number

    def close(self) -> None:
        """Ends the file."""
        self._database.close()


@dataclass
class Placement:
    """The walk back, and what it counted.

    Attributes:
        connection: Sees one state of the database throughout.
        altered: What the sealer raises for a payload that was altered or moved.
        end: One more than the highest index stored.
        oldest_kept: The month (yyyymm) from which on payloads must still be there.
        linking: Whether places in streams are checked too; without sound entries they cannot be.
        declared: Entries whose payloads were declared lost.
        belonging: Checks that each stream is the right one; None to leave that out.
        payloads: How many were opened and fit their entries.
        expired: How many are gone because their retention has ended.
        lost: How many are gone and were declared lost.
        streams: How many stream rows there are.
        requests: How many request rows there are.
        unplaced: Entries whose place could not be told: a payload after them cannot be read, or their stream
            was lost with its database.
    """

    connection: AsyncConnection
    log: StoredLog
    findings: Findings
    altered: tuple[type[Exception], ...]
    end: int
    oldest_kept: int
    linking: bool
    declared: Ranges
    belonging: Belonging | None = None
    payloads: int = 0
    expired: int = 0
    lost: int = 0
    streams: int = 0
    requests: int = 0
    unplaced: int = 0
    _unread: bool = field(default=False, init=False)
    _bridge: Bridge = field(init=False)
    _indexes: IndexCheck = field(init=False)

    def __post_init__(self) -> None:
        self._bridge = Bridge(self.connection, self.log)
        self._indexes = IndexCheck(self.connection, self.log.number, self.findings)

    @property
    def _unreadable(self) -> tuple[type[Exception], ...]:
        return (FormatError, *self.altered)

    async def run(self, progress: Callable[[int], None]) -> None:
        """Walks back through all entries; tells how many it has behind it."""
        await self._indexes.begin()
        with closing(_Expected()) as expected:
            if self.linking:
                await self._expect_newest(expected)
                if self.belonging is not None:
                    await self.belonging.begin(self.connection)
            for end in range(self.end, 0, -CHUNK):
                await self._chunk(max(end - CHUNK, 0), end, expected)
                progress(self.end - max(end - CHUNK, 0))
            await self._report_left(expected)
        stray = await self.connection.execute(_STRAY, {"log": self.log.number, "end": self.end, "most": MOST})
        for (index,) in stray:
            self.findings.add(index, "a payload or a request is kept for it, and there is no such entry")
        await self._indexes.close(self.end)

    async def _expect_newest(self, expected: _Expected) -> None:
        """Reads the stream rows: each names the newest entry of its stream, in this log or those before."""
        streaming = {"yield_per": _STREAMS_AT_A_TIME}
        asked = {"log": self.log.number}
        async for stream, leaf in await self.connection.stream(_CARRIED, asked, execution_options=streaming):
            if not expected.carry(stream, leaf):
                self.findings.add(None, "two streams ended with the same entry in the logs before")
        rows = await self.connection.stream(_STREAMS, asked, execution_options=streaming)
        async for stream, month, seq, leaf in rows:
            self.streams += 1
            if seq == 0 and (leaf == FIRST_PREVIOUS or expected.is_carried(stream)):
                continue
            if not expected.add(leaf, _Expectation(stream, month, seq, None)):
                self.findings.add(None, "the rows of two streams name the same newest entry")

    async def _chunk(self, first: int, end: int, expected: _Expected) -> None:
        asked = {"log": self.log.number, "first": first, "end": end}
        entries = dict(await reading.entries(self.connection, self.log.number, self.log.archive, first, end))
        await self._indexes.compare(entries)
        payloads = {row[0]: (row[1], row[2]) for row in await self.connection.execute(_PAYLOADS, asked)}
        requests = {row[0]: _Request(*row[1:]) for row in await self.connection.execute(_REQUESTS, asked)}
        self.requests += len(requests)
        for index in requests.keys() - entries.keys():
            self.findings.add(index, "a request is kept for it, and there is no such entry")
        for index in payloads.keys() - entries.keys():
            self.findings.add(index, "a payload is kept for it, and there is no such entry")
        standings: list[Standing] = []
        for index in sorted(entries, reverse=True):
            try:
                entry = Entry.decode(entries[index])
            except FormatError as error:
                self.findings.add(index, str(error))
                continue
            place = await self._open(index, entry, payloads.get(index))
            request = requests.get(index)
            if request is not None and (flaw := request.flaw(entry, place)) is not None:
                self.findings.add(index, f"the request kept for it was altered: {flaw}")
            if self.linking:
                stream = await self._link(index, entry, leaf_hash(entries[index]), place, expected)
                if stream is not None and place is not None and place.about is not None:
                    standings.append(Standing(index, entry.type, entry.time, stream, *place.about))
        if self.belonging is not None:
            await self.belonging.check(self.connection, standings)

    async def _open(self, index: int, entry: Entry, kept: tuple[int, bytes] | None) -> _Place | None:
        """Opens a payload and holds it against its entry; None where it cannot be read."""
        must_be_there = labels.month_of(entry.time) >= self.oldest_kept
        if kept is None and index in self.declared:
            self.lost += 1
            return None
        if kept is None:
            self._miss(index, "its payload is missing, and its retention has not ended", bad=must_be_there)
            return None
        expiry_id, sealed = kept
        if not _is_month_after(expiry_id, entry.time):
            self._miss(index, "the month in which its payload's retention ends was altered", bad=True)
            return None
        try:
            opened = await self.log.sealer.open(index, expiry_id, sealed)
            payload = None if opened is None else Payload.decode(opened)
            place = None if payload is None else _place(payload)
        except self._unreadable:
            self._miss(index, "its sealed payload was altered, or is another entry's", bad=must_be_there)
            return None
        if payload is None:
            reason = "the key of its payload was destroyed, and its retention has not ended"
            self._miss(index, reason, bad=must_be_there)
        elif (
            place is None
            or payload.type is not entry.type
            or payload.commitment(entry.label) != entry.commitment
        ):
            self._miss(index, "its payload is not the one the entry commits to", bad=True)
            place = None
        else:
            self.payloads += 1
        return place

    def _miss(self, index: int, reason: str, *, bad: bool) -> None:
        self._unread = True
        if bad:
            self.findings.add(index, reason)
        else:
            self.expired += 1

    async def _link(
        self, index: int, entry: Entry, leaf: bytes, place: _Place | None, expected: _Expected
    ) -> bytes | None:
        """Holds an entry against what is expected of it, and expects the one before it in its stream.

        Returns:
            The stream it stands in; None where that cannot be told.
        """
        expectation = expected.take(leaf)
        if place is None and index in self.declared:
            place = await self._place_of_lost(index, entry, expectation)
        if expectation is None:
            if self._unread or index in self.declared:
                self.unplaced += 1
            else:
                self.findings.add(
                    index, "it stands in no stream: neither a stream's row nor an entry after it names it"
                )
        if place is None:
            return None
        month = labels.month_of(entry.time)
        stream = expectation.stream if expectation is not None else None
        if expectation is not None and stream is not None:
            key = self.log.month_key(stream, month)
            if labels.label(key, place.seq) != entry.label:
                self.findings.add(index, "its label is not that of its place in the stream that names it")
                stream = None
            elif not _as_expected(expectation, month, place.seq):
                named = "its stream's row" if expectation.by is None else f"entry {expectation.by}"
                self.findings.add(index, f"{named} names it with another number or month")
        self._expect_before(index, month, place, stream, expected)
        return stream

    async def _place_of_lost(
        self, index: int, entry: Entry, expectation: _Expectation | None
    ) -> _Place | None:
        """What the lost payload said, told from labels; None where its stream was lost too."""
        if expectation is None:
            return None
        if expectation.stream is None:
            self._unread = True
            return None
        month = labels.month_of(entry.time)
        seq = expectation.seq or await self._bridge.last(expectation.stream, month)
        previous = await self._bridge.before(expectation.stream, month, seq) if seq else None
        if previous is None:
            self._unread = True
            self.findings.add(index, "the entry before it in its stream is not in the log")
            return None
        return _Place(seq, previous)

    def _expect_before(
        self, index: int, month: int, place: _Place, stream: bytes | None, expected: _Expected
    ) -> None:
        if place.previous == FIRST_PREVIOUS:
            if place.seq != 1:
                self.findings.add(index, "it names no entry before it in its stream, yet is not the first")
            elif stream is not None and expected.is_carried(stream):
                self.findings.add(
                    index, "it names no entry before it, and its stream has some in earlier logs"
                )
            return
        if place.seq == 1 and (ended := expected.carried(place.previous)) is not None:
            if stream is not None and ended != stream:
                self.findings.add(index, "it names the end of another stream, in an earlier log, before it")
            return
        seq = place.seq - 1 or None
        if not expected.add(place.previous, _Expectation(stream, month, seq, index)):
            self.findings.add(index, "another entry, too, follows the one before it in its stream")

    async def _report_left(self, expected: _Expected) -> None:
        left, number = expected.left()
        for one in left:
            if one.by is not None:
                self.findings.add(one.by, "the entry before it in its stream is not in the log")
                continue
            newest = await self._by_label(one)
            reason = "the row of its stream does not state its hash"
            if newest is None:
                reason = "the row of a stream names an entry that is not in the log"
            self.findings.add(newest, reason)
        self.findings.more += number - len(left)

    async def _by_label(self, newest: _Expectation) -> int | None:
        """The entry at the place a stream's row names, if there is one."""
        try:
            label = labels.label(self.log.month_key(newest.stream or b"", newest.month), newest.seq or 0)
        except FormatError:
            return None
        rows = await self.connection.execute(_BY_LABEL, {"log": self.log.number, "label": label})
        return next((index for (index,) in rows), None)


def _as_expected(expectation: _Expectation, month: int, seq: int) -> bool:
    if expectation.seq is None:
        return month < expectation.month
    return (month, seq) == (expectation.month, expectation.seq)


def _place(payload: Payload) -> _Place | None:
    values = payload.values()
    seq, previous = values.get("seq"), values.get("previous")
    if type(seq) is not int or seq < 1 or not isinstance(previous, str):
        return None
    return _Place(
        seq,
        from_base64(previous, "the entry before", HASH_SIZE),
        (_text(values.get("subject")), _text(values.get("body")), _text(values.get("basis"))),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _is_month_after(expiry_id: int, time: int) -> bool:
    """Whether this is a month (yyyymm) in which the retention of an entry of this time can end."""
    year, month = divmod(expiry_id, _YEAR)
    first = labels.month_of(time) // _YEAR
    return 1 <= month <= _MONTHS and first <= year <= first + _LONGEST_RETENTION
