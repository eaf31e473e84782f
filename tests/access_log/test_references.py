"""What others hold of a log is held against its database before anything is signed."""

from pathlib import Path

import pytest

from access_log.checkpoint import Checkpoint, SigningKey
from access_log.errors import OutsideLockError
from access_log.lock import OutsideLock, Raised
from access_log.log import Log
from access_log.merkle import EMPTY_ROOT
from access_log.references import PATIENCE, Reference, patient, witness_reference
from access_log.sources import Directory, Source
from access_log.web import Website
from tests.access_log.logs import another_worker, append, root_of, stored_entries, verified
from tests.access_log.simulator import Memory
from tests.conftest import ORIGIN

NAME = "the published log"


def shown(log: Log, source: Source, told: list[str] | None = None) -> Log:
    """The same log as another worker starts it, with a reference."""
    worker = another_worker(log.engine, log.outside.path)
    worker.references = (Reference(NAME, source, (told if told is not None else []).append),)
    return worker


def note(log: Log, entries: list[bytes], key: SigningKey | None = None) -> Memory:
    checkpoint = Checkpoint(log.origin, len(entries), root_of(entries))
    return Memory({"checkpoint": (key or log.key).sign(checkpoint).encode()})


async def test_an_older_and_an_equal_tree_are_its_own(log: Log) -> None:
    await append(log, 300)
    entries = await stored_entries(log)
    for size in (0, 1, 255, 256, 300):
        worker = shown(log, note(log, entries[:size]))
        await worker.start()
        assert worker.running


async def test_a_database_and_a_lock_of_the_same_age_are_found_out(log: Log) -> None:
    """Both were restored from the same night: only what was published meanwhile speaks against them."""
    await append(log, 5)
    entries = await stored_entries(log)
    later = note(log, [*entries, entries[0]])
    with pytest.raises(OutsideLockError, match="is behind the published log: it holds 5 entries, 6 were"):
        await shown(log, later).start()
    worker = shown(log, later)
    with pytest.raises(OutsideLockError, match="log reimport"):
        await append(worker)
    assert len(await stored_entries(log)) == 5


async def test_another_tree_is_refused(log: Log) -> None:
    await append(log, 5)
    entries = await stored_entries(log)
    for other in (entries[:3][::-1], entries[::-1]):
        with pytest.raises(OutsideLockError, match=f"holds another tree of size {len(other)}"):
            await shown(log, note(log, other)).start()


async def test_nothing_published_yet_holds_nothing_against_it(log: Log, tmp_path: Path) -> None:
    told: list[str] = []
    worker = shown(log, Directory(tmp_path / "not" / "there"), told)
    await worker.start()
    assert worker.running
    assert [NAME in one for one in told] == [True]


async def test_a_place_that_cannot_be_read_is_told_and_passed_over(log: Log) -> None:
    told: list[str] = []
    worker = shown(log, Website("http://127.0.0.1:9/log", timeout=1.0, pauses=()), told)
    verified(worker, await append(worker))
    (said,) = told
    assert said.startswith(f"{NAME} was not compared: ")


@pytest.mark.parametrize("content", [b"", b"not a note", b"\xff\n\n\xe2\x80\x94 x y\n", b"a" * 100_000])
async def test_a_checkpoint_that_is_none_is_refused_with_the_remedy(log: Log, content: bytes) -> None:
    with pytest.raises(OutsideLockError, match=r"does not verify: .* publish the log anew") as refused:
        await shown(log, Memory({"checkpoint": content})).start()
    assert "\n" not in str(refused.value)


async def test_another_key_is_refused(log: Log) -> None:
    other = SigningKey.from_seed(ORIGIN, bytes(range(32)))
    with pytest.raises(OutsideLockError, match="no signature is by a key that was given"):
        await shown(log, note(log, [], other)).start()


async def test_a_reference_that_was_older_than_the_lock_says_nothing_of_the_lock(
    log: Log, tmp_path: Path
) -> None:
    """The lock still decides by itself."""
    await append(log, 5)
    entries = await stored_entries(log)
    lock = OutsideLock(tmp_path / "ahead.lock")
    root = root_of([*entries, entries[0]])
    lock.create(Raised(6, root, log.key.sign(Checkpoint(log.origin, 6, root))))
    worker = shown(log, note(log, entries))
    worker.outside = lock
    with pytest.raises(OutsideLockError, match="behind the outside lock"):
        await worker.start()
    assert root != EMPTY_ROOT


def test_a_start_does_not_wait_long_for_a_web_server(tmp_path: Path) -> None:
    asked = patient(Website("https://vault.example/log"))
    assert isinstance(asked, Website)
    assert (asked.timeout, asked.patience, asked.pauses) == (PATIENCE, PATIENCE, ())
    assert patient(Directory(tmp_path)) == Directory(tmp_path)


# ── Witnesses ────────────────────────────────────────────────────────────────────────────────────


def at_a_witness(log: Log, source: Source, told: list[str]) -> Log:
    worker = another_worker(log.engine, log.outside.path)
    worker.references = (Reference("the witness one", source, told.append, foreign=True),)
    return worker


@pytest.mark.parametrize("content", [b"", b"not a note", b"\xff\n\n\xe2\x80\x94 x y\n", b"a" * 100_000])
async def test_what_a_witness_shows_without_our_signature_stops_nothing(log: Log, content: bytes) -> None:
    """A witness that lies, or forgot, must not be able to keep a log from starting."""
    told: list[str] = []
    worker = at_a_witness(log, Memory({"checkpoint": content}), told)
    await worker.start()
    assert worker.running
    (said,) = told
    assert said.startswith("the witness one was not compared: ")
    assert "\n" not in said


async def test_what_a_witness_shows_with_our_signature_counts(log: Log) -> None:
    await append(log, 5)
    entries = await stored_entries(log)
    told: list[str] = []
    await at_a_witness(log, note(log, entries[:3]), told).start()
    with pytest.raises(OutsideLockError, match="behind the witness one"):
        await at_a_witness(log, note(log, [*entries, entries[0]]), told).start()
    with pytest.raises(OutsideLockError, match="the witness one holds another tree of size 5"):
        await at_a_witness(log, note(log, entries[::-1]), told).start()
    assert not told


def test_where_a_witness_shows_it() -> None:
    """c2sp.org/tlog-witness: the hash of the origin names the log."""
    found = witness_reference("one", "https://w.example/x", "vault.example/log/2026", print)
    assert found.name == "the witness one"
    assert isinstance(found.source, Website)
    digest = "2e8e3bcaa39da680c11004358ff4972c7da6950a9bad8383e449422b347406fb"
    assert found.source.url == f"https://w.example/x/{digest}"
    assert found.source.patience == PATIENCE
