"""A write to the outside lock, cut anywhere: what was raised before stands, or what was being raised."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from access_log.errors import OutsideLockError
from access_log.lock import OutsideLock, Raised

_SLOT = 4096


class _CutError(Exception):
    """The power is gone."""


def _raised(size: int) -> Raised:
    return Raised(size, bytes([size]) * 32, f"note of {size}\n")


@pytest.fixture
def lock(tmp_path: Path) -> OutsideLock:
    made = OutsideLock(tmp_path / "outside.lock")
    made.create(_raised(0))
    return made


@pytest.fixture(params=[1, 2], ids=["first slot", "second slot"])
def size(request: pytest.FixtureRequest, lock: OutsideLock) -> int:
    """The size to be raised to; both slots take their turn."""
    for before in range(1, request.param):
        _raise(lock, before)
    return int(request.param)


def _raise(lock: OutsideLock, size: int) -> None:
    known = {each: _raised(each).root for each in range(size)}
    assert lock.raise_to(_raised(size), known) is None


def _cut(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    pwrite = os.pwrite

    def write_some(descriptor: int, content: bytes, offset: int) -> int:
        if at:
            pwrite(descriptor, content[:at], offset)
        raise _CutError

    monkeypatch.setattr(os, "pwrite", write_some)


def _prefixes() -> Iterator[int]:
    yield from range(200)
    yield from range(200, _SLOT, 37)
    yield from range(_SLOT - 33, _SLOT)


def test_a_write_cut_anywhere_leaves_what_stood_before(lock: OutsideLock, size: int) -> None:
    whole = lock.path.read_bytes()
    for at in _prefixes():
        lock.path.write_bytes(whole)
        with pytest.MonkeyPatch.context() as cut:
            _cut(cut, at)
            with pytest.raises(_CutError):
                _raise(lock, size)
        assert lock.read() == _raised(size - 1), f"cut after {at} bytes"
        _raise(lock, size)
        assert lock.read() == _raised(size)


def test_a_write_that_is_whole_but_not_known_to_be_synced_counts(
    lock: OutsideLock, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cut(monkeypatch, _SLOT)
    with pytest.raises(_CutError):
        _raise(lock, size)
    monkeypatch.undo()
    assert lock.read() == _raised(size)
    _raise(lock, size + 1)
    assert lock.read() == _raised(size + 1)


def test_two_damaged_slots_are_no_lock(lock: OutsideLock) -> None:
    _raise(lock, 1)
    raw = bytearray(lock.path.read_bytes())
    for at in (100, _SLOT + 100):
        raw[at] ^= 1
    lock.path.write_bytes(raw)
    with pytest.raises(OutsideLockError, match="Restore it"):
        lock.read()


def test_a_lock_that_is_cut_while_it_is_made_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = OutsideLock(tmp_path / "outside.lock")
    _cut(monkeypatch, 100)
    with pytest.raises(_CutError):
        made.create(_raised(0))
    monkeypatch.undo()
    assert not made.exists()
    made.create(_raised(0))
    assert made.read() == _raised(0)
