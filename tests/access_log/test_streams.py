"""Entries of a stream, found again by their labels alone."""

from base64 import b64decode
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Log, StreamKind
from access_log.merkle import leaf_hash
from access_log.streams import StreamEntry, entries_of
from tests.access_log.logs import append, operated, stored_entries

NOW = datetime.now(UTC)


async def opened(log: Log, stream: bytes, since: datetime = NOW) -> list[StreamEntry]:
    async with log.engine.connect() as connection:
        return await entries_of(connection, log, stream, since)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 130])
async def test_every_entry_is_found_newest_first(log: Log, count: int) -> None:
    one, other = uuid4().bytes, uuid4().bytes
    async with log.writing() as writing:
        await log.open_streams(writing.connection, StreamKind.PERSON, [one, other])
        for at in range(count):
            writing.add(operated(one, f"act {at}"))
            writing.add(operated(other, "somebody else's"))
    found = await opened(log, one)
    assert [entry.index for entry in found] == list(range(0, 2 * count, 2))[::-1]
    assert [entry.payload and entry.payload.values()["event"] for entry in found] == [
        f"act {at}" for at in range(count)
    ][::-1]


async def test_a_payload_past_its_retention_leaves_the_entry(log: Log) -> None:
    await append(log, 3)
    async with log.engine.begin() as connection:
        await connection.execute(text("DELETE FROM access_log.payload WHERE index = 1"))
    found = await opened(log, SYSTEM_STREAM)
    assert [entry.payload is None for entry in found] == [False, True, False]
    assert [entry.entry.encode() for entry in found] == (await stored_entries(log))[::-1]


async def test_a_stream_is_followed_over_the_year(log: Log) -> None:
    """The stream's last entry was in a month before: `previous` crosses to it, numbers begin again."""
    await append(log, 2, NOT_FOUND_STREAM)
    async with log.engine.begin() as connection:
        await connection.execute(text("UPDATE access_log.stream SET month = 202512"))
    await append(log, 1, SYSTEM_STREAM)
    entries = await stored_entries(log)
    since = datetime(2025, 11, 30, 12, tzinfo=UTC)
    (first,) = await opened(log, SYSTEM_STREAM, since)
    assert first.payload is not None
    assert first.payload.values()["seq"] == 1
    assert b64decode(str(first.payload.values()["previous"])) == bytes(32)
    found = await opened(log, NOT_FOUND_STREAM, since)
    assert [entry.index for entry in found] == [1, 0]
    assert found[0].payload is not None
    assert b64decode(str(found[0].payload.values()["previous"])) == leaf_hash(entries[0])


async def test_an_unknown_stream_has_no_entries(log: Log) -> None:
    await append(log, 2)
    assert await opened(log, uuid4().bytes) == []
