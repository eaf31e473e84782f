"""Finding a request again: after an unknown outcome by its id, for a repeat by its idempotency key."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import create_engine, text

from access_log import requests
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, RequestMark
from access_log.merkle import leaf_hash
from access_log.payload import Payload
from tests.access_log.logs import stored_entries

CLIENT, OTHER = uuid4(), uuid4()
KEY, ANOTHER = b"k" * 32, b"a" * 32
LONG_AGO = datetime.now(UTC) - timedelta(minutes=10)


async def asked(log: Log, client: UUID = CLIENT, key: bytes | None = KEY, body: bytes = bytes(32)) -> UUID:
    """Appends the entry of one request."""
    mark = RequestMark(uuid4(), client, key, body)
    payload = Payload.create(EntryType.QUERY_PERMITTED, {"case_reference": str(mark.request_id)})
    async with log.writing() as writing:
        writing.add(Event(SYSTEM_STREAM, payload, mark))
    return mark.request_id


async def test_known_requests_come_with_their_leaf(log: Log) -> None:
    known = [await asked(log), await asked(log, key=None)]
    async with log.engine.connect() as connection:
        found = await requests.known_leaves(connection, log.number, [*known, uuid4()])
    assert found == {one: leaf_hash(raw) for one, raw in zip(known, await stored_entries(log), strict=True)}


async def test_a_forgotten_request_is_unknown(log: Log) -> None:
    one, other = await asked(log), await asked(log, key=ANOTHER)
    async with log.engine.begin() as connection:
        await requests.forget(connection, log.number, [one, uuid4()])
        assert set(await requests.known_leaves(connection, log.number, [one, other])) == {other}
        assert await requests.earlier(connection, log.number, [(CLIENT, KEY)], LONG_AGO) == {}
    assert len(await stored_entries(log)) == 2


async def test_the_newest_under_each_key_of_each_client(log: Log) -> None:
    await asked(log, body=b"1" * 32)
    await asked(log, OTHER, KEY, b"2" * 32)
    await asked(log, CLIENT, ANOTHER, b"3" * 32)
    newest = await asked(log, body=b"4" * 32)
    await asked(log, key=None)
    entries = await stored_entries(log)
    async with log.engine.connect() as connection:
        sought = [(CLIENT, KEY), (OTHER, KEY), (CLIENT, ANOTHER), (OTHER, ANOTHER)]
        found = await requests.earlier(connection, log.number, sought, LONG_AGO)
    assert {place: one.body[:1] for place, one in found.items()} == {
        (CLIENT, KEY): b"4",
        (OTHER, KEY): b"2",
        (CLIENT, ANOTHER): b"3",
    }
    again = found[CLIENT, KEY]
    assert (again.index, again.entry) == (3, entries[3])
    opened = await log.sealer.open(again.index, again.expiry_id, again.sealed)
    assert opened is not None
    assert Payload.decode(opened).values()["case_reference"] == str(newest)


async def test_what_is_older_than_the_window_is_not_found(log: Log, owner_url: str) -> None:
    await asked(log)
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(text("UPDATE access_log.request SET time = time - interval '2 days'"))
    owner.dispose()
    async with log.engine.connect() as connection:
        assert await requests.earlier(connection, log.number, [(CLIENT, KEY)], LONG_AGO) == {}


async def test_a_payload_that_is_gone_cannot_be_repeated(log: Log) -> None:
    await asked(log)
    async with log.engine.begin() as connection:
        await connection.execute(text("DELETE FROM access_log.payload"))
        assert await requests.earlier(connection, log.number, [(CLIENT, KEY)], LONG_AGO) == {}
