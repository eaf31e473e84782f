"""Entries a restored database lacks come back from the published log, and nothing else does."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import event

from access_log.checkpoint import Checkpoint, SigningKey
from access_log.encoding import to_base64
from access_log.entry import Entry
from access_log.errors import AccessLogError, OutsideLockError, SourceError, VerificationError
from access_log.fsck import examine_log
from access_log.labels import label, month_of
from access_log.lock import OutsideLock, Raised
from access_log.losses import Operator
from access_log.merkle import leaf_hash
from access_log.receipt import verify_receipt
from access_log.reimport import Reimport, reimport
from access_log.sources import Source
from access_log.tiles import entries_path
from tests.access_log.logs import another_worker, append, as_owner, keys_of, root_of, stored_entries, verified
from tests.access_log.restored import FIRST, Disaster, disaster, fill, published
from vault.server.embedded import EmbeddedDatabase


class PowerCutError(Exception):
    """The end of a process in the middle of its work."""


ACTOR = Operator("operator:tester", "operator")


@pytest.fixture
async def lost(postgres: EmbeddedDatabase, tmp_path: Path) -> AsyncIterator[Disaster]:
    async with disaster(postgres, tmp_path) as made:
        yield made


async def bring_back(lost: Disaster, source: Source | None = None, *, dry_run: bool = False) -> Reimport:
    return await reimport(lost.restored, source or await lost.published(), actor=ACTOR, dry_run=dry_run)


async def test_a_restored_database_is_refused_and_comes_back(lost: Disaster) -> None:
    with pytest.raises(OutsideLockError, match=r"it holds 300 entries, 800 were raised.*log reimport"):
        await lost.restored.start()
    assert await bring_back(lost, dry_run=True) == Reimport(300, 800, 800, 300, 800)
    assert len(await stored_entries(lost.restored)) == 300
    done = await bring_back(lost)
    assert (done.first, done.end, done.declared) == (300, 800, 800)
    entries = await stored_entries(lost.restored)
    assert entries[:800] == await stored_entries(lost.log)
    assert len(entries) == 801
    assert lost.restored.running
    assert lost.restored.outside.read().size == 801


async def test_what_was_proven_before_stays_proven(lost: Disaster) -> None:
    await bring_back(lost)
    entries = await stored_entries(lost.restored)
    async with lost.restored.engine.connect() as connection:
        for text in lost.receipts[::37]:
            old = verify_receipt(text, keys_of(lost.restored))
            assert old.entry.encode() == entries[old.index]
            new = await lost.restored.receipt(connection, old.index, entries[old.index])
            assert verify_receipt(new, keys_of(lost.restored)).entry == old.entry


async def test_the_log_goes_on_and_is_sound(lost: Disaster) -> None:
    done = await bring_back(lost)
    writing = (await fill(lost.restored, 10))[0]
    verified(lost.restored, writing)
    report = await examine_log(lost.restored, altered=(), retention_years=10)
    assert report.findings == ()
    assert (report.lost, report.expired) == (500, 0)
    # A sixth of what followed was of a stream that was opened after the copy was made.
    assert len(done.lost) == len([at for at in range(500) if at % 6 == 5])
    assert done.streams == 4


async def test_streams_go_on_where_they_stood(lost: Disaster) -> None:
    """A number given twice would be two entries under one label, and a lie about completeness."""
    await bring_back(lost)
    entries = [Entry.decode(raw) for raw in await stored_entries(lost.restored)]
    month = month_of(entries[-1].time)
    key = lost.log.month_key(FIRST, month)
    labels = {entry.label for entry in entries}
    newest = next(seq for seq in range(1, len(entries)) if label(key, seq + 1) not in labels)
    (payload,) = (await append(lost.restored, 1, FIRST)).payloads
    assert payload.values()["seq"] == newest + 1
    (before,) = [entry for entry in entries if entry.label == label(key, newest)]
    assert payload.values()["previous"] == to_base64(leaf_hash(before.encode()))


async def test_again_is_harmless(lost: Disaster) -> None:
    await bring_back(lost)
    again = await bring_back(lost)
    assert (again.first, again.end, again.declared) == (801, 801, None)
    assert len(await stored_entries(lost.restored)) == 801


async def test_a_whole_database_needs_nothing(lost: Disaster) -> None:
    done = await reimport(lost.log, await lost.published(), actor=ACTOR)
    assert (done.first, done.end, done.declared) == (800, 800, None)


async def test_a_lost_commit_is_raised_by_the_next_start(
    lost: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between its commit and the start: the database is ahead of the lock, as after any crash."""

    async def dies() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lost.restored, "start", dies)
    with pytest.raises(KeyboardInterrupt):
        await bring_back(lost)
    monkeypatch.undo()
    assert lost.restored.outside.read().size == 800
    done = await bring_back(lost)
    assert (done.first, done.declared) == (801, None)
    assert lost.restored.outside.read().size == 801


