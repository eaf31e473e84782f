"""Entries moved out of the database: proofs, tiles, look-ups and examinations go on as before."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from access_log import archiving, reading, stored
from access_log.api import log_router
from access_log.archive import Archive, Range
from access_log.archiving import archive, drop
from access_log.entry import Entry
from access_log.errors import ArchiveError, FolderError, VerificationError
from access_log.fsck import Report, examine_log
from access_log.labels import month_of
from access_log.log import SYSTEM_STREAM, Log
from access_log.prefix import Place, verify_absence, verify_inclusion
from access_log.publishing import publish
from access_log.receipt import verify_receipt
from access_log.roots.log import RootsLog
from access_log.roots.proofs import LabelProofs
from access_log.roots.statement import verify_statement
from access_log.sources import Directory
from access_log.streams import entries_of
from access_log.tiles import Tile, decode_bundle
from access_log.verify import verify_log
from tests.access_log.logs import another_worker, append, as_owner, keys_of, narrow_partitions
from tests.access_log.roots.clocked import KEY, SIGNERS

WIDTH = 512
SIZE = 3 * WIDTH + 100
AT_ONCE = timedelta(0)


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[AsyncEngine]:
    """Of a database with partitions of 512 entries."""
    narrow_partitions(owner_url, WIDTH, SIZE + WIDTH)
    engine = create_async_engine(owner_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def place(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
async def filled(owner: AsyncEngine, log: Log, place: Archive) -> Log:
    """Three closed partitions and an open one."""
    assert owner is not None
    for _ in range(4):
        await append(log, SIZE // 4)
    log.archive = place
    return log


async def dropped(log: Log, owner: AsyncEngine, place: Archive) -> None:
    await archive(log, place, older_than=AT_ONCE)
    await drop(log, owner, place, older_than=AT_ONCE)


async def examined(log: Log) -> Report:
    return await examine_log(log, altered=(ValueError,), retention_years=10)


async def partitions(log: Log) -> list[str]:
    async with log.engine.connect() as connection:
        names = await connection.scalars(
            text(
                "SELECT inhrelid::regclass::text FROM pg_inherits"
                " WHERE inhparent = 'access_log.entry'::regclass ORDER BY 1"
            )
        )
        return [name.removeprefix("access_log.entry_") for name in names]


async def test_an_archive_holds_whole_partitions(filled: Log, place: Archive) -> None:
    told: list[tuple[int, int]] = []
    done = await archive(filled, place, older_than=AT_ONCE, progress=lambda at, of: told.append((at, of)))
    assert done.ranges == (Range(0, 512), Range(512, 1024), Range(1024, 1536))
    assert (done.entries, done.written) == (1536, 9)
    assert told[-1] == (3072, 3072)
    assert place.ranges() == list(done.ranges)
    async with filled.engine.connect() as connection:
        entries = await stored.entries(connection, filled.number, 0, 1536)
    assert place.entries(0, 1536) == entries
    assert place.entries(300, 301) == entries[300:301]
    label = Entry.decode(entries[700][1]).label
    assert place.find([label, bytes(32)]) == {700: entries[700][1]}
    again = await archive(filled, place, older_than=AT_ONCE)
    assert (again.written, again.entries) == (0, 1536)


async def test_an_index_sorted_in_slices_is_the_same(
    filled: Log, place: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive(filled, place, older_than=AT_ONCE)
    monkeypatch.setattr(archiving, "_LABELS_AT_ONCE", 8)
    assert (await archive(filled, place, older_than=AT_ONCE)).written == 0


async def test_what_is_young_or_open_is_left(filled: Log, owner: AsyncEngine, place: Archive) -> None:
    assert (await archive(filled, place, older_than=timedelta(days=1))).ranges == ()
    assert not place.ranges()
    assert (await drop(filled, owner, place, older_than=AT_ONCE)).ranges == ()
    await append(filled, WIDTH - 100)  # the fourth is full, and nothing stands behind it
    assert (await archive(filled, place, older_than=AT_ONCE)).ranges[-1] == Range(1024, 1536)


async def test_everything_goes_on_without_the_partitions(
    filled: Log, owner: AsyncEngine, place: Archive, database: AsyncEngine, tmp_path: Path
) -> None:
    since = datetime.now(UTC)
    async with filled.engine.connect() as connection:
        before = await entries_of(connection, filled, SYSTEM_STREAM, since)
        entries = await stored.entries(connection, filled.number, 0, SIZE)
    await dropped(filled, owner, place)
    assert await partitions(filled) == ["3", "4"]
    async with filled.engine.connect() as connection:
        assert await stored.entries(connection, filled.number, 0, 1536) == []
        assert await reading.entries(connection, 1, place, 0, SIZE) == entries
        assert await entries_of(connection, filled, SYSTEM_STREAM, since) == before
        assert len(before) == SIZE
        # Proofs come from tiles, which stay.
        for index in (0, 511, 700, 1535, SIZE - 1):
            receipt = await filled.receipt(connection, index, entries[index][1])
            assert verify_receipt(receipt, keys_of(filled)).index == index
    report = await examined(filled)
    assert report.findings == ()
    assert (report.entries, report.payloads) == (SIZE, SIZE)
    # Appending, starting and the partitions ahead know nothing of it.
    await append(filled, 600)
    await filled.make_partitions_ahead()
    assert await partitions(filled) == ["3", "4", "5", "6"]
    other = another_worker(database, tmp_path / "outside.lock")
    await other.start()
    await append(other)
    assert (await examined(filled)).sound


async def test_it_is_published_and_served_from_the_archive(
    filled: Log, owner: AsyncEngine, place: Archive, tmp_path: Path
) -> None:
    await publish(filled, tmp_path / "before")
    await dropped(filled, owner, place)
    await publish(filled, tmp_path / "after")
    for folder in ("before", "after"):
        verify_log(Directory(tmp_path / folder), keys_of(filled))
    await append(filled, 300)
    assert (await publish(filled, tmp_path / "before")).size == SIZE + 300
    verify_log(Directory(tmp_path / "before"), keys_of(filled))
    app = FastAPI()
    app.include_router(log_router(filled))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://log.test") as http:
        for tile in (
            Tile(None, 0),
            Tile(None, 5),
            Tile(None, 5, 17),
            Tile(0, 3, 9),
            Tile(0, 3),
            Tile(1, 0, 2),
        ):
            response = await http.get(f"/log/{tile.path}")
            assert response.status_code == 200, tile.path
            assert "immutable" in response.headers["cache-control"]
            if tile.level is None:
                assert decode_bundle(response.content) == [
                    raw for _, raw in place.entries(tile.n * 256, tile.n * 256 + tile.width)
                ]


async def test_without_the_archive_the_log_says_what_it_misses(
    filled: Log, owner: AsyncEngine, place: Archive, tmp_path: Path
) -> None:
    await dropped(filled, owner, place)
    filled.archive = None
    report = await examined(filled)
    assert any("set CREDITVAULT_ARCHIVE_DIR" in one.reason for one in report.findings)
    with pytest.raises(VerificationError) as caught:
        await publish(filled, tmp_path / "published")
    assert caught.value.index == 0
    filled.archive = place
    assert (await examined(filled)).sound


@pytest.mark.parametrize("harm", ["bundle", "missing", "index", "no index"])
async def test_an_archive_that_was_altered_is_found(
    filled: Log, owner: AsyncEngine, place: Archive, harm: str
) -> None:
    await dropped(filled, owner, place)
    bundle, index = place.root / "tile/entries/001", place.root / "labels/512-1024"
    if harm == "bundle":
        raw = bytearray(bundle.read_bytes())
        raw[108 * 10 + 100] ^= 1
        bundle.write_bytes(raw)
    elif harm == "missing":
        bundle.unlink()
    elif harm == "index":
        index.write_bytes(bytes(16) + index.read_bytes()[16:])
    else:
        index.unlink()
    findings = (await examined(filled)).findings
    assert findings
    if harm == "bundle":
        assert findings[0].index == 266
    elif harm == "missing":
        assert findings[0].index == 256


async def test_a_deleted_entry_is_missing_although_a_copy_is_archived(
    filled: Log, place: Archive, owner_url: str
) -> None:
    await archive(filled, place, older_than=AT_ONCE)
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 300")
    assert (await examined(filled)).findings[0].index == 300


# ── Nothing is lost ──────────────────────────────────────────────────────────────────────────────


async def test_what_the_archive_does_not_hold_is_not_dropped(
    filled: Log, owner: AsyncEngine, place: Archive
) -> None:
    await archive(filled, place, older_than=AT_ONCE)
    (place.root / "tile/entries/003").unlink()
    with pytest.raises(VerificationError, match="003 is missing or does not hold together") as caught:
        await drop(filled, owner, place, older_than=AT_ONCE)
    assert caught.value.index == 768
    # Those before it are gone by then, and stand in the archive.
    assert await partitions(filled) == ["1", "2", "3", "4"]
    assert (await archive(filled, place, older_than=AT_ONCE)).written == 1
    await drop(filled, owner, place, older_than=AT_ONCE)
    assert (await examined(filled)).sound


async def test_another_history_is_not_archived(filled: Log, place: Archive, owner_url: str) -> None:
    """Entries and tiles rewritten as a whole: only the signature speaks against them."""
    as_owner(
        owner_url,
        "UPDATE access_log.entry SET entry = overlay(entry placing decode(repeat('00', 32), 'hex') from 75)"
        " WHERE index = 511",
    )
    with pytest.raises(VerificationError, match=r"do not begin the signed tree|does not hold together"):
        await archive(filled, place, older_than=AT_ONCE)
    assert place.ranges() == []


async def test_a_wrong_index_of_labels_keeps_the_partition(
    filled: Log, owner: AsyncEngine, place: Archive
) -> None:
    await archive(filled, place, older_than=AT_ONCE)
    (place.root / "labels/0-512").write_bytes(b"")
    with pytest.raises(ArchiveError, match="is not that of its entries"):
        await drop(filled, owner, place, older_than=AT_ONCE)
    assert "0" in await partitions(filled)


async def test_requests_that_may_be_repeated_keep_their_entries(
    filled: Log, owner: AsyncEngine, place: Archive, owner_url: str
) -> None:
    add = (
        "INSERT INTO access_log.request (log, index, request_id, client, body, time)"
        " VALUES (1, 100, gen_random_uuid(), gen_random_uuid(), '',"
        " clock_timestamp() - :age * interval '1 s')"
    )
    as_owner(owner_url, add, age=3_000)
    done = await archive(filled, place, older_than=AT_ONCE)
    assert done.ranges == (Range(512, 1024), Range(1024, 1536))
    as_owner(owner_url, "DELETE FROM access_log.request", add, age=4_000)
    assert (await archive(filled, place, older_than=AT_ONCE)).ranges[0] == Range(0, 512)
    as_owner(owner_url, "DELETE FROM access_log.request")
    await drop(filled, owner, place, older_than=AT_ONCE)


async def test_a_partition_of_two_logs_stays(
    filled: Log, owner: AsyncEngine, place: Archive, owner_url: str
) -> None:
    as_owner(
        owner_url,
        "UPDATE access_log.head SET successor = 'another.example/log'",
        "INSERT INTO access_log.head VALUES (2, 'another.example/log', 1, '', 0, '')",
        "INSERT INTO access_log.entry VALUES (2, 5, decode(repeat('00', 106), 'hex'))",
    )
    await archive(filled, place, older_than=AT_ONCE)
    with pytest.raises(ArchiveError, match="holds another log's entries too: it stays"):
        await drop(filled, owner, place, older_than=AT_ONCE)
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE log = 2")
    await drop(filled, owner, place, older_than=AT_ONCE)
    # The other log begins at entry 0, for which there is a partition again.
    await filled.make_partitions_ahead()
    assert await partitions(filled) == ["0", "1", "2", "3", "4", "5"]
    assert (await examined(filled)).sound


async def test_the_application_may_drop_nothing(filled: Log, place: Archive) -> None:
    await archive(filled, place, older_than=AT_ONCE)
    with pytest.raises(DBAPIError) as caught:
        await drop(filled, filled.engine, place, older_than=AT_ONCE)
    assert getattr(caught.value.orig, "sqlstate", None) == "42501"
    assert "0" in await partitions(filled)


def test_an_archive_that_cannot_be_read_is_one_line(place: Archive) -> None:
    place.root.mkdir(parents=True)
    (place.root / "labels").write_text("a file")
    with pytest.raises(FolderError, match=r"the archive at .* cannot be read"):
        place.ranges()


def test_labels_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """The index has eight bytes of each: the entry itself says which one it is."""
    same = bytes(8)
    entries = [bytes(42) + same + bytes([at]) * 24 + bytes(32) for at in range(4)]
    place = Archive(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "tile/entries").mkdir(parents=True)
    (tmp_path / "tile/entries/000").write_bytes(b"".join(b"\x00\x6a" + raw for raw in entries))
    (tmp_path / "labels/0-256").write_bytes(b"".join(same + at.to_bytes(8, "big") for at in range(4)))
    assert place.find([same + bytes([2]) * 24]) == {2: entries[2]}
    assert place.find([same + bytes([9]) * 24, bytes([1]) * 32]) == {}


async def test_roots_and_labels_of_archived_entries(filled: Log, owner: AsyncEngine, place: Archive) -> None:
    roots = RootsLog(filled, SIGNERS)
    await roots.create()
    async with filled.engine.connect() as connection:
        entries = [raw for _, raw in await reading.entries(connection, filled.number, None, 0, SIZE)]
    await dropped(filled, owner, place)
    assert await roots.catch_up() == 1
    assert await roots.crown() == 1
    month = month_of(int.from_bytes(entries[0][2:10], "big"))
    labels = [entries[index][42:74] for index in range(0, SIZE, 40)]
    proved = await LabelProofs(roots).prove(month, [*labels, bytes(32)])
    assert proved is not None
    root = verify_statement(proved.statement, [KEY.key]).root
    for index, label, proof in zip(range(0, SIZE, 40), labels, proved.proofs, strict=False):
        assert verify_inclusion(label, proof, root.prefix_root) == Place(index, entries[index][74:106])
    verify_absence(bytes(32), proved.proofs[-1], root.prefix_root)
