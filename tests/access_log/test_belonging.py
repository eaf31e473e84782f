"""Every entry in the stream it belongs to: whatever is filed elsewhere is found, with its index."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.belonging import Case
from access_log.entry import EntryType
from access_log.fsck import Report, examine_log
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Event, Log, StreamKind
from access_log.payload import Payload
from tests.access_log.logs import as_owner

ANN, BOB = str(UUID(int=1)), str(UUID(int=2))
COURT, ORDER = str(UUID(int=3)), str(UUID(int=4))
STREAMS = {ANN: b"a" * 16, BOB: b"b" * 16}
COVERT = b"c" * 16
FOREVER = 2**60
CASE = Case(COVERT, ANN, COURT, ORDER, "(2026) Court 17", 0, FOREVER)


@dataclass
class Register:
    """Whose stream is whose, as a vault would know it."""

    streams: dict[str, bytes] = field(default_factory=lambda: dict(STREAMS))
    known_cases: list[Case] = field(default_factory=lambda: [CASE])

    async def streams_of(self, connection: AsyncConnection, subjects: Collection[str]) -> Mapping[str, bytes]:
        return {each: self.streams[each] for each in subjects if each in self.streams}

    async def cases(self, connection: AsyncConnection) -> Sequence[Case]:
        return self.known_cases


@pytest.fixture
async def filled(log: Log) -> Log:
    """Eleven entries, each where it belongs."""
    async with log.writing() as writing:
        await log.open_streams(writing.connection, StreamKind.PERSON, list(STREAMS.values()))
        await log.open_streams(writing.connection, StreamKind.COVERT, [COVERT])
    await write(log, SYSTEM_STREAM, EntryType.HEARTBEAT)
    await write(log, SYSTEM_STREAM, EntryType.AUTHORIZATION)
    await write(log, STREAMS[ANN], EntryType.RECORD, subject=ANN)
    await write(log, STREAMS[BOB], EntryType.RECORD, subject=BOB)
    await write(log, STREAMS[ANN], EntryType.QUERY_PERMITTED, subject=ANN, body=COURT, basis="another")
    await write(log, STREAMS[BOB], EntryType.QUERY_REFUSED, subject=BOB, body=COURT, basis=ORDER)
    await write(log, COVERT, EntryType.QUERY_PERMITTED, subject=ANN, body=COURT, basis=ORDER)
    await write(log, COVERT, EntryType.NOT_RELEASED, subject=ANN)
    await write(log, NOT_FOUND_STREAM, EntryType.QUERY_PERMITTED, body=COURT, basis="another")
    await write(log, STREAMS[ANN], EntryType.NOT_RELEASED, subject=ANN)
    await write(log, SYSTEM_STREAM, EntryType.OPERATOR)
    return log


async def write(log: Log, stream: bytes, kind: EntryType, **values: str) -> int:
    async with log.writing() as writing:
        position = writing.add(Event(stream, Payload.create(kind, values)))
    return writing.indexes[position]


async def audit(log: Log, register: Register | None = None) -> Report:
    return await examine_log(log, altered=(), retention_years=10, owners=register or Register())


def told(report: Report) -> list[tuple[int | None, str]]:
    return [(finding.index, finding.reason) for finding in report.findings]


async def test_entries_where_they_belong_are_sound(filled: Log) -> None:
    report = await audit(filled)
    assert report.sound, report.findings
    assert report.belonging == 9
    assert (await examine_log(filled, altered=(), retention_years=10)).belonging is None


@pytest.mark.parametrize(
    ("stream", "kind", "values", "reason"),
    [
        (STREAMS[BOB], EntryType.QUERY_PERMITTED, {"subject": ANN}, "hidden from them"),
        (SYSTEM_STREAM, EntryType.QUERY_PERMITTED, {"subject": ANN}, "hidden from them"),
        (NOT_FOUND_STREAM, EntryType.QUERY_REFUSED, {"subject": ANN}, "hidden from them"),
        (STREAMS[BOB], EntryType.NOT_RELEASED, {"subject": ANN}, "hidden from them"),
        (SYSTEM_STREAM, EntryType.CONSENT, {"subject": BOB}, "hidden from them"),
        (STREAMS[ANN], EntryType.QUERY_PERMITTED, {}, "the stream for those not found"),
        (SYSTEM_STREAM, EntryType.QUERY_REFUSED, {}, "the stream for those not found"),
        (STREAMS[ANN], EntryType.RIGHTS, {}, "the stream of the system"),
        (STREAMS[ANN], EntryType.QUERY_PERMITTED, {"subject": str(UUID(int=9))}, "does not know"),
        (COVERT, EntryType.RECORD, {"subject": ANN}, "where only queries stand"),
        (
            COVERT,
            EntryType.QUERY_PERMITTED,
            {"subject": BOB, "body": COURT, "basis": ORDER},
            "another person's",
        ),
        (
            COVERT,
            EntryType.QUERY_PERMITTED,
            {"subject": ANN, "body": COURT, "basis": "x"},
            "does not belong to",
        ),
        (
            COVERT,
            EntryType.QUERY_PERMITTED,
            {"subject": ANN, "body": "x", "basis": ORDER},
            "does not belong to",
        ),
        (COVERT, EntryType.NOT_RELEASED, {"subject": BOB}, "another person's"),
        (
            STREAMS[ANN],
            EntryType.QUERY_PERMITTED,
            {"subject": ANN, "body": COURT, "basis": ORDER},
            "belongs to a covert case",
        ),
    ],
)
async def test_an_entry_under_a_foreign_label_is_found(
    filled: Log, stream: bytes, kind: EntryType, values: dict[str, str], reason: str
) -> None:
    index = await write(filled, stream, kind, **values)
    await write(filled, stream, EntryType.HEARTBEAT)
    ((found, why),) = told(await audit(filled))
    assert found == index
    assert reason in why
    # To the log alone, which knows no persons, it is as good as any other.
    assert (await examine_log(filled, altered=(), retention_years=10)).sound


@pytest.mark.parametrize("kind", [StreamKind.PERSON, StreamKind.COVERT])
async def test_an_entry_under_a_label_that_is_nobodys_is_found(filled: Log, kind: StreamKind) -> None:
    rogue = b"r" * 16
    async with filled.writing() as writing:
        await filled.open_streams(writing.connection, kind, [rogue])
    index = await write(filled, rogue, EntryType.QUERY_PERMITTED, subject=ANN, body=COURT, basis=ORDER)
    found = told(await audit(filled))
    assert found[0][0] == index
    if kind is StreamKind.COVERT:
        assert (None, "a covert stream belongs to no case: who opened it hides queries") in found


async def test_an_entry_under_a_random_label_is_found(filled: Log, owner_url: str) -> None:
    index = await write(filled, STREAMS[ANN], EntryType.QUERY_PERMITTED, subject=ANN)
    relabel = (
        "UPDATE access_log.entry SET entry = overlay(entry placing decode(repeat('ab', 32), 'hex') from 43)"
        f" WHERE index = {index}"
    )
    as_owner(owner_url, relabel)
    assert told(await audit(filled))[0][0] == index


async def test_an_entry_under_a_skipped_number_is_found(filled: Log, owner_url: str) -> None:
    as_owner(
        owner_url, f"UPDATE access_log.stream SET seq = seq + 1 WHERE stream_id = '\\x{STREAMS[ANN].hex()}'"
    )
    index = await write(filled, STREAMS[ANN], EntryType.QUERY_PERMITTED, subject=ANN)
    found = told(await audit(filled))
    assert len(found) == 1
    # Its number does not follow that of the entry before, which it names.
    assert found[0][0] == 9
    assert f"entry {index} names it with another number" in found[0][1]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (replace(CASE, court_reference=None), "no court reference"),
        (replace(CASE, court_reference="  "), "no court reference"),
        (replace(CASE, until=None), "no end date"),
        (replace(CASE, stream=b"d" * 16), "belongs to no case"),
    ],
)
async def test_a_covert_stream_without_reference_or_end_is_found(
    filled: Log, case: Case, reason: str
) -> None:
    report = await audit(filled, Register(known_cases=[case]))
    assert any(reason in why for _, why in told(report))


async def test_two_cases_do_not_share_a_stream(filled: Log) -> None:
    other = replace(CASE, subject=BOB, basis="another")
    report = await audit(filled, Register(known_cases=[CASE, other]))
    assert (None, "two covert cases share one stream") in told(report)


async def test_what_is_asked_after_a_case_ended_belongs_to_the_person(filled: Log) -> None:
    index = await write(filled, COVERT, EntryType.QUERY_PERMITTED, subject=ANN, body=COURT, basis=ORDER)
    async with filled.writing() as writing:
        ended = replace(CASE, until=int(writing.now.timestamp() * 1000) - 3_600_000)
    found = told(await audit(filled, Register(known_cases=[ended])))
    assert [where for where, _ in found] == [6, index]
    assert all("or that had ended" in why for _, why in found)


async def test_an_entry_past_retention_is_exempt(filled: Log, owner_url: str) -> None:
    index = await write(filled, STREAMS[BOB], EntryType.QUERY_PERMITTED, subject=ANN)
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM access_log.payload WHERE index = {index}"))
    engine.dispose()
    report = await examine_log(filled, altered=(), retention_years=-1, owners=Register())
    assert report.expired == 1
    assert index not in [finding.index for finding in report.findings]