@pytest.mark.parametrize(
    "step", ["INSERT INTO access_log.tile", "UPDATE access_log.stream", "access_log.document"]
)
async def test_a_failure_on_the_way_changes_nothing(lost: Disaster, step: str) -> None:

    def cut(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if step in statement:
            raise PowerCutError

    engine = lost.restored.engine.sync_engine
    event.listen(engine, "after_cursor_execute", cut)
    with pytest.raises(PowerCutError):
        await bring_back(lost)
    event.remove(engine, "after_cursor_execute", cut)
    assert len(await stored_entries(lost.restored)) == 300
    assert (await bring_back(lost)).declared == 800
    assert (await examine_log(lost.restored, altered=(), retention_years=10)).sound


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


async def unchanged(lost: Disaster, kind: type[AccessLogError], match: str, source: Source) -> None:
    with pytest.raises(kind, match=match):
        await bring_back(lost, source)
    assert len(await stored_entries(lost.restored)) == 300
    assert not lost.restored.running


async def test_a_publication_that_lags_is_refused(lost: Disaster) -> None:
    await unchanged(lost, SourceError, "covers 700 entries, 800 were raised", await lost.published(700))


async def test_an_altered_entry_is_named(lost: Disaster) -> None:
    memory = await lost.published()
    sound = dict(memory.files)
    for index, at in product((300, 301, 511, 512, 799), (1, 5, 20, 50, 100)):
        (path,) = [one for one in sound if one.startswith(entries_path(index // 256))]
        raw = bytearray(sound[path])
        raw[index % 256 * 108 + 2 + at] ^= 1
        memory.files[path] = bytes(raw)
        with pytest.raises(VerificationError) as refused:
            await bring_back(lost, memory)
        assert refused.value.index in {index, index + 1}, (index, at)
        memory.files[path] = sound[path]
    assert len(await stored_entries(lost.restored)) == 300


async def test_a_missing_bundle_is_named(lost: Disaster) -> None:
    memory = await lost.published()
    del memory.files[entries_path(2)]
    await unchanged(lost, VerificationError, "entry 512: the published log lacks it", memory)


async def test_a_bundle_cut_short_is_named(lost: Disaster) -> None:
    memory = await lost.published()
    memory.files[entries_path(2)] = memory.files[entries_path(2)][:1000]
    await unchanged(lost, VerificationError, "entry 521", memory)


async def test_no_checkpoint(lost: Disaster) -> None:
    memory = await lost.published()
    del memory.files["checkpoint"]
    await unchanged(lost, SourceError, "there is no checkpoint", memory)


async def test_another_key(lost: Disaster) -> None:
    forged = SigningKey.from_seed(lost.log.origin, bytes(range(32)))
    memory = published(lost.log, await stored_entries(lost.log), forged)
    await unchanged(lost, VerificationError, "no signature is by a key", memory)


async def test_a_database_that_went_another_way_is_refused(lost: Disaster, tmp_path: Path) -> None:
    """Somebody started the old copy with a lock of its own: its entries are no entries of this log."""
    aside = OutsideLock(tmp_path / "aside.lock")
    held = lost.log.outside.read()
    lost.log.outside.path.rename(tmp_path / "kept")
    forked = another_worker(lost.restored.engine, aside.path)
    async with forked.engine.connect() as connection:
        frontier = (await forked.checked_head(connection)).frontier

    note = lost.log.key.sign(Checkpoint(forked.origin, 300, frontier.root()))
    aside.create(Raised(300, frontier.root(), note))
    await append(forked, 3)
    (tmp_path / "kept").rename(lost.log.outside.path)
    with pytest.raises(VerificationError, match="entry 303: the published entry does not follow"):
        await bring_back(lost)
    assert lost.log.outside.read() == held
    assert len(await stored_entries(lost.restored)) == 303


async def test_an_older_lock_was_put_back(lost: Disaster) -> None:
    """What the log signed later is imported all the same: it was given out once."""
    entries = await stored_entries(lost.log)
    root = root_of(entries[:100])
    lost.log.outside.path.unlink()
    lost.log.outside.create(Raised(100, root, lost.log.key.sign(Checkpoint(lost.log.origin, 100, root))))
    assert (await bring_back(lost)).end == 800
    assert lost.restored.outside.read().size == 801


async def test_a_head_that_was_set_back_is_refused(lost: Disaster) -> None:
    as_owner(lost.owner_url, "UPDATE access_log.head SET chain = decode(repeat('00', 32), 'hex')")
    with pytest.raises(AccessLogError, match="fsck"):
        await bring_back(lost)


# ── A standby that lacks entries takes over ──────────────────────────────────────────────────────


async def test_nothing_is_put_on_top_of_a_gap(lost: Disaster) -> None:
    """The worker runs on: its next transaction meets the older database."""
    whole = lost.log.engine
    lost.log.engine = lost.restored.engine
    with pytest.raises(OutsideLockError, match="behind the outside lock"):
        await append(lost.log)
    assert not lost.log.running
    assert len(await stored_entries(lost.restored)) == 300
    lost.log.engine = whole
    verified(lost.log, await append(lost.log))
