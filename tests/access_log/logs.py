"""Logs on a real database, and what a test does with them."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log import stored
from access_log.checkpoint import VerifierKey
from access_log.entry import Entry, EntryType, first_chain, next_chain
from access_log.lock import OutsideLock
from access_log.log import SYSTEM_STREAM, Event, Log, Sealer, Signers, Writing
from access_log.merkle import Frontier, leaf_hash
from access_log.payload import Payload
from access_log.receipt import VerifiedReceipt, verify_receipt
from access_log.stored_log import StoredLog
from tests.conftest import ORIGIN, PlainSealer, SeededSigners


def another_worker(
    engine: AsyncEngine,
    lock: Path,
    *,
    origin: str = ORIGIN,
    sealer: Sealer | None = None,
    signers: Signers | None = None,
    kind: type[Log] = Log,
) -> Log:
    """A log object as one more worker process would hold it; it is not started."""
    return kind(
        engine,
        origin=origin,
        master=bytes(range(32)),
        sealer=sealer or PlainSealer(),
        signers=signers or SeededSigners(origin),
        outside=OutsideLock(lock),
    )


def heartbeat(stream: bytes = SYSTEM_STREAM) -> Event:
    return Event(stream, Payload.create(EntryType.HEARTBEAT, {}))


def operated(stream: bytes, what: str) -> Event:
    return Event(stream, Payload.create(EntryType.OPERATOR, {"event": what}))


async def append(log: Log, count: int = 1, stream: bytes = SYSTEM_STREAM) -> Writing:
    """Appends heartbeats in one transaction."""
    async with log.writing() as writing:
        for _ in range(count):
            writing.add(heartbeat(stream))
    return writing


def keys_of(log: Log) -> Sequence[VerifierKey]:
    return [VerifierKey.parse(log.key.verifier_key())]


def verified(log: Log, writing: Writing) -> list[VerifiedReceipt]:
    """Verifies every receipt of a transaction, and that each is of its own entry."""
    receipts = [verify_receipt(text, keys_of(log)) for text in writing.receipts]
    assert [one.index for one in receipts] == writing.indexes
    assert len(receipts) == len(writing.events)
    return receipts


async def stored_entries(log: StoredLog) -> list[bytes]:
    """Every entry of the database, whose indexes must have no gap."""
    async with log.engine.connect() as connection:
        rows = await stored.entries(connection, log.number, 0, 1 << 40)
    assert [index for index, _ in rows] == list(range(len(rows)))
    return [raw for _, raw in rows]


async def check_chain(log: Log) -> list[bytes]:
    """The stored entries, which must be one chain with times that never decrease."""
    entries = await stored_entries(log)
    chain, time = first_chain(log.origin), 0
    for raw in entries:
        entry = Entry.decode(raw)
        assert entry.previous == chain
        assert entry.time >= time
        chain, time = next_chain(chain, leaf_hash(raw)), entry.time
    return entries


def root_of(entries: Sequence[bytes]) -> bytes:
    return Frontier.empty().extend([leaf_hash(raw) for raw in entries]).root()


def as_owner(url: str, *statements: str, **values: object) -> None:
    """What a tamperer inside does: triggers off, then anything."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE access_log.entry DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement), values)
    engine.dispose()


def narrow_partitions(url: str, width: int, up_to: int) -> None:
    """Makes the partitions of an empty log so wide; the schema states their width in one function."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION access_log.partition_width() RETURNS bigint LANGUAGE sql"
                f" IMMUTABLE AS 'SELECT {width}::bigint'"
            )
        )
        names = connection.scalars(
            text(
                "SELECT inhrelid::regclass::text FROM pg_inherits"
                " WHERE inhparent = 'access_log.entry'::regclass"
            )
        )
        for name in names.all():
            connection.execute(text(f"DROP TABLE {name}"))
        connection.execute(text(f"SELECT access_log.make_partitions({up_to})"))
    engine.dispose()
