"""The one writer: commit, sign, raise, and only then may anything be released (FORMAT 9).

    async with log.writing() as writing:       # 1. the head row is locked first, nothing before it
        ...                                    # 2. the caller reads live state and decides
        position = writing.add(event)
                                               # 3. entries chained, head advanced   (same transaction);
                                               #    what the events end is kept beside the outside lock
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
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import comparing, key_changes, stored, writes
from access_log.archive import Archive
from access_log.batch import Batcher
from access_log.checkpoint import Checkpoint
from access_log.endings import NOBODY, Ending
from access_log.errors import LogClosedError, LogStateError, LogUnavailableError, OutsideLockError
from access_log.failing import database_errors
from access_log.lent import LogKey, Sealer, Signers, Witnesses
from access_log.lock import OutsideLock, Raised
from access_log.merkle import EMPTY_ROOT, Frontier
from access_log.payload import Payload
from access_log.raising import Raising
from access_log.reapplying import Endings
from access_log.receipt import write_receipt
from access_log.references import Reference, shown_by
from access_log.sequence import Event, Head, KeyState, Place, Receipts, RequestMark, Sequenced, sequence
from access_log.signing_keys import SigningKey, sign_note
from access_log.stored_log import StoredLog
from access_log.tiles import WIDTH
from access_log.writes import StreamKind

MAX_CLOCK_LEAD_MS = 60_000
STREAM_ID_SIZE = 16
_MOST_TOGETHER = 256
_AT_ONCE = 48  # payloads of about 2 KB: what a socket takes at once, so that PostgreSQL works beside us
SYSTEM_STREAM = hashlib.sha256(b"creditvault system stream v1").digest()[:STREAM_ID_SIZE]
NOT_FOUND_STREAM = hashlib.sha256(b"creditvault not-found stream v1").digest()[:STREAM_ID_SIZE]


__all__ = [
    "NOT_FOUND_STREAM",
    "STREAM_ID_SIZE",
    "SYSTEM_STREAM",
    "Appended",
    "Event",
    "Log",
    "LogKey",
    "RequestMark",
    "Sealer",
    "Signers",
    "StreamKind",
    "Witnesses",
    "Writing",
]


@dataclass
class Writing:
    """A transaction that holds the head lock, and afterwards the receipts of what it wrote.

    Attributes:
        keys: which keys sign its checkpoint: those the head names, unless this transaction changes them.
        places: where streams stand, as far as that was read under the lock.
        successor: origin of the log to be opened in its place: set by who closes it with this transaction.
    """

    connection: AsyncConnection
    head: Head
    keys: KeyState
    events: list[Event] = field(default_factory=list)
    ended: list[tuple[int, int, UUID, UUID]] = field(default_factory=list)
    places: dict[bytes, Place] = field(default_factory=dict)
    indexes: list[int] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    receipts: Sequence[str] = ()
    successor: str | None = None

    @property
    def now(self) -> datetime:
        """The moment of this transaction, UTC: the time its entries carry."""
        return datetime.fromtimestamp(max(self.head.now, self.head.time) / 1000, UTC)

    def add(self, event: Event) -> int:
        """Puts an event in line; returns its position among this transaction's events."""
        self.events.append(event)
        return len(self.events) - 1

    def end(self, kind: int, of: UUID, subject: UUID = NOBODY) -> None:
        """Has it kept beside the outside lock that the event added last ended something (`endings`).

        Args:
            kind: what happened (FORMAT 9.1).
            of: what it is about.
            subject: whose it is, if it is a person's.
        """
        self.ended.append((len(self.events) - 1, kind, of, subject))


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of one caller's events: their entries are durable and raised."""

    indexes: Sequence[int]
    payloads: Sequence[Payload]
    receipts: Sequence[str]


