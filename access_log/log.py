"""The one writer: commit, sign, raise, and only then may anything be released (FORMAT 9).

    async with log.writing() as writing:       # 1. the head row is locked first, nothing before it
        ...                                    # 2. the caller reads live state and decides
        position = writing.add(event)
                                               # 3. entries chained, head advanced   (same transaction)
                                               # 4. durable commit
                                               # 5. checkpoint signed
                                               # 6. outside lock raised
    writing.receipts[position]                 # 7. now the caller may release

    appended = await log.append(events)        # the same for events that need nothing read under the lock:
                                               # callers side by side share one transaction

Whoever leaves the block without an exception holds receipts; an exception after step 4 means that entries
may stand although nothing was released, and the caller owes them an entry of type 10.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import key_changes, stored, writes
from access_log.archive import Archive
from access_log.batch import Batcher
from access_log.checkpoint import Checkpoint
from access_log.errors import LogStateError, LogUnavailableError, OutsideLockError
from access_log.lock import OutsideLock, Raised
from access_log.merkle import EMPTY_ROOT, Frontier
from access_log.payload import Payload
from access_log.receipt import write_receipt
from access_log.references import Reference
from access_log.sequence import (
    Event,
    Head,
    KeyState,
    LabelMaker,
    Receipts,
    RequestMark,
    Sequenced,
    Sequencing,
)
from access_log.signing_keys import CosigningKey, SigningKey, sign_note
from access_log.tiles import WIDTH
from access_log.verifier_keys import VerifierKey
from access_log.writes import StreamKind

MAX_CLOCK_LEAD_MS = 60_000
STREAM_ID_SIZE = 16
_ROOTS_REMEMBERED = 64
_MOST_TOGETHER = 256
_AT_ONCE = 48  # payloads of about 2 KB: what a socket takes at once, so that PostgreSQL works beside us
_BEHIND = (
    "Restore a newer backup, or import what is missing from the published log: `creditvault log reimport`; "
    "a log never rolls back"
)
SYSTEM_STREAM = hashlib.sha256(b"creditvault system stream v1").digest()[:STREAM_ID_SIZE]
NOT_FOUND_STREAM = hashlib.sha256(b"creditvault not-found stream v1").digest()[:STREAM_ID_SIZE]


__all__ = [
    "NOT_FOUND_STREAM",
    "STREAM_ID_SIZE",
    "SYSTEM_STREAM",
    "Appended",
    "Event",
    "Log",
    "RequestMark",
    "Sealer",
    "Signers",
    "StreamKind",
    "Witnesses",
    "Writing",
]


class Sealer(Protocol):
    """Seals log payloads under keys the log itself never sees (vault FORMAT, log payloads)."""

    async def prepare(self, time_ms: int) -> None:
        """Has the key ready for entries of this time."""

    def seal(self, index: int, time_ms: int, plaintext: bytes) -> tuple[int, bytes]:
        """Returns the expiry id (yyyymm) and the ciphertext."""

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        """Returns the plaintext; raises when it was altered or moved."""


LogKey: TypeAlias = "SigningKey | CosigningKey"


class Signers(Protocol):
    """Has the log's own keys, which the log does not keep."""

    async def of(self, epoch: int) -> Sequence[LogKey]:
        """The keys of one epoch (FORMAT 5.2), an Ed25519 key first.

        Raises whatever their keeper raises where there are none or they cannot be had now.
        """

    async def make(self, epoch: int) -> None:
        """Makes the keys of an epoch and keeps them; harmless when they are there."""


class Witnesses(Protocol):
    """Has a checkpoint cosigned before anything is released (FORMAT 8.2, `witness.witnessing`)."""

    async def require(self, raised: Raised) -> str:
        """Returns the note with its cosignatures.

        Raises:
            LogUnavailableError: the quorum did not cosign.
            OutsideLockError: the database is not the log that was witnessed.
        """


