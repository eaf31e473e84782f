"""The one writer: commit, sign, raise, and only then may anything be released (FORMAT 9).

    async with log.writing() as writing:       # 1. the head row is locked first, nothing before it
        ...                                    # 2. the caller reads live state and decides
        position = writing.add(event)
                                               # 3. entries chained, head advanced   (same transaction)
                                               # 4. durable commit
                                               # 5. checkpoint signed
                                               # 6. outside lock raised
    writing.receipts[position]                 # 7. now the caller may release

Whoever leaves the block without an exception holds receipts; an exception after step 4 means that entries
may stand although nothing was released, and the caller owes them an entry of type 10.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import labels, stored
from access_log.checkpoint import Checkpoint, SigningKey
from access_log.entry import Entry, first_chain, next_chain
from access_log.errors import LogStateError, LogUnavailableError, OutsideLockError
from access_log.lock import OutsideLock, Raised
from access_log.merkle import EMPTY_ROOT, Frontier, extend_with_proofs, leaf_hash
from access_log.payload import Payload
from access_log.receipt import write_receipt
from access_log.tiles import WIDTH

MAX_CLOCK_LEAD_MS = 60_000
_ZERO_LEAF = bytes(32)
STREAM_ID_SIZE = 16
_ROOTS_REMEMBERED = 64
_PARTITION = 8_388_608
SYSTEM_STREAM = hashlib.sha256(b"creditvault system stream v1").digest()[:STREAM_ID_SIZE]
NOT_FOUND_STREAM = hashlib.sha256(b"creditvault not-found stream v1").digest()[:STREAM_ID_SIZE]


class StreamKind(IntEnum):
    """Whom a stream belongs to (FORMAT 3)."""

    SYSTEM = 0
    PERSON = 1
    NOT_FOUND = 2
    COVERT = 3


class Sealer(Protocol):
    """Seals log payloads under keys the log itself never sees (vault FORMAT, log payloads)."""

    async def prepare(self, time_ms: int) -> None:
        """Has the key ready for entries of this time."""

    def seal(self, index: int, time_ms: int, plaintext: bytes) -> tuple[int, bytes]:
        """Returns the expiry id (yyyymm) and the ciphertext."""

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        """Returns the plaintext; raises when it was altered or moved."""


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


@dataclass
class Writing:
    """A transaction that holds the head lock, and afterwards the receipts of what it wrote."""

    connection: AsyncConnection
    head: Head
    events: list[Event] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The moment of this transaction, UTC: the time its entries carry."""
        return datetime.fromtimestamp(max(self.head.now, self.head.time) / 1000, UTC)

    def add(self, event: Event) -> int:
        """Puts an event in line; returns its position among this transaction's events."""
        self.events.append(event)
        return len(self.events) - 1


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction adds, computed before it is written."""

    frontier: Frontier
    proofs: list[tuple[bytes, ...]]
    entries: list[bytes]
    payloads: list[Payload]
    tail: list[bytes]


_LOCK_HEAD = text(
    # The clock is read outside the locking query, so that it is read after the wait.
    "WITH locked AS MATERIALIZED (SELECT size, chain, time, frontier FROM access_log.head"
    " WHERE log = :log FOR UPDATE)"
    " SELECT size, chain, time, frontier,"
    " (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM locked"
)
_STREAMS = text("SELECT stream_id, month, seq, last_leaf FROM access_log.stream WHERE stream_id = ANY(:ids)")
_WRITE = text(
    "WITH entries AS (INSERT INTO access_log.entry (log, index, entry)"
    " SELECT :log, index, entry FROM unnest(CAST(:indexes AS bigint[]), CAST(:entries AS bytea[]))"
    " AS t (index, entry)),"
    " payloads AS (INSERT INTO access_log.payload (log, index, expiry_id, sealed)"
    " SELECT :log, index, expiry_id, sealed FROM unnest(CAST(:indexes AS bigint[]),"
    " CAST(:expiries AS integer[]), CAST(:sealed AS bytea[])) AS t (index, expiry_id, sealed)),"
    " streams AS (UPDATE access_log.stream SET month = t.month, seq = t.seq, last_leaf = t.last_leaf"
    " FROM unnest(CAST(:stream_ids AS bytea[]), CAST(:months AS integer[]), CAST(:seqs AS bigint[]),"
    " CAST(:last_leaves AS bytea[])) AS t (stream_id, month, seq, last_leaf)"
    " WHERE access_log.stream.stream_id = t.stream_id),"
    " requests AS (INSERT INTO access_log.request (log, index, request_id, client, idempotency_key, body, time)"
    " SELECT :log, index, request_id, client, idempotency_key, body, clock_timestamp()"
    " FROM unnest(CAST(:marked AS bigint[]), CAST(:request_ids AS uuid[]), CAST(:clients AS uuid[]),"
    " CAST(:keys AS bytea[]), CAST(:bodies AS bytea[]))"
    " AS t (index, request_id, client, idempotency_key, body))"
    " UPDATE access_log.head SET size = :size, chain = :chain, time = :time, frontier = :frontier"
    " WHERE log = :log"
)
_OPEN_STREAMS = text(
    "INSERT INTO access_log.stream (stream_id, kind, master, month, seq, last_leaf)"
    " SELECT stream_id, :kind, :master, 0, 0, :zero FROM unnest(CAST(:ids AS bytea[])) AS t (stream_id)"
    " ON CONFLICT (stream_id) DO NOTHING"
)
_FIRST_HEAD = text(
    "INSERT INTO access_log.head (log, origin, size, chain, time, frontier)"
    " VALUES (:log, :origin, 0, :chain, 0, '') ON CONFLICT DO NOTHING"
)
_MAKE_PARTITIONS = text(
    "SELECT access_log.make_partitions(size + :ahead) FROM access_log.head WHERE log = :log"
)
_ORIGIN = text("SELECT origin FROM access_log.head WHERE log = :log")


class Log:
    """An open log: the only object that appends. One per worker process.

    Args:
        engine: the application role's database.
        origin: name of the log and of its signing key, for instance `vault.example/log/2026`.
        master: 32-byte label master (version 1).
        sealer: seals payloads.
        key: signs checkpoints.
        outside: the outside lock.
    """

    number = 1
    master_version = 1

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        origin: str,
        master: bytes,
        sealer: Sealer,
        key: SigningKey,
        outside: OutsideLock,
    ) -> None:
        self.engine = engine
        self.origin = origin
        self.key = key
        self.sealer = sealer
        self.outside = outside
        self._master = master
        self._halted = True  # until `start` has compared the database with the outside lock
        self._tail: tuple[int, list[bytes]] = (0, [])  # (log size, leaves of its unfinished tile)
        self._roots: dict[int, bytes] = {0: EMPTY_ROOT}  # sizes of this tree whose roots we have seen

    @property
    def running(self) -> bool:
        """Whether this worker appends; False until `start` and after a failed raise."""
        return not self._halted

    async def create(self) -> None:
        """Makes the head, the shared streams and the outside lock of a new log; harmless when repeated.

        Raises:
            OutsideLockError: the database holds a log and its outside lock is missing.
        """
        async with self.engine.begin() as connection:
            await connection.execute(
                _FIRST_HEAD,
                {"log": self.number, "origin": self.origin, "chain": first_chain(self.origin)},
            )
            head = await self._lock_head(connection)
            for kind, stream_id in (
                (StreamKind.SYSTEM, SYSTEM_STREAM),
                (StreamKind.NOT_FOUND, NOT_FOUND_STREAM),
            ):
                await self.open_streams(connection, kind, [stream_id])
            if head.size == 0 and not self.outside.exists():
                first = Checkpoint(self.origin, 0, EMPTY_ROOT)
                await asyncio.to_thread(self.outside.create, Raised(0, EMPTY_ROOT, self.key.sign(first)))

    async def start(self) -> None:
        """Compares the database with the outside lock, then signs and raises its head.

        Start, failover and recovery after a failed raise all come this way.

        Raises:
            OutsideLockError: the database is behind the outside lock, or is another log.
            LogStateError: head and entries disagree, or the origin is another.
            LogUnavailableError: database or lock cannot be reached now; try again.
        """
        async with _database_errors(), self.engine.connect() as connection:
            origin = (await connection.execute(_ORIGIN, {"log": self.number})).scalar_one_or_none()
            if origin != self.origin:
                raise LogStateError(
                    f"the database holds the log {origin!r}, the settings name {self.origin!r}: "
                    "set CREDITVAULT_LOG_ORIGIN to the log's origin"
                )
            head = await self._lock_head(connection)
            await stored.check_head(
                connection, self.number, self.origin, head.size, head.chain, head.frontier
            )
            held = await asyncio.to_thread(self.outside.read)
            if held.size > head.size:
                raise OutsideLockError(
                    f"the database is behind the outside lock: it holds {head.size} entries, {held.size} were "
                    "raised. Restore a newer backup of the database; a log never rolls back."
                )
            await connection.rollback()
        self._roots = {0: EMPTY_ROOT}
        await self._raise(head.frontier)
        self._halted = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction under the head lock; on a clean exit its events are durable, signed and raised.

        Raises:
            LogUnavailableError: nothing may be released; entries may stand when the commit had passed.
            OutsideLockError: the log is not the one that was raised; this worker stops appending.
        """
        if self._halted:
            await self.start()
        async with _database_errors(), self.engine.connect() as connection:
            async with connection.begin():
                writing = Writing(connection, await self._lock_head(connection))
                yield writing
                batch = await self._append(writing) if writing.events else None
            # From here the entries are durable; nothing is visible until the lock is raised.
        if batch is None:
            return
        self._tail = (batch.frontier.size, batch.tail)
        self._remember(writing.head.frontier)
        note = await self._raise(batch.frontier)
        writing.payloads = batch.payloads
        writing.indexes = list(range(writing.head.size, batch.frontier.size))
        writing.receipts = [
            write_receipt(entry, index, proof, note)
            for entry, index, proof in zip(batch.entries, writing.indexes, batch.proofs, strict=True)
        ]

    async def receipt(self, connection: AsyncConnection, index: int, entry: bytes) -> str:
        """A receipt of an older entry against the newest raised checkpoint.

        Raises:
            LogUnavailableError: the outside lock cannot be read now.
            LogStateError: entries or tiles are missing.
        """
        raised = await asyncio.to_thread(self.outside.read)
        proof = await stored.proof(connection, self.number, index, raised.size)
        return write_receipt(entry, index, proof, raised.note)

    async def open_streams(
        self, connection: AsyncConnection, kind: StreamKind, stream_ids: Sequence[bytes]
    ) -> None:
        """Makes the rows of new streams; ids are 16 random bytes, chosen by the caller."""
        await connection.execute(
            _OPEN_STREAMS,
            {"ids": list(stream_ids), "kind": int(kind), "master": self.master_version, "zero": _ZERO_LEAF},
        )

    async def make_partitions_ahead(self) -> None:
        """Makes the partitions of the entry table up to one past the head; harmless when repeated."""
        async with _database_errors(), self.engine.begin() as connection:
            await connection.execute(_MAKE_PARTITIONS, {"log": self.number, "ahead": _PARTITION})

    def month_key(self, stream_id: bytes, month: int) -> bytes:
        """The key of one stream for one month (yyyymm, UTC): what a person may be given (FORMAT 3)."""
        return labels.month_key(labels.stream_key(self._master, stream_id), self.origin, month)

    async def _lock_head(self, connection: AsyncConnection) -> Head:
        row = (await connection.execute(_LOCK_HEAD, {"log": self.number})).one_or_none()
        if row is None:
            raise LogStateError("the database holds no log: run `creditvault migrate`")
        if row.time - row.now > MAX_CLOCK_LEAD_MS:
            raise LogUnavailableError(
                "the newest entry is more than 60 s in the future of the database's clock: set the clock right"
            )
        return Head(row.size, row.chain, row.time, Frontier.decode(row.size, row.frontier), row.now)

    async def _append(self, writing: Writing) -> _Batch:
        head, connection, events = writing.head, writing.connection, writing.events
        time = max(head.now, head.time)
        month = labels.month_of(time)
        await self.sealer.prepare(time)
        places = await self._places(connection, {event.stream for event in events})
        chain, index, origin = head.chain, head.size, self.origin
        seal = self.sealer.seal
        month_keys: dict[bytes, bytes] = {}
        entries: list[bytes] = []
        leaves: list[bytes] = []
        payloads: list[Payload] = []
        expiries: list[int] = []
        sealed: list[bytes] = []
        for event in events:
            stream = event.stream
            key = month_keys.get(stream)
            if key is None:
                key = month_keys[stream] = labels.month_key(
                    labels.stream_key(self._master, stream), origin, month
                )
            last_month, last_seq, previous = places[stream]
            seq = last_seq + 1 if last_month == month else 1
            label = labels.label(key, seq)
            placed = event.payload.with_place(seq, previous)
            entry = Entry(event.payload.type, time, chain, label, placed.commitment(label)).encode()
            leaf = leaf_hash(entry)
            chain = next_chain(chain, leaf)
            places[stream] = (month, seq, leaf)
            expiry, ciphertext = seal(index, time, placed.encode())
            entries.append(entry)
            leaves.append(leaf)
            payloads.append(placed)
            expiries.append(expiry)
            sealed.append(ciphertext)
            index += 1
        frontier, proofs = extend_with_proofs(head.frontier, leaves)
        marks = [
            (head.size + at, event.request) for at, event in enumerate(events) if event.request is not None
        ]
        await connection.execute(
            _WRITE,
            {
                "marked": [at for at, _ in marks],
                "request_ids": [mark.request_id for _, mark in marks],
                "clients": [mark.client for _, mark in marks],
                "keys": [mark.idempotency_key for _, mark in marks],
                "bodies": [mark.body for _, mark in marks],
                "log": self.number,
                "indexes": list(range(head.size, index)),
                "entries": entries,
                "expiries": expiries,
                "sealed": sealed,
                "stream_ids": list(places),
                "months": [place[0] for place in places.values()],
                "seqs": [place[1] for place in places.values()],
                "last_leaves": [place[2] for place in places.values()],
                "size": index,
                "chain": chain,
                "time": time,
                "frontier": frontier.encode(),
            },
        )
        tail = await self._write_tiles(connection, head.size, leaves)
        return _Batch(frontier, proofs, entries, payloads, tail)

    async def _places(
        self, connection: AsyncConnection, streams: set[bytes]
    ) -> dict[bytes, tuple[int, int, bytes]]:
        rows = await connection.execute(_STREAMS, {"ids": list(streams)})
        places = {row[0]: (row[1], row[2], row[3]) for row in rows}
        if len(places) != len(streams):
            raise LogStateError("an event names a stream that was never opened")
        return places

    async def _write_tiles(
        self, connection: AsyncConnection, size: int, leaves: Sequence[bytes]
    ) -> list[bytes]:
        """Stores the tiles this batch fills; returns the leaves of the one it leaves unfinished.

        The leaves before the batch come from memory, or from the database when another worker wrote them.
        """
        known_size, tail = self._tail
        if known_size != size:
            tail = await stored.leaves(connection, self.number, size - size % WIDTH, size)
        hashes = [*tail, *leaves]
        full = len(hashes) // WIDTH
        if full:
            await stored.write_tiles(
                connection,
                self.number,
                0,
                size // WIDTH,
                [hashes[at * WIDTH : (at + 1) * WIDTH] for at in range(full)],
            )
        return hashes[full * WIDTH :]

    def _remember(self, frontier: Frontier) -> None:
        self._roots[frontier.size] = frontier.root()
        if len(self._roots) > _ROOTS_REMEMBERED:
            del self._roots[next(iter(self._roots))]

    async def _raise(self, frontier: Frontier) -> str:
        """Signs the frontier's checkpoint and raises the outside lock to it; returns the note."""
        note = self.key.sign(Checkpoint(self.origin, frontier.size, frontier.root()))
        new = Raised(frontier.size, frontier.root(), note)
        try:
            while (
                unproven := await asyncio.to_thread(self.outside.raise_to, new, self._roots.copy())
            ) is not None:
                # Another worker raised meanwhile. Its tree and ours are one when the stored entries give
                # both roots.
                async with _database_errors(), self.engine.connect() as connection:
                    ours = await stored.root_at(connection, self.number, frontier.size)
                    theirs = await stored.frontier_at(connection, self.number, unproven.held.size)
                if ours != new.root:
                    raise LogStateError("the stored entries do not give the root that was signed")
                self._remember(theirs)
        except BaseException:
            self._halted = True
            raise
        self._remember(frontier)
        return note


@asynccontextmanager
async def _database_errors() -> AsyncIterator[None]:
    """Turns a database that is gone, slow or read-only into the log's own retryable error."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise LogUnavailableError("the database cannot be reached or refuses to write now") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LogUnavailableError("the connection to the database was lost") from error
        raise