class Log(StoredLog):
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
        endings: where acts that end something are kept through a restore; None keeps none.
        number: among the logs of the database, from 1; those before it are closed.
    """

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
        endings: Endings | None = None,
        number: int = 1,
    ) -> None:
        super().__init__(
            engine,
            origin=origin,
            master=master,
            sealer=sealer,
            signers=signers,
            outside=outside,
            archive=archive,
            number=number,
        )
        self.references = references
        self.earlier: tuple[StoredLog, ...] = ()
        """The logs that were closed before it, the oldest first, for whoever reads across them."""
        self.endings = endings
        self._raising = Raising(self, witnesses)
        self._keys: tuple[LogKey, ...] = ()  # in force when the head was last seen
        self._appends = Batcher(self._append_together, window=0, most=_MOST_TOGETHER)
        self._halted = True  # until `start` has compared the database with the outside lock
        self._tail: tuple[int, list[bytes]] = (0, [])  # (log size, leaves of its unfinished tile)

    @property
    def running(self) -> bool:
        """Whether this worker appends; False until `start` and after a failed raise."""
        return not self._halted

    @property
    def witnesses(self) -> Witnesses | None:
        """Who is asked about each checkpoint before anything is released."""
        return self._raising.witnesses

    @witnesses.setter
    def witnesses(self, witnesses: Witnesses | None) -> None:
        self._raising.witnesses = witnesses

    @property
    def key(self) -> SigningKey:
        """The newest Ed25519 key this worker has signed with; there is one from `create` or `start` on."""
        return [key for key in self._keys if isinstance(key, SigningKey)][-1]

    async def create(self) -> None:
        """Makes the head, the shared streams and the outside lock of a new log; harmless when repeated.

        A log that holds entries is given no new lock, and no new file of endings: `start` refuses it until
        its own are restored.

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
                if self.endings is not None and not self.endings.file.exists():
                    await asyncio.to_thread(self.endings.file.create)
                await asyncio.to_thread(self.outside.create, Raised(0, EMPTY_ROOT, note))

    async def start(self) -> None:
        """Compares the database with the outside lock and what others hold, then signs and raises its head.

        What a restored database lacks of the endings that were kept is applied in the same transaction.
        Start, failover and recovery after a failed raise all come this way.

        Raises:
            OutsideLockError: the database is behind the outside lock or a reference, or is another log; or
                the endings that were kept are missing or damaged.
            LogStateError: head and entries disagree, or the origin is another.
            LogUnavailableError: database or lock cannot be reached now; try again.
        """
        # Asked before the head is locked: nobody waits for a web server, or for a second connection.
        keys = await self.every_verifier_key()
        shown = await shown_by(self.references, keys)
        async with self.transaction() as connection:
            head = await self.checked_head(connection)
            held = await asyncio.to_thread(self.outside.read)
            # Whatever signed the lock stood in the database before, and so in the head.
            known = await self.verifier_keys_to(head.keys.epoch)
            key_changes.require_known(held.note, self.origin, known)
            self._require_not_behind(head, held)
            for name, checkpoint in shown:
                await comparing.require_begins(connection, self.number, head, name, checkpoint)
            frontier, time = head.frontier, head.time
            new = await self._reapplied(connection, head)
            if new is not None:
                frontier, time = new.frontier, new.time
        self._raising.forget()
        await self._raise(frontier, time, await self._in_force(head.keys))
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
        async with database_errors(), self.engine.connect() as connection, connection.begin():
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
            if writing.successor is not None:
                # Last of all: from here on the database refuses this log every change.
                await writes.close_head(connection, self.number, writing.successor)
            # From here the entries are durable; nothing is visible until the lock is raised.
        self._tail = (new.frontier.size, tail)
        self._raising.remember(writing.head.frontier)
        note = await self._raise(new.frontier, new.time, keys)
        writing.payloads = new.payloads
        writing.indexes = list(range(writing.head.size, new.frontier.size))
        writing.receipts = Receipts(new, note)

    async def checked_head(self, connection: AsyncConnection) -> Head:
        """Locks the head, and compares it with the entries behind it.

        Raises:
            LogStateError: there is no log, it is another one, or head and entries disagree.
        """
        head = await self._lock_head(connection)
        (origin,) = [one.origin for one in await writes.logs(connection) if one.number == self.number]
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

    async def reapply_unstarted(self, connection: AsyncConnection) -> int:
        """Applies once more, in the caller's transaction, what a restored database lacks of the endings kept.

        For reimport, as `append_unstarted`; returns how many acts it was.

        Raises:
            OutsideLockError: what was kept is missing or damaged.
            LogUnavailableError: it cannot be read now.
        """
        new = await self._reapplied(connection, await self._lock_head(connection))
        return 0 if new is None else len(new.leaves)

    async def apply_unstarted(
        self, connection: AsyncConnection, act: Callable[[Writing], Awaitable[object]]
    ) -> None:
        """Lets an act add its events in the caller's transaction, for closing, as `append_unstarted`."""
        head = await self._lock_head(connection)
        writing = Writing(connection, head, head.keys)
        await act(writing)
        if writing.events:
            new = await self._append(writing)
            await self._write_tiles(connection, new.first, new.leaves)

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
            writing.places = await writes.places_of(writing.connection, self.number, streams)
            for events in asked:
                first = len(writing.events)
                if all(event.stream in writing.places for event in events):
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
        await self._raising.require_witnessed(raised, index)
        proof = await stored.proof(connection, self.number, index, raised.size)
        return write_receipt(entry, index, proof, raised.note)

    async def open_streams(
        self, connection: AsyncConnection, kind: StreamKind, stream_ids: Sequence[bytes]
    ) -> None:
        """Makes the rows of new streams; ids are 16 random bytes, chosen by the caller."""
        await writes.open_streams(connection, self.number, kind, stream_ids, self.master_version)

    async def make_partitions_ahead(self) -> None:
        """Makes the partitions of the entry table up to two past the head; harmless when repeated."""
        async with database_errors(), self.engine.begin() as connection:
            await writes.make_partitions_ahead(connection, self.number)

    async def _lock_head(self, connection: AsyncConnection) -> Head:
        head = await writes.lock_head(connection, self.number)
        if head.successor is not None:
            self._halted = True
            raise await closed(connection, self.origin, head.successor)
        if head.time - head.now > MAX_CLOCK_LEAD_MS:
            raise LogUnavailableError(
                "the newest entry is over 60 s in the future of the database's clock: set the clock right"
            )
        return head

    def _require_not_behind(self, head: Head, held: Raised) -> None:
        try:
            comparing.require_not_behind(head, held)
        except OutsideLockError:
            self._halted = True
            raise

    async def _require_no_gap(self, head: Head) -> None:
        """A standby that took over may lack entries that were raised: nothing is put on top of a gap.

        A lock that cannot be read now is met again when it is to be raised, and then nothing is released.
        """
        try:
            held = await asyncio.to_thread(self.outside.glance)
        except (OutsideLockError, LogUnavailableError):
            return
        self._require_not_behind(head, held)

    async def _check(self, connection: AsyncConnection, head: Head) -> None:
        await stored.check_head(
            connection, self.number, size=head.size, chain=head.chain, frontier=head.frontier
        )

    async def _reapplied(self, connection: AsyncConnection, head: Head) -> Sequenced | None:
        """The entries of endings that had to be applied once more; None if there are none."""
        if self.endings is None:
            return None
        writing = Writing(connection, head, head.keys)
        await self.endings.reapply(self, writing)
        if not writing.events:
            return None
        new = await self._append(writing)
        await self._write_tiles(connection, new.first, new.leaves)
        return new

    async def _append(self, writing: Writing) -> Sequenced:
        connection, events = writing.connection, writing.events
        expiry_id, seal = await self.sealer.at(max(writing.head.now, writing.head.time))
        streams = {event.stream for event in events}
        if unread := streams - writing.places.keys():
            writing.places |= await writes.places_of(connection, self.number, unread)
        if not streams <= writing.places.keys():
            raise _unknown_stream()
        places = {stream: writing.places[stream] for stream in streams}
        new = sequence(writing.head, places, self.labels, events)
        sealing = _sealed(new, seal)
        ready = []
        # PostgreSQL writes the entries while we seal the first payloads, and stores those while we seal more.
        entries = asyncio.create_task(writes.append(connection, self.number, new, events))
        try:
            await asyncio.sleep(0)  # the statement is sent
            while not entries.done() and (sealed := next(sealing, None)) is not None:
                ready.append(sealed)
                await asyncio.sleep(0)
        finally:
            await entries
        async with writes.storing_payloads(connection, self.number, expiry_id) as store:
            for first, payloads in itertools.chain(ready, sealing):
                await store.write(first, payloads)
        if writing.ended and self.endings is not None:
            # Durable before the commit: a crash between leaves a record that no entry bears out.
            kept = [
                Ending(kind, new.time, new.first + at, new.leaves[at], of, subject)
                for at, kind, of, subject in writing.ended
            ]
            await asyncio.to_thread(self.endings.file.keep, kept)
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

    async def _in_force(self, state: KeyState) -> tuple[LogKey, ...]:
        """The keys of these epochs; remembers them as those this worker saw last."""
        self._keys = await self.signing_keys(state)
        return self._keys

    async def _raise(self, frontier: Frontier, time: int, keys: Sequence[LogKey]) -> str:
        """Signs and raises, or halts: nothing is appended on top of what could not be raised."""
        try:
            return await self._raising.raise_to(frontier, time, keys)
        except BaseException:
            self._halted = True
            raise


async def closed(connection: AsyncConnection, origin: str, successor: str) -> LogClosedError:
    """What whoever meets a closed log is told; whether the next one is there tells them what to do."""
    if any(one.origin == successor for one in await writes.logs(connection)):
        return LogClosedError(
            f"the log {origin} is closed, and {successor} was opened in its place: set "
            f"CREDITVAULT_LOG_ORIGIN={successor} and start again"
        )
    return LogClosedError(
        f"the log {origin} is closed, and {successor} is not yet opened in its place: run "
        f"`creditvault log close --new-origin {successor}` again"
    )


def _sealed(
    new: Sequenced, seal: Callable[[int, Sequence[bytes]], list[bytes]]
) -> Iterator[tuple[int, list[bytes]]]:
    """The payloads, sealed as they are asked for, some at a time: index of the first of them, and they."""
    for at in range(0, len(new.payloads), _AT_ONCE):
        first, payloads = new.first + at, new.payloads[at : at + _AT_ONCE]
        yield first, seal(first, [payload.encode() for payload in payloads])


def _unknown_stream() -> LogStateError:
    return LogStateError("an event names a stream that was never opened")
