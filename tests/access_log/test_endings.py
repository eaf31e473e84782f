"""What is kept beside the outside lock: a crash makes up nothing, and loses nothing that was acknowledged."""

import errno
import os
import threading
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log import endings
from access_log.endings import NOBODY, RECORD, Ending, EndingsFile
from access_log.errors import LogUnavailableError, OutsideLockError

ORIGIN = "vault.example/log/2026"
RECORDS_AT = 1024
FOLDERS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def ending(n: int) -> Ending:
    return Ending(n % 7 + 1, 1_790_000_000_000 + n, n, sha256(bytes([n % 256])).digest(), UUID(int=n + 1))


def made(path: Path, *batches: int) -> EndingsFile:
    """A file in which so many were kept, batch by batch."""
    path.unlink(missing_ok=True)
    file = EndingsFile(path, ORIGIN)
    file.create()
    kept = 0
    for size in batches:
        file.keep([ending(n) for n in range(kept, kept + size)])
        kept += size
    return file


def kept(path: Path) -> list[Ending]:
    return list(EndingsFile(path, ORIGIN).each())


def test_it_holds_every_ending_in_order(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "lock.endings"
    file = made(path)
    assert (kept(path), file.count()) == ([], 0)
    for done in range(9):
        file.keep([ending(done)])
        assert kept(path) == [ending(n) for n in range(done + 1)]
        assert file.count() == done + 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_more_than_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "endings"
    made(path, 5000, 4000)
    assert kept(path) == [ending(n) for n in range(9000)]


def test_the_format_is_what_it_is(tmp_path: Path) -> None:
    """A golden vector, written out by hand: FORMAT 9.1."""
    path = tmp_path / "endings"
    subject = UUID("00112233-4455-6677-8899-aabbccddeeff")
    one = Ending(1, 1_783_000_000_000, 5, bytes(range(32)), UUID(int=7), subject)
    record = (
        "0101"
        "0000019f2314e600"
        "0000000000000005"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "00000000000000000000000000000007"
        "00112233445566778899aabbccddeeff"
    )
    assert one.encode().hex() == record
    assert Ending.decode(bytes.fromhex(record)) == one
    EndingsFile(path, ORIGIN).create()
    EndingsFile(path, ORIGIN).keep([one])
    magic, origin = b"creditvault endings v1\n", sha256(ORIGIN.encode()).digest()
    first = sha256(magic + origin).digest()
    chain = sha256(first + one.encode()).digest()
    body = magic + origin + (2).to_bytes(8, "big") + (1).to_bytes(8, "big") + chain
    slot = (body + sha256(body).digest()).ljust(512, b"\0")
    assert path.read_bytes() == slot + slot + one.encode()


def test_what_belongs_to_nobody_names_nobody() -> None:
    assert Ending(2, 0, 0, bytes(32), UUID(int=1)).encode()[-16:] == NOBODY.bytes == bytes(16)


def test_it_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "endings"
    made(path, 3)
    with pytest.raises(OutsideLockError, match="is there already"):
        EndingsFile(path, ORIGIN).create()
    assert len(kept(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_made_with_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "endings"
    EndingsFile(path, ORIGIN).create([ending(0), ending(1)])
    EndingsFile(path, ORIGIN).keep([ending(2)])
    assert kept(path) == [ending(n) for n in range(3)]


def test_one_that_is_missing_names_the_remedy(tmp_path: Path) -> None:
    file = EndingsFile(tmp_path / "endings", ORIGIN)
    for act in (file.count, lambda: list(file.each()), lambda: file.keep([ending(0)])):
        with pytest.raises(OutsideLockError, match=r"is missing: put its newest copy back.*--begin"):
            act()
    assert not list(tmp_path.iterdir())


def test_that_of_another_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endings"
    made(path, 2)
    with pytest.raises(OutsideLockError, match="of another log"):
        EndingsFile(path, "other.example/log").keep([ending(0)])
    assert len(kept(path)) == 2


@FOLDERS
@given(before=st.integers(0, 5), more=st.integers(1, 4), data=st.data())
def test_a_write_torn_anywhere_loses_nothing_that_was_acknowledged(
    tmp_path: Path, before: int, more: int, data: st.DataObject
) -> None:
    """Power is cut: of the last write any part stands, and of the slots behind it."""
    path = tmp_path / "endings"
    file = made(path, *[1] * before)
    old = path.read_bytes()
    file.keep([ending(before + n) for n in range(more)])
    new = path.read_bytes()
    records = data.draw(st.integers(len(old), len(new)))
    slots = data.draw(st.integers(0, 1023))
    torn = bytearray(old + new[len(old) : records])
    if records == len(new):  # The slots are written only once the records are durable.
        torn[:slots] = new[:slots]
    path.write_bytes(torn)
    found = kept(path)
    assert found in ([ending(n) for n in range(before)], [ending(n) for n in range(before + more)])
    # The next one goes on from what counts.
    file.keep([ending(77)])
    assert kept(path) == [*found, ending(77)]


@FOLDERS
@given(data=st.data())
def test_any_flipped_bit_is_found_or_does_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "endings"
    made(path, 2, 3)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    if at < RECORDS_AT:  # One slot is enough.
        assert kept(path) == [ending(n) for n in range(5)]
    else:
        with pytest.raises(OutsideLockError, match=r"damaged|version"):
            kept(path)


@pytest.mark.parametrize("length", [0, 1, 511, 1024, RECORDS_AT + RECORD, RECORDS_AT + 3 * RECORD - 1])
def test_one_that_was_cut_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "endings"
    file = made(path, 1, 2)
    os.truncate(path, length)
    for act in (lambda: list(file.each()), file.count):
        with pytest.raises(OutsideLockError, match="damaged"):
            act()


def test_a_record_of_a_later_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "endings"
    file = made(path)
    monkeypatch.setattr(endings, "VERSION", 2)
    file.keep([ending(0)])
    monkeypatch.setattr(endings, "VERSION", 1)
    with pytest.raises(OutsideLockError, match="version 2"):
        list(file.each())


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize(("nth", "counted"), [(1, 2), (2, 2), (3, 3)])
def test_a_disk_that_fails_keeps_nothing_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, counted: int
) -> None:
    """One that counts although its caller was told otherwise: the log does not bear it out."""
    path = tmp_path / "endings"
    file = made(path, 2)
    real, calls = getattr(os, call), 0

    def failing(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, "full")
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(LogUnavailableError, match="cannot be used"):
        file.keep([ending(2)])
    monkeypatch.undo()
    assert kept(path) == [ending(n) for n in range(counted)]
    file.keep([ending(counted)])
    assert kept(path) == [ending(n) for n in range(counted + 1)]


def test_many_processes_may_write(tmp_path: Path) -> None:
    path = tmp_path / "endings"
    made(path)

    def write(first: int) -> None:
        for n in range(first, first + 20):
            EndingsFile(path, ORIGIN).keep([ending(n)])

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 20, 40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(one.index for one in kept(path)) == list(range(60))
