"""The log examined in its database: whatever its owner alters is found, with the index."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log import fsck
from access_log.checkpoint import Checkpoint, SigningKey
from access_log.entry import Entry, EntryType, next_chain
from access_log.findings import MOST, Finding, Findings
from access_log.fsck import Report, examine_log
from access_log.lock import OutsideLock, Raised
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, Event, Log, RequestMark, StreamKind
from access_log.merkle import leaf_hash
from access_log.payload import Payload
from tests.conftest import ORIGIN, PlainSealer, SeededSigners, fresh_database
from vault.server.database import application_engine
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

SIZE = 600  # two full tiles and a partial one
FIRST, SECOND = uuid4().bytes, uuid4().bytes


class _AlteredError(Exception):
    """What a sealer raises for a ciphertext that is not its own."""


class _MarkingSealer(PlainSealer):
    """Binds each payload to its index, as a real sealer does."""

    def seal(self, first: int, plaintexts: Sequence[bytes]) -> list[bytes]:
        return [index.to_bytes(8, "big") + plaintext for index, plaintext in enumerate(plaintexts, first)]

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        if sealed[:8] != index.to_bytes(8, "big"):
            raise _AlteredError
        return sealed[8:]


@dataclass(frozen=True)
class Filled:
    """A log of `SIZE` entries in four streams, and its owner's way in."""

    log: Log
    owner_url: str

    def tamper(self, act: Callable[[Connection], object]) -> None:
        engine = create_engine(self.owner_url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE access_log.entry DISABLE TRIGGER USER"))
            act(connection)
        engine.dispose()

    def alter(self, statement: str, **values: object) -> None:
        self.tamper(lambda connection: connection.execute(text(statement), values))

    async def examine(self, **options: int) -> Report:
        return await examine_log(
            self.log, altered=(_AlteredError,), retention_years=options.get("retention_years", 10)
        )


def _stream_of(index: int) -> bytes:
    return (SYSTEM_STREAM, FIRST, SECOND, FIRST, NOT_FOUND_STREAM)[index % 5]


@pytest.fixture
async def filled(postgres: EmbeddedDatabase, tmp_path: Path) -> AsyncIterator[Filled]:
    with fresh_database(postgres) as name:
        engine = application_engine(postgres.url(APPLICATION, name), Settings())
        log = await _open(engine, tmp_path / "outside.lock")
        async with log.engine.begin() as connection:
            await log.open_streams(connection, StreamKind.PERSON, [FIRST, SECOND])
        for start in range(0, SIZE, 150):
            async with log.writing() as writing:
                for index in range(start, start + 150):
                    writing.add(_event(index))
        yield Filled(log, postgres.url(OWNER, name))
        await engine.dispose()


async def _open(engine: AsyncEngine, lock: Path) -> Log:
    log = Log(
        engine,
        origin=ORIGIN,
        master=bytes(range(32)),
        sealer=_MarkingSealer(),
        signers=SeededSigners(ORIGIN),
        outside=OutsideLock(lock),
    )
    await log.create()
    await log.start()
    return log


def _event(index: int) -> Event:
    mark = RequestMark(uuid4(), uuid4(), None, bytes(32)) if index % 7 == 0 else None
    return Event(_stream_of(index), Payload.create(EntryType.OPERATOR, {"event": f"event {index}"}), mark)


def _indexes(report: Report) -> list[int | None]:
    return [finding.index for finding in report.findings]


async def test_a_sound_log_has_no_findings(filled: Filled) -> None:
    steps: list[tuple[int, int]] = []
    report = await examine_log(
        filled.log,
        altered=(_AlteredError,),
        retention_years=10,
        progress=lambda done, of: steps.append((done, of)),
    )
    assert report.findings == ()
    assert report.sound
    assert (report.size, report.entries, report.raised) == (SIZE, SIZE, SIZE)
    assert (report.payloads, report.expired, report.unplaced) == (SIZE, 0, 0)
    assert (report.tiles, report.streams, report.requests) == (2, 4, len(range(0, SIZE, 7)))
    assert report.placed
    assert steps[-1] == (2 * SIZE, 2 * SIZE)


async def test_an_empty_log_is_sound(log: Log) -> None:
    report = await examine_log(log, altered=(), retention_years=10)
    assert report.sound
    assert (report.size, report.entries) == (0, 0)


async def test_a_log_that_has_grown_beyond_the_lock_is_sound(filled: Filled) -> None:
    held = filled.log.outside.read()
    await _append(filled.log, 40)
    _put_back(filled.log, held)
    report = await filled.examine()
    assert report.sound
    assert (report.raised, report.size) == (SIZE, SIZE + 40)


async def test_an_altered_entry_is_named_whichever_byte_of_it(filled: Filled) -> None:
    for index in (0, 255, 256, 300, 512, SIZE - 2, SIZE - 1):
        for byte in (0, 9, 20, 50, 100):
            flip = (
                "UPDATE access_log.entry SET entry = set_byte(entry, :byte, get_byte(entry, :byte) # 64)"
                " WHERE index = :index"
            )
            filled.alter(flip, byte=byte, index=index)
            report = await filled.examine()
            assert _indexes(report) == [index], byte
            assert not report.placed
            filled.alter(flip, byte=byte, index=index)
    assert (await filled.examine()).sound


async def test_a_deleted_entry_is_named(filled: Filled) -> None:
    filled.alter("CREATE TABLE access_log.kept_entries AS SELECT * FROM access_log.entry")
    for index in (0, 255, 256, 300, 580, SIZE - 1):
        filled.alter("DELETE FROM access_log.entry WHERE index = :index", index=index)
        assert _indexes(await filled.examine())[0] == index
        filled.alter(
            "INSERT INTO access_log.entry SELECT * FROM access_log.kept_entries WHERE index = :index",
            index=index,
        )


async def test_several_altered_entries_are_all_named(filled: Filled) -> None:
    filled.alter(
        "UPDATE access_log.entry SET entry = set_byte(entry, 80, get_byte(entry, 80) # 3)"
        " WHERE index IN (10, 20, 400)"
    )
    filled.alter("DELETE FROM access_log.entry WHERE index IN (30, 450)")
    assert _indexes(await filled.examine()) == [10, 20, 30, 400, 450]


async def test_two_swapped_entries_are_named(filled: Filled) -> None:
    filled.alter(
        "UPDATE access_log.entry e SET entry = o.entry FROM access_log.entry o"
        " WHERE e.index IN (100, 101) AND o.index = 201 - e.index"
    )
    assert _indexes(await filled.examine()) == [100, 101]


async def test_a_rewritten_end_is_named_although_its_chain_holds(filled: Filled) -> None:
    filled.tamper(lambda connection: _rewrite_from(connection, 590))
    report = await filled.examine()
    assert _indexes(report)[0] is not None
    assert 590 <= (report.findings[0].index or 0) < SIZE


async def test_a_rewritten_tile_is_named_at_its_first_entry(filled: Filled) -> None:
    filled.tamper(lambda connection: _rewrite_from(connection, 500))
    assert _indexes(await filled.examine())[0] == 500


async def test_an_altered_payload_is_named(filled: Filled) -> None:
    for index in (0, 300, SIZE - 1):
        flip = (
            "UPDATE access_log.payload SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)"
            " WHERE index = :index"
        )
        filled.alter(flip, index=index)
        report = await filled.examine()
        assert _indexes(report) == [index]
        assert report.payloads == SIZE - 1
        filled.alter(flip, index=index)


async def test_two_swapped_payloads_are_both_named(filled: Filled) -> None:
    filled.alter(
        "UPDATE access_log.payload p SET sealed = o.sealed FROM access_log.payload o"
        " WHERE p.index IN (40, 340) AND o.index = 380 - p.index"
    )
    assert _indexes(await filled.examine()) == [40, 340]


async def test_another_entrys_payload_resealed_is_named(filled: Filled) -> None:
    """Whoever holds the payload key still cannot make a payload fit an entry."""
    filled.alter(
        "UPDATE access_log.payload p SET sealed = substring(p.sealed FOR 8) || substring(o.sealed FROM 9)"
        " FROM access_log.payload o WHERE p.index = 50 AND o.index = 51"
    )
    assert _indexes(await filled.examine()) == [50]


async def test_an_altered_expiry_month_is_named(filled: Filled) -> None:
    filled.alter("UPDATE access_log.payload SET expiry_id = 190013 WHERE index = 77")
    assert _indexes(await filled.examine()) == [77]


async def test_a_payload_deleted_too_early_is_named(filled: Filled) -> None:
    filled.alter("DELETE FROM access_log.payload WHERE index = 123")
    report = await filled.examine()
    assert _indexes(report) == [123]
    assert (report.expired, report.payloads) == (0, SIZE - 1)


async def test_a_payload_past_its_retention_is_no_finding(filled: Filled) -> None:
    filled.alter("DELETE FROM access_log.payload WHERE index < 100")
    report = await filled.examine(retention_years=-1)  # as if every entry were older than its retention
    assert report.sound
    assert report.expired == 100


async def test_an_altered_tile_is_named_and_the_entries_are_not(filled: Filled) -> None:
    filled.alter(
        "UPDATE access_log.tile SET hashes = set_byte(hashes, 32 * 44 + 5, get_byte(hashes, 32 * 44 + 5) # 1)"
        " WHERE level = 0 AND index = 1"
    )
    report = await filled.examine()
    assert _indexes(report) == [300]
    assert "tile" in report.findings[0].reason
    assert report.placed


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("UPDATE access_log.tile SET root = set_byte(root, 3, get_byte(root, 3) # 1) WHERE index = 1", 256),
        ("DELETE FROM access_log.tile WHERE index = 0", 0),
        ("UPDATE access_log.tile SET hashes = substring(hashes FOR 64) WHERE index = 1", 256),
        ("INSERT INTO access_log.tile SELECT log, 0, 2, hashes, root FROM access_log.tile LIMIT 1", None),
        ("INSERT INTO access_log.tile SELECT log, 1, 0, hashes, root FROM access_log.tile LIMIT 1", None),
    ],
)
async def test_tiles_that_do_not_follow_are_named(filled: Filled, statement: str, index: int | None) -> None:
    filled.alter(statement)
    assert _indexes(await filled.examine()) == [index]