@dataclass
class Writing:
    """A transaction that holds the head lock, and afterwards the receipts of what it wrote.

    Attributes:
        keys: which keys sign its checkpoint: those the head names, unless this transaction changes them.
    """

    connection: AsyncConnection
    head: Head
    keys: KeyState
    events: list[Event] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    receipts: Sequence[str] = ()

    @property
    def now(self) -> datetime:
        """The moment of this transaction, UTC: the time its entries carry."""
        return datetime.fromtimestamp(max(self.head.now, self.head.time) / 1000, UTC)

    def add(self, event: Event) -> int:
        """Puts an event in line; returns its position among this transaction's events."""
        self.events.append(event)
        return len(self.events) - 1


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one caller's events: their entries are durable and raised."""

    indexes: Sequence[int]
    payloads: Sequence[Payload]
    receipts: Sequence[str]


class Log:
    """An open log: the only object that appends. One per worker process.

    Args:
        engine: the application role's database.
        origin: name of the log and of its signing key, for instance `vault.example/log/2026`.
        master: 32-byte label master (version 1).
        sealer: seals payloads.
        signers: has the keys that sign checkpoints.
        outside: the outside lock.
        archive: where entries stand whose partition is gone.
        references: what others hold of this log, compared with the database at every start.
        witnesses: asked about each checkpoint before anything is released; None if nothing waits for them.
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
        signers: Signers,
        outside: OutsideLock,
        archive: Archive | None = None,
        references: Sequence[Reference] = (),
        witnesses: Witnesses | None = None,
    ) -> None:
        self.engine = engine
        self.origin = origin
        self.sealer = sealer
        self.signers = signers
        self.outside = outside
        self.archive = archive
        self.references = references
        self.witnesses = witnesses
        self._labels = LabelMaker(master, origin)
        self._keys: tuple[LogKey, ...] = ()  # in force when the head was last seen
        self._appends = Batcher(self._append_together, window=0, most=_MOST_TOGETHER)
        self._halted = True  # until `start` has compared the database with the outside lock
        self._tail: tuple[int, list[bytes]] = (0, [])  # (log size, leaves of its unfinished tile)
        self._roots: dict[int, bytes] = {0: EMPTY_ROOT}  # sizes of this tree whose roots we have seen
        self._witnessed = 0  # the size up to which this worker knows the log to be witnessed

    @property
    def running(self) -> bool:
        """Whether this worker appends; False until `start` and after a failed raise."""
        return not self._halted

    @property
    def key(self) -> SigningKey:
        """The newest Ed25519 key this worker has signed with; there is one from `create` or `start` on."""
        return [key for key in self._keys if isinstance(key, SigningKey)][-1]

    async def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The verifier keys in force, as the database names them: of one epoch, or of two during a change.

        Raises:
            LogStateError: there is no log.
        """
        async with _database_errors(), self.engine.connect() as connection:
            state = await writes.key_state(connection, self.number)
        return tuple([key.key for key in await self._in_force(state)])

    async def every_verifier_key(self) -> tuple[VerifierKey, ...]:
        """The verifier keys of all epochs up to now, oldest first.

        Raises:
            LogStateError: there is no log.
        """
        async with _database_errors(), self.engine.connect() as connection:
            newest = (await writes.key_state(connection, self.number)).epoch
        return await self._verifier_keys_to(newest)

    async def create(self) -> None:
        """Makes the head, the shared streams and the outside lock of a new log; harmless when repeated.

        A log that holds entries is given no new lock: `start` refuses it until its own is restored.

        Raises:
            LogUnavailableError: the lock's folder cannot be written to.
        """
        async with self.engine.begin() as connection:
            await writes.create_head(connection, self.number, self.origin)
            head = await self._lock_head(connection)
            for kind, stream_id in (
                (StreamKind.SYSTEM, SYSTEM_STREAM),
                (StreamKind.NOT_FOUND, NOT_FOUND_STREAM),
            ):
                await self.open_streams(connection, kind, [stream_id])
            if head.size == 0 and not self.outside.exists():
                note = sign_note(Checkpoint(self.origin, 0, EMPTY_ROOT), await self._in_force(head.keys))
                await asyncio.to_thread(self.outside.create, Raised(0, EMPTY_ROOT, note))

    async def start(self) -> None:
        """Compares the database with the outside lock and what others hold, then signs and raises its head.

        Start, failover and recovery after a failed raise all come this way.

        Raises:
            OutsideLockError: the database is behind the outside lock or a reference, or is another log.
            LogStateError: head and entries disagree, or the origin is another.
            LogUnavailableError: database or lock cannot be reached now; try again.
        """
        # Asked before the head is locked: nobody waits for a web server, or for a second connection.
        keys = await self.every_verifier_key()
        shown = [(one.name, await asyncio.to_thread(one.read, keys)) for one in self.references]
        async with self.transaction() as connection:
            head = await self.checked_head(connection)
            held = await asyncio.to_thread(self.outside.read)
            # Whatever signed the lock stood in the database before, and so in the head.
            known = await self._verifier_keys_to(head.keys.epoch)
            key_changes.require_known(held.note, self.origin, known)
            self._require_not_behind(head, held)
            for name, checkpoint in shown:
                if checkpoint is not None:
                    await self._require_begins(connection, head, name, checkpoint)
        self._roots = {0: EMPTY_ROOT}
        await self._raise(head.frontier, head.time, await self._in_force(head.keys))
        self._halted = False
        if head.keys.changing:
            await self.complete_key_change()

    async def complete_key_change(self) -> None:
        """Completes a change of keys that was begun (`rotate`, steps 3 and 4); harmless where there is none.

        Raises:
            LogStateError: the entry of the change is missing.
            LogUnavailableError: nothing was completed; try again.
            OutsideLockError: the log is not the one that was raised; this worker stops appending.
        """
        async with _database_errors(), self.engine.connect() as connection, connection.begin():
            head = await self._lock_head(connection)
            if not head.keys.changing:
                return
            note = await self._raise(head.frontier, head.time, await self._in_force(head.keys))
            await key_changes.complete(
                connection, self.number, head.keys.epoch, (head.size, note), self.sealer
            )
            # From here the old keys are retired: whoever reads the head next signs without them.
        await self._in_force(KeyState(head.keys.epoch))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction under the head lock; on a clean exit its events are durable, signed and raised.

        Raises:
            LogUnavailableError: nothing may be released; entries may stand when the commit had passed.
            OutsideLockError: the log is not the one that was raised; this worker stops appending.
        """
        if self._halted:
            await self.start()
        async with self.transaction() as connection:
            head = await self._lock_head(connection)
            writing = Writing(connection, head, head.keys)
            yield writing
            if not writing.events:
                return
            await self._require_no_gap(writing.head)
            new = await self._append(writing)
            # Read under the head lock: no worker signs a tree with keys that were retired before it.
            keys = await self._in_force(writing.keys)
            tail = await self._write_tiles(connection, new.first, new.leaves)
            # From here the entries are durable; nothing is visible until the lock is raised.
        self._tail = (new.frontier.size, tail)
        self._remember(writing.head.frontier)
        note = await self._raise(new.frontier, new.time, keys)
        writing.payloads = new.payloads
        writing.indexes = list(range(writing.head.size, new.frontier.size))
        writing.receipts = Receipts(new, note)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of its own, which ends with the block.

        Raises:
            LogUnavailableError: the database cannot be reached, or refuses to write now.
        """
        async with _database_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    async def checked_head(self, connection: AsyncConnection) -> Head:
        """Locks the head, and compares it with the entries behind it.

        Raises:
            LogStateError: there is no log, it is another one, or head and entries disagree.
        """
        head = await self._lock_head(connection)
        origin = await writes.origin_of(connection, self.number)
        if origin != self.origin:
            raise LogStateError(
                f"the database holds the log {origin!r}, the settings name {self.origin!r}: "
                "set CREDITVAULT_LOG_ORIGIN to the log's origin"
            )
        await self._check(connection, head)
        return head

    async def append_unstarted(self, connection: AsyncConnection, events: Sequence[Event]) -> int:
        """Appends in the caller's transaction, for a log that is not started; returns the first index.

        Only for what mends a log and must stand in it in the same step (reimport). `start` signs and raises
        it once the transaction is committed, and until then nothing is released.
        """
        head = await self._lock_head(connection)
        writing = Writing(connection, head, head.keys, list(events))
        new = await self._append(writing)
        await self._write_tiles(connection, new.first, new.leaves)
        return new.first

    async def append(self, events: Sequence[Event]) -> Appended:
        """Appends events that need nothing read under the lock, together with other callers' (group commit).

        Whoever decides on live state takes `writing`. So does who marks a request: a mark that stands already
        would fail the whole transaction.

        Raises:
            ValueError: an event marks a request.
            LogStateError: a stream was never opened; the others' events are appended.
            LogUnavailableError, OutsideLockError: as `writing`.
        """
        if any(event.request is not None for event in events):
            raise ValueError("a request is marked in the transaction that decides it: use `writing`")
        return await self._appends.ask(events)

    async def _append_together(self, asked: Sequence[Sequence[Event]]) -> list[Appended | Exception]:
        """One transaction for all these callers; what is wrong with one's events fails that one alone."""
        placed: list[slice | None] = []
        async with self.writing() as writing:
            streams = {event.stream for events in asked for event in events}
            known = await writes.places_of(writing.connection, streams)
            for events in asked:
                first = len(writing.events)
                if all(event.stream in known for event in events):
                    writing.events.extend(events)
                    placed.append(slice(first, len(writing.events)))
                else:
                    placed.append(None)
        # Durable and raised: from here on each caller may release its own.
        return [
            _unknown_stream()
            if at is None
            else Appended(writing.indexes[at], writing.payloads[at], writing.receipts[at])
            for at in placed
        ]

    async def receipt(self, connection: AsyncConnection, index: int, entry: bytes) -> str:
        """A receipt of an older entry against the newest raised checkpoint.

        An entry whose writer has not raised it yet, or did not live to, is raised here before it is shown.

        Raises:
            LogUnavailableError: the outside lock cannot be used now, or the witnesses did not cosign.
            OutsideLockError: the log is not the one that was raised; this worker stops appending.
            LogStateError: entries or tiles are missing, or are not those of the head.
        """
        raised = await asyncio.to_thread(self.outside.read)
        if raised.size <= index:
            head = await self._lock_head(connection)
            await self._check(connection, head)
            await self._raise(head.frontier, head.time, await self._in_force(head.keys))
            raised = await asyncio.to_thread(self.outside.read)
        if self.witnesses is not None and self._witnessed <= index:
            # Another worker raised it, and perhaps its witnesses did not cosign: then nothing was released.
            await self.witnesses.require(raised)
            self._witnessed = max(self._witnessed, raised.size)
        proof = await stored.proof(connection, self.number, index, raised.size)
        return write_receipt(entry, index, proof, raised.note)

    async def open_streams(
        self, connection: AsyncConnection, kind: StreamKind, stream_ids: Sequence[bytes]
    ) -> None:
        """Makes the rows of new streams; ids are 16 random bytes, chosen by the caller."""
        await writes.open_streams(connection, kind, stream_ids, self.master_version)

    async def make_partitions_ahead(self) -> None:
        """Makes the partitions of the entry table up to two past the head; harmless when repeated."""
        async with _database_errors(), self.engine.begin() as connection:
            await writes.make_partitions_ahead(connection, self.number)

    def month_key(self, stream_id: bytes, month: int) -> bytes:
        """The key of one stream for one month (yyyymm, UTC): what a person may be given (FORMAT 3)."""
        return self._labels.month_key(stream_id, month)

    async def _lock_head(self, connection: AsyncConnection) -> Head:
        head = await writes.lock_head(connection, self.number)
        if head.time - head.now > MAX_CLOCK_LEAD_MS:
            raise LogUnavailableError(
                "the newest entry is over 60 s in the future of the database's clock: set the clock right"
            )
        return head

    def _require_not_behind(self, head: Head, held: Raised) -> None:
        """Refuses a database that lacks entries which were raised: under the head lock none is on its way."""
        if held.size > head.size:
            self._halted = True
            raise OutsideLockError(
                f"the database is behind the outside lock: it holds {head.size} entries, {held.size} were "
                f"raised. {_BEHIND}"
            )

    async def _require_no_gap(self, head: Head) -> None:
        """A standby that took over may lack entries that were raised: nothing is put on top of a gap.

        A lock that cannot be read now is met again when it is to be raised, and then nothing is released.
        """
        try:
            held = await asyncio.to_thread(self.outside.glance)
        except (OutsideLockError, LogUnavailableError):
            return
        self._require_not_behind(head, held)

    async def _require_begins(
        self, connection: AsyncConnection, head: Head, name: str, checkpoint: Checkpoint
    ) -> None:
        """Refuses a database that does not begin with the tree that others hold."""
        if checkpoint.size > head.size:
            raise OutsideLockError(
                f"the database is behind {name}: it holds {head.size} entries, {checkpoint.size} were "
                f"signed. {_BEHIND}"
            )
        if await stored.root_at(connection, self.number, checkpoint.size) != checkpoint.root:
            raise OutsideLockError(
                f"{name} holds another tree of size {checkpoint.size}: this database is not the log that was "
                "published. Restore the right database"
            )

    async def _check(self, connection: AsyncConnection, head: Head) -> None:
        await stored.check_head(
            connection, self.number, size=head.size, chain=head.chain, frontier=head.frontier
        )

    async def _append(self, writing: Writing) -> Sequenced:
        connection, events = writing.connection, writing.events
        await self.sealer.prepare(max(writing.head.now, writing.head.time))
        streams = {event.stream for event in events}
        places = await writes.places_of(connection, streams)
        if len(places) != len(streams):
            raise _unknown_stream()
        sequencing = Sequencing(writing.head, places, self._labels, self.sealer.seal)
        async with writes.storing_payloads(connection, self.number) as store:
            for at in range(0, len(events), _AT_ONCE):
                await store.write(sequencing.take(events[at : at + _AT_ONCE]))
        new = sequencing.finish()
        await writes.append(connection, self.number, new, events)
        return new

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

    async def _verifier_keys_to(self, newest: int) -> tuple[VerifierKey, ...]:
        return tuple([key.key for epoch in range(1, newest + 1) for key in await self.signers.of(epoch)])

    async def _in_force(self, state: KeyState) -> tuple[LogKey, ...]:
        """The keys of these epochs; remembers them as those this worker saw last."""
        self._keys = tuple([key for epoch in state.epochs for key in await self.signers.of(epoch)])
        return self._keys

    async def _raise(self, frontier: Frontier, time: int, keys: Sequence[LogKey]) -> str:
        """Signs the frontier's checkpoint and raises the outside lock to it; returns the note.

        `time` is that of the newest entry, in ms: what a signature of type 0x06 states, in seconds.
        """
        checkpoint = Checkpoint(self.origin, frontier.size, frontier.root())
        try:
            note = sign_note(checkpoint, keys, time // 1000)
            new = Raised(frontier.size, frontier.root(), note)
            while (
                unproven := await asyncio.to_thread(self.outside.raise_to, new, self._roots.copy())
            ) is not None:
                # Another worker raised meanwhile. Its tree and ours are one when the stored entries give
                # both roots.
                async with _database_errors(), self.engine.connect() as connection:
                    ours = await stored.root_at(connection, self.number, frontier.size)
                    theirs = await stored.frontier_at(connection, self.number, unproven.held.size)
                _require_same(ours, new.root)
                self._remember(theirs)
                if theirs.size >= new.size and theirs.root() == unproven.held.root:
                    break  # A larger tree that holds ours was raised: so is ours, however fast others go on.
            if self.witnesses is not None:
                note = await self.witnesses.require(new)
                self._witnessed = max(self._witnessed, new.size)
        except BaseException:
            self._halted = True
            raise
        self._remember(frontier)
        return note


def _unknown_stream() -> LogStateError:
    return LogStateError("an event names a stream that was never opened")


def _require_same(stored_root: bytes, signed_root: bytes) -> None:
    if stored_root != signed_root:
        raise LogStateError("the stored entries do not give the root that was signed")


# Payloads are sent past SQLAlchemy, which would otherwise have translated the driver's errors.
_DATABASE_IS_GONE = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


@asynccontextmanager
async def _database_errors() -> AsyncIterator[None]:
    """Turns a database that is gone, slow or read-only into the log's own retryable error."""
    try:
        yield
    except _DATABASE_IS_GONE as error:
        raise LogUnavailableError("the database cannot be reached or refuses to write now") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LogUnavailableError("the connection to the database was lost") from error
        raise
