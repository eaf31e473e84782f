"""The outside lock: whatever a crash leaves of a write, the lock still says what was raised."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log.checkpoint import Checkpoint
from access_log.errors import LogUnavailableError, OutsideLockError
from access_log.lock import OutsideLock, Raised, Unproven
from access_log.merkle import EMPTY_ROOT
from access_log.signing_keys import CosigningKey, SigningKey, sign_note
from access_log.verifier_keys import ML_DSA_44

FIRST = Raised(0, bytes(32), "first note\n")
ROOTS = {size: bytes([size % 256]) * 32 for size in range(300)}
FOLDERS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
SLOT = 16 * 1024
FILE = 3 * SLOT
LONGEST = SLOT - 28 - 8 - 8 - 32 - 2 - 32


def raised(size: int, note: str | None = None) -> Raised:
    return Raised(size, ROOTS[size], f"note of {size}\n" if note is None else note)


def made(path: Path, *sizes: int) -> OutsideLock:
    path.unlink(missing_ok=True)
    lock = OutsideLock(path)
    lock.create(FIRST)
    for size in sizes:
        assert lock.raise_to(raised(size), ROOTS) is None
    return lock


def test_it_holds_what_was_raised_last(tmp_path: Path) -> None:
    path = tmp_path / "outside.lock"
    lock = made(path)
    assert lock.read() == FIRST
    for size in (1, 2, 7, 200):
        assert lock.raise_to(raised(size), ROOTS) is None
        assert lock.read() == OutsideLock(path).read() == raised(size)


def test_a_new_lock_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "apart" / "outside.lock"
    made(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_lock_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "outside.lock"
    lock = made(path, 5)
    with pytest.raises(OutsideLockError, match="belongs to a log already"):
        OutsideLock(path).create(FIRST)
    assert lock.read() == raised(5)
    assert list(tmp_path.iterdir()) == [path]


def test_it_only_rises(tmp_path: Path) -> None:
    lock = made(tmp_path / "outside.lock", 9)
    for size in (1, 8, 9):
        assert lock.raise_to(raised(size, "another note\n"), ROOTS) is None
        assert lock.read() == raised(9)


def test_another_tree_is_refused_at_every_size(tmp_path: Path) -> None:
    lock = made(tmp_path / "outside.lock", 9)
    other = {size: bytes([255]) * 32 for size in ROOTS}
    for size in (3, 9, 20):
        with pytest.raises(OutsideLockError, match="another tree of size 9"):
            lock.raise_to(Raised(size, other[size], "their note\n"), other)
        assert lock.read() == raised(9)


def test_a_size_the_caller_cannot_vouch_for_is_handed_back(tmp_path: Path) -> None:
    lock = made(tmp_path / "outside.lock", 9)
    for size in (3, 20):
        assert lock.raise_to(raised(size), {0: FIRST.root}) == Unproven(raised(9))
        assert lock.read() == raised(9)
    assert lock.raise_to(raised(20), {9: ROOTS[9]}) is None


def test_a_missing_lock_is_named_with_its_remedy(tmp_path: Path) -> None:
    lock = OutsideLock(tmp_path / "outside.lock")
    assert not lock.exists()
    for act in (lock.read, lambda: lock.raise_to(raised(1), ROOTS)):
        with pytest.raises(OutsideLockError, match=r"outside\.lock is missing\. Restore it"):
            act()
    assert not lock.exists()


def test_what_is_no_file_is_unavailable(tmp_path: Path) -> None:
    lock = OutsideLock(tmp_path)
    for act in (lock.read, lambda: lock.raise_to(raised(1), ROOTS)):
        with pytest.raises(LogUnavailableError, match="Is a directory"):
            act()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LogUnavailableError, match="Not a directory"):
        OutsideLock(tmp_path / "file" / "folder" / "outside.lock").create(FIRST)


def test_a_note_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    lock = made(tmp_path / "outside.lock", 3)
    longest = "n" * LONGEST
    assert lock.raise_to(raised(4, longest), ROOTS) is None
    assert lock.read().note == longest
    with pytest.raises(OutsideLockError, match="too long"):
        lock.raise_to(raised(5, "n" * (LONGEST + 1)), ROOTS)
    assert lock.read() == raised(4, longest)


# ── Torn writes ──────────────────────────────────────────────────────────────────────────────────


@FOLDERS
@given(sizes=st.lists(st.integers(1, 299), min_size=1, max_size=5, unique=True).map(sorted), data=st.data())
def test_a_write_torn_at_any_byte_leaves_the_one_before(
    tmp_path: Path, sizes: list[int], data: st.DataObject
) -> None:
    """The device may keep any prefix, or any set of sectors, of a slot that was being written."""
    path = tmp_path / "outside.lock"
    *earlier, last = sizes
    made(path, *earlier)
    before = path.read_bytes().ljust(FILE, b"\0")
    OutsideLock(path).raise_to(raised(last), ROOTS)
    after = path.read_bytes().ljust(FILE, b"\0")
    at = data.draw(st.integers(0, FILE), label="torn at")
    sectors = data.draw(st.sets(st.integers(0, FILE // 512 - 1)), label="sectors that were written")
    for torn in (
        after[:at] + before[at:],
        before[:at] + after[at:],
        b"".join(
            (after if sector in sectors else before)[sector * 512 : (sector + 1) * 512]
            for sector in range(FILE // 512)
        ),
    ):
        path.write_bytes(torn)
        held = OutsideLock(path).read()
        expected = raised(earlier[-1]) if earlier else FIRST
        assert held in (expected, raised(last))
        assert OutsideLock(path).raise_to(raised(last), ROOTS) is None
        assert OutsideLock(path).read() == raised(last)


@FOLDERS
@given(at=st.integers(0, FILE - 1), bit=st.integers(0, 7), count=st.integers(1, 3))
def test_a_flipped_bit_spoils_one_slot_only(tmp_path: Path, at: int, bit: int, count: int) -> None:
    path = tmp_path / "outside.lock"
    lock = made(path, *range(1, count + 1))
    raw = bytearray(path.read_bytes().ljust(FILE, b"\0"))
    raw[at] ^= 1 << bit
    path.write_bytes(raw)
    assert lock.read() in (raised(count), raised(count - 1) if count > 1 else FIRST)


@FOLDERS
@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda raw: raw * 200))
def test_anything_else_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outside.lock"
    path.write_bytes(content)
    for act in (OutsideLock(path).read, lambda: OutsideLock(path).raise_to(raised(1), ROOTS)):
        with pytest.raises(OutsideLockError, match="damaged"):
            act()
    assert path.read_bytes() == content


# ── Version 1 ────────────────────────────────────────────────────────────────────────────────────


def version_1(*held: Raised) -> bytes:
    """A file as version 1 wrote it: two slots of 4,096 bytes, filled up, the digest at the end."""
    slots = [bytes(4096), bytes(4096)]
    for generation, one in enumerate(held, 1):
        body = b"creditvault outside lock v1\n" + generation.to_bytes(8, "big") + one.size.to_bytes(8, "big")
        body += one.root + len(one.note).to_bytes(2, "big") + one.note.encode()
        body = body.ljust(4064, b"\0")
        slots[generation % 2] = body + hashlib.sha256(body).digest()
    return b"".join(slots)


def test_a_file_of_version_1_is_read_and_raised(tmp_path: Path) -> None:
    path = tmp_path / "outside.lock"
    lock = OutsideLock(path)
    for count in (1, 2, 3):
        held = [raised(size, f"note {size} of version 1\n") for size in range(1, count + 1)]
        path.write_bytes(version_1(*held))
        assert lock.read() == held[-1]
        assert lock.raise_to(held[-1], ROOTS) is None
        assert path.read_bytes() == version_1(*held)
        for size in (7, 8, 9):
            assert lock.raise_to(raised(size), ROOTS) is None
            assert lock.read() == raised(size)
            assert not any(path.read_bytes()[:8192])
        with pytest.raises(OutsideLockError, match="another tree of size 9"):
            lock.raise_to(Raised(20, bytes(32), "their note\n"), {9: bytes(32)})


@FOLDERS
@given(count=st.integers(1, 3), data=st.data())
def test_an_upgrade_torn_at_any_byte_holds_the_old_or_the_new(
    tmp_path: Path, count: int, data: st.DataObject
) -> None:
    """The new slot is durable before the old ones are voided; either write may be torn."""
    path = tmp_path / "outside.lock"
    held = [raised(size) for size in range(1, count + 1)]
    old = version_1(*held)
    path.write_bytes(old)
    before = old.ljust(FILE, b"\0")
    assert OutsideLock(path).raise_to(raised(9), ROOTS) is None
    after = path.read_bytes().ljust(FILE, b"\0")
    middle = before[:SLOT] + after[SLOT:]
    at = data.draw(st.integers(0, FILE), label="torn at")
    for torn in (before[:at] + middle[at:], middle[:at] + before[at:]):
        path.write_bytes(torn)
        assert OutsideLock(path).read() in (held[-1], raised(9))
        assert OutsideLock(path).raise_to(raised(9), ROOTS) is None
        assert OutsideLock(path).read() == raised(9)
    for torn in (middle[:at] + after[at:], after[:at] + middle[at:]):
        path.write_bytes(torn)
        assert OutsideLock(path).read() == raised(9)


def test_old_slots_that_could_not_be_voided_are_with_the_next_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outside.lock"
    path.write_bytes(version_1(raised(1)))
    write = os.pwrite

    def failing(descriptor: int, content: bytes, at: int) -> int:
        if at == 0:
            raise OSError(5, "Input/output error")
        return write(descriptor, content, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing)
        with pytest.raises(LogUnavailableError):
            OutsideLock(path).raise_to(raised(2), ROOTS)
    assert OutsideLock(path).read() == raised(2)
    assert OutsideLock(path).raise_to(raised(3), ROOTS) is None
    assert OutsideLock(path).read() == raised(3)
    assert not any(path.read_bytes()[:8192])


def test_a_rotations_note_fits_under_the_longest_name(tmp_path: Path) -> None:
    name = "n" * 255
    keys: list[SigningKey | CosigningKey] = [
        *(SigningKey.from_seed(name, bytes([number]) * 32) for number in range(2)),
        *(CosigningKey.from_seed(name, ML_DSA_44, bytes([number]) * 32) for number in range(2)),
    ]
    note = sign_note(Checkpoint(name, 2**63 - 1, bytes(32)), keys, 2**63 - 1)
    lock = made(tmp_path / "outside.lock", 3)
    assert lock.raise_to(raised(4, note), ROOTS) is None
    assert lock.read().note == note


# ── Several workers ──────────────────────────────────────────────────────────────────────────────


@FOLDERS
@given(st.lists(st.integers(1, 299), min_size=2, max_size=12))
def test_workers_in_any_order_end_at_the_largest(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "outside.lock"
    made(path)
    together = threading.Barrier(len(sizes))

    def work(size: int) -> None:
        together.wait()
        assert OutsideLock(path).raise_to(raised(size), ROOTS) is None
        assert OutsideLock(path).read().size >= size

    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OutsideLock(path).read() == raised(max(sizes))


# ── The end of a closed log ──────────────────────────────────────────────────────────────────────


def test_a_lock_that_was_ended_is_raised_no_more_and_read_as_ever(tmp_path: Path) -> None:
    lock = OutsideLock(tmp_path / "outside.lock")
    first, second = Raised(0, EMPTY_ROOT, "note 0"), Raised(1, bytes([1]) * 32, "note 1")
    lock.create(first)
    assert lock.successor() is None
    lock.raise_to(second, {0: EMPTY_ROOT})
    lock.close("vault.example/log/2027")
    lock.close("vault.example/log/2027")
    assert lock.successor() == "vault.example/log/2027"
    assert lock.read() == second
    assert lock.raise_to(second, {}) is None, "what was raised before still counts as raised"
    with pytest.raises(OutsideLockError, match=r"closed, and vault\.example/log/2027 opened in its place"):
        lock.raise_to(Raised(2, bytes([2]) * 32, "note 2"), {1: second.root})
    assert lock.read() == second
    with pytest.raises(OutsideLockError, match="and not another"):
        lock.close("another")


def test_an_end_that_was_torn_is_none_and_is_written_anew(tmp_path: Path) -> None:
    lock = OutsideLock(tmp_path / "outside.lock")
    lock.create(Raised(0, EMPTY_ROOT, "note 0"))
    lock.close("vault.example/log/2027")
    whole = lock.path.read_bytes()
    for cut in range(48 * 1024, len(whole)):
        lock.path.write_bytes(whole[:cut])
        assert lock.successor() is None
    lock.close("vault.example/log/2027")
    assert lock.path.read_bytes() == whole