@pytest.mark.parametrize(
    "change",
    [
        "seq = seq + 1",
        "seq = seq - 1",
        "month = month - 1",
        "last_leaf = set_byte(last_leaf, 0, get_byte(last_leaf, 0) # 1)",
        "stream_id = set_byte(stream_id, 0, get_byte(stream_id, 0) # 1)",
        "month = 0, seq = 0, last_leaf = decode(repeat('00', 32), 'hex')",
    ],
)
async def test_an_altered_stream_row_is_named_by_its_newest_entry(filled: Filled, change: str) -> None:
    newest = max(index for index in range(SIZE) if _stream_of(index) == FIRST)
    filled.alter(f"UPDATE access_log.stream SET {change} WHERE stream_id = :id", id=FIRST)
    report = await filled.examine()
    assert _indexes(report)[0] == newest
    assert [finding.index for finding in report.findings if finding.index not in (newest, None)] == []


async def test_a_deleted_stream_row_is_named_by_its_newest_entry(filled: Filled) -> None:
    newest = max(index for index in range(SIZE) if _stream_of(index) == SECOND)
    filled.alter("DELETE FROM access_log.stream WHERE stream_id = :id", id=SECOND)
    assert _indexes(await filled.examine()) == [newest]


async def test_a_stream_row_set_back_is_named(filled: Filled) -> None:
    """The row of an older moment would let the next entry repeat a label."""
    earlier = max(index for index in range(SIZE - 100) if _stream_of(index) == SECOND)
    later = next(index for index in range(earlier + 1, SIZE) if _stream_of(index) == SECOND)
    filled.alter(
        "UPDATE access_log.stream SET seq = seq - 20, last_leaf ="
        " (SELECT sha256(decode('00', 'hex') || entry) FROM access_log.entry WHERE index = :earlier)"
        " WHERE stream_id = :id",
        earlier=earlier,
        id=SECOND,
    )
    found = _indexes(await filled.examine())
    assert found
    assert {earlier, later, SIZE - 3} & set(found)


