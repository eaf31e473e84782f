"""A log, an older copy of its database, and what was published of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import Checkpoint, SigningKey
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Log, StreamKind, Writing
from tests.access_log.logs import another_worker, operated, root_of, stored_entries
from tests.access_log.simulator import Memory, serve, stored_tiles
from tests.conftest import fresh_database
from vault.server.database import application_engine
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

FIRST, SECOND, LATER = uuid4().bytes, uuid4().bytes, uuid4().bytes
STREAMS = (SYSTEM_STREAM, FIRST, SECOND, FIRST, NOT_FOUND_STREAM)


@dataclass
class Disaster:
    """What is at hand when a database was lost: its older copy, the outside lock, what was published.

    Attributes:
        log: The log on its own database, as if nothing had happened.
        restored: The same log on the older copy; it is not started.
        owner_url: The older copy as its owner.
        size: Entries the copy holds.
        receipts: Every receipt that was given since.
    """

    log: Log
    restored: Log
    owner_url: str
    size: int
    receipts: list[str]

    async def published(self, size: int | None = None) -> Memory:
        """What was published, or its first entries with a checkpoint of their own."""
        return published(self.log, (await stored_entries(self.log))[:size])


def published(log: Log, entries: list[bytes], key: SigningKey | None = None) -> Memory:
    """Entries as a server of files shows them, signed by the log's key or another."""
    note = (key or log.key).sign(Checkpoint(log.origin, len(entries), root_of(entries)))
    return serve(dict(enumerate(entries)), stored_tiles(entries), note, len(entries))


async def fill(log: Log, count: int, *, streams: tuple[bytes, ...] = STREAMS) -> list[Writing]:
    """Appends events, in a few transactions."""
    done: list[Writing] = []
    for start in range(0, count, 150):
        async with log.writing() as writing:
            for at in range(start, min(start + 150, count)):
                writing.add(operated(streams[at % len(streams)], f"event {at}"))
        done.append(writing)
    return done


@asynccontextmanager
async def disaster(
    postgres: EmbeddedDatabase, folder: Path, *, before: int = 300, after: int = 500
) -> AsyncIterator[Disaster]:
    """A copy of the database is made after `before` entries; `after` more follow, some of a new stream."""
    lock = folder / "outside.lock"
    with fresh_database(postgres) as name:
        copy = f"copy_{uuid4().hex}"
        engine = _engine(postgres, name)
        log = another_worker(engine, lock)
        await log.create()
        async with engine.begin() as connection:
            await log.open_streams(connection, StreamKind.PERSON, [FIRST, SECOND])
        await fill(log, before)
        await engine.dispose()
        _administer(postgres, f"CREATE DATABASE {copy} TEMPLATE {name} OWNER {OWNER}")
        restored = another_worker(_engine(postgres, copy), lock)
        try:
            async with engine.begin() as connection:
                await log.open_streams(connection, StreamKind.PERSON, [LATER])
            done = await fill(log, after, streams=(*STREAMS, LATER))
            receipts = [each for one in done for each in one.receipts]
            yield Disaster(log, restored, postgres.url(OWNER, copy), before, receipts)
        finally:
            await restored.engine.dispose()
            await engine.dispose()
            _administer(postgres, f"DROP DATABASE {copy} WITH (FORCE)")


def _engine(postgres: EmbeddedDatabase, name: str) -> AsyncEngine:
    return application_engine(postgres.url(APPLICATION, name), Settings())


def _administer(postgres: EmbeddedDatabase, statement: str) -> None:
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()