@pytest.mark.parametrize(
    "change",
    [
        "chain = set_byte(chain, 0, get_byte(chain, 0) # 1)",
        "time = time + 1",
        "frontier = set_byte(frontier, 0, get_byte(frontier, 0) # 1)",
        "frontier = ''",
        "origin = 'another.test/log'",
    ],
)
async def test_an_altered_head_is_named_and_no_entry_is(filled: Filled, change: str) -> None:
    filled.alter(f"UPDATE access_log.head SET {change}")
    report = await filled.examine()
    assert _indexes(report) == [None]
    assert "head" in report.findings[0].reason


async def test_a_head_set_back_names_the_first_entry_beyond_it(filled: Filled) -> None:
    filled.alter("UPDATE access_log.head SET size = 590")
    assert _indexes(await filled.examine()) == [590]


async def test_a_head_too_far_names_the_first_missing_entry(filled: Filled) -> None:
    filled.alter("UPDATE access_log.head SET size = size + 5")
    assert _indexes(await filled.examine()) == [SIZE]


async def test_a_missing_head_is_reported(filled: Filled) -> None:
    filled.alter("DELETE FROM access_log.head")
    report = await filled.examine()
    assert _indexes(report) == [None]
    assert report.size is None


async def test_a_database_behind_the_lock_names_the_first_lost_entry(filled: Filled) -> None:
    """An older backup is sound in itself; only the outside lock shows what it lacks."""
    filled.alter("CREATE TABLE access_log.kept AS SELECT * FROM access_log.head")
    filled.alter("CREATE TABLE access_log.kept_streams AS SELECT * FROM access_log.stream")
    await _append(filled.log, 20)
    filled.tamper(_restore)
    report = await filled.examine()
    assert _indexes(report) == [SIZE]
    assert (report.entries, report.raised, report.placed) == (SIZE, SIZE + 20, False)


async def test_another_tree_in_the_lock_is_found(filled: Filled) -> None:
    root = bytes(32)
    note = filled.log.key.sign(Checkpoint(ORIGIN, SIZE, root))
    _put_back(filled.log, Raised(SIZE, root, note))
    assert _indexes(await filled.examine()) == [SIZE - 1]


async def test_a_note_signed_by_another_key_is_found(filled: Filled) -> None:
    held = filled.log.outside.read()
    note = SigningKey.from_seed(ORIGIN, bytes([1] * 32)).sign(Checkpoint(ORIGIN, held.size, held.root))
    _put_back(filled.log, Raised(held.size, held.root, note))
    assert _indexes(await filled.examine()) == [None]


async def test_a_note_of_another_tree_than_the_lock_states_is_found(filled: Filled) -> None:
    held = filled.log.outside.read()
    note = filled.log.key.sign(Checkpoint(ORIGIN, held.size - 1, held.root))
    _put_back(filled.log, Raised(held.size, held.root, note))
    assert _indexes(await filled.examine()) == [None]


async def test_a_missing_lock_is_found(filled: Filled) -> None:
    filled.log.outside.path.unlink()
    report = await filled.examine()
    assert _indexes(report) == [None]
    assert report.raised is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("time = time + interval '1 day'", "not written when the entry was"),
        ("time = time - interval '1 day'", "not written when the entry was"),
        ("body = substring(body from 2)", "its digests are none"),
        ("idempotency_key = '\\x00'", "its digests are none"),
        ("client = gen_random_uuid()", "another body asked"),
    ],
)
async def test_a_request_that_was_altered_is_named(filled: Filled, change: str, says: str) -> None:
    client = uuid4()
    async with filled.log.writing() as writing:
        payload = Payload.create(EntryType.QUERY_PERMITTED, {"body": str(client)})
        writing.add(Event(FIRST, payload, RequestMark(uuid4(), client, bytes(32), bytes(32))))
    (index,) = writing.indexes
    assert (await filled.examine()).sound
    filled.alter(f"UPDATE access_log.request SET {change} WHERE index = {index}")
    (finding,) = (await filled.examine()).findings
    assert finding.index == index
    assert finding.reason.startswith("the request kept for it was altered: ")
    assert says in finding.reason


async def test_requests_and_payloads_of_no_entry_are_named(filled: Filled) -> None:
    filled.alter("UPDATE access_log.request SET index = index + 100000 WHERE index = 7")
    filled.alter("INSERT INTO access_log.payload (log, index, expiry_id, sealed) VALUES (1, 700, 203601, '')")
    assert _indexes(await filled.examine()) == [700, 100_007]


async def test_findings_are_bounded_and_the_lowest_are_kept(filled: Filled) -> None:
    filled.alter("UPDATE access_log.payload SET sealed = ''")
    report = await filled.examine()
    assert _indexes(report) == list(range(MOST))
    assert report.more == SIZE - MOST


def test_one_finding_an_entry_and_a_bounded_number_about_the_log() -> None:
    findings = Findings()
    findings.add(3, "first")
    findings.add(3, "second")
    for number in range(MOST + 5):
        findings.add(None, f"reason {number}")
    assert findings.listed()[0] == Finding(3, "first")
    assert len(findings.listed()) == MOST + 1
    assert findings.more == 5


async def test_the_examination_reads_one_state_while_the_log_goes_on(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the head and of the entries another batch is written: it is not seen."""
    read_head = fsck._read_head

    async def read_head_then_append(*arguments: object) -> object:
        head = await read_head(*arguments)  # type: ignore[arg-type]
        await _append(filled.log, 30)
        return head

    monkeypatch.setattr(fsck, "_read_head", read_head_then_append)
    report = await filled.examine()
    assert report.sound
    assert report.entries == SIZE


@pytest.mark.slow
async def test_a_tile_of_the_second_level_is_compared(log: Log, owner_url: str) -> None:
    for _ in range(66):
        async with log.writing() as writing:
            for _ in range(1000):
                writing.add(Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {})))
    filled = Filled(log, owner_url)
    report = await filled.examine()
    assert report.sound
    assert report.tiles == 66_000 // 256 + 1
    filled.alter(
        "UPDATE access_log.tile SET hashes = set_byte(hashes, 32 * 9, get_byte(hashes, 32 * 9) # 1)"
        " WHERE level = 1"
    )
    assert _indexes(await filled.examine()) == [9 * 256]


async def _append(log: Log, count: int) -> None:
    async with log.writing() as writing:
        for index in range(count):
            writing.add(_event(index))


def _put_back(log: Log, raised: Raised) -> None:
    log.outside.path.unlink()
    log.outside.create(raised)


def _read_entries(connection: Connection, first: int) -> Sequence[tuple[int, bytes]]:
    rows = connection.execute(
        text("SELECT index, entry FROM access_log.entry WHERE index >= :first ORDER BY index"),
        {"first": first},
    )
    return [(row[0], row[1]) for row in rows]


def _rewrite_from(connection: Connection, first: int) -> None:
    """Alters one entry, then chains all later ones and the head anew, as a careful forger would."""
    chain = b""
    for index, raw in _read_entries(connection, first):
        entry = Entry.decode(raw)
        forged = Entry(
            entry.type,
            entry.time,
            entry.previous if index == first else chain,
            entry.label,
            bytes(32) if index == first else entry.commitment,
        ).encode()
        chain = next_chain(Entry.decode(forged).previous, leaf_hash(forged))
        connection.execute(
            text("UPDATE access_log.entry SET entry = :entry WHERE index = :index"),
            {"entry": forged, "index": index},
        )
    connection.execute(text("UPDATE access_log.head SET chain = :chain"), {"chain": chain})


def _restore(connection: Connection) -> None:
    """Puts the database back to when head and streams were kept aside."""
    for table in ("entry", "payload", "request"):
        connection.execute(text(f"DELETE FROM access_log.{table} WHERE index >= :size"), {"size": SIZE})
    for table, kept in (("head", "kept"), ("stream", "kept_streams")):
        connection.execute(text(f"DELETE FROM access_log.{table}"))
        connection.execute(text(f"INSERT INTO access_log.{table} SELECT * FROM access_log.{kept}"))
