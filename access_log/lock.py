"""The outside lock: the newest (size, root) that was raised, kept apart from the database and its backups.

A database restored from an old backup, or swapped for another, cannot pass it. The file holds two slots
written in turn, each with its own digest and one `fdatasync`; a write torn by a crash leaves the other
slot, and that write was never acknowledged. `flock` on the file makes read-compare-write one step across
the workers of a host. FORMAT 9.

    0        4,096      8,192              16,384         32,768         49,152
    | v1     | v1       | (nothing)        | slot 0       | slot 1       | end

    slot = magic ‖ u64 generation ‖ u64 size ‖ root[32] ‖ u16 len(note) ‖ note ‖ H(all before)
    end = magic ‖ u8 len(origin) ‖ origin ‖ H(all before)

The end is written once, when the log is closed: it names the log opened in its place, and nothing is raised
from then on. So a database from before the closing finds out, too.

Version 1 had two slots of 4,096 bytes at the start of the file, filled up with zeroes, its digest at their
end: too short for a note with ML-DSA signatures. They are read as long as they are the newest, never
written; once a slot of version 2 is durable they are voided, so that an older program refuses the file
instead of taking what it held for the newest.
"""

import fcntl
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from access_log.errors import LogUnavailableError, OutsideLockError
from access_log.syncing import making, write_at

_MAGIC = b"creditvault outside lock v2\n"
_SLOT = 16 * 1024
_DIGEST = 32
_HEAD = len(_MAGIC) + 8 + 8 + 32 + 2
_MAX_NOTE = _SLOT - _HEAD - _DIGEST
"""Room for two Ed25519 and two ML-DSA-44 signatures, which a rotation needs, under the longest of names."""

_MAGIC_END = b"creditvault outside lock end v1\n"
_END = 4096

_MAGIC_V1 = b"creditvault outside lock v1\n"
_SLOT_V1 = 4096


@dataclass(frozen=True, slots=True)
class Raised:
    """What the lock holds: a tree size, its 32-byte root and the signed note."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Unproven:
    """The lock holds a size whose root the caller did not bring: nothing was written."""

    held: Raised


class OutsideLock:
    """A file on one host. Blocking; call it in a thread from asynchronous code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, first: Raised) -> None:
        """Makes the file for a new log.

        Raises:
            OutsideLockError: the file is there already.
            LogUnavailableError: it cannot be made.
        """
        try:
            with making(self.path) as descriptor:
                _write(descriptor, 1, first)
        except FileExistsError:
            raise OutsideLockError(
                f"the outside lock {self.path} belongs to a log already; name another file for a new log"
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from error

    def exists(self) -> bool:
        """Whether a lock file stands at the path."""
        return self.path.exists()

    def read(self) -> Raised:
        """What was raised last.

        Raises:
            OutsideLockError: the file is missing or neither slot is whole.
            LogUnavailableError: it cannot be read now.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return _read(descriptor, self.path)[1]
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def glance(self) -> Raised:
        """What was raised last, or just before: it waits for no raise that is under way.

        Raises:
            OutsideLockError: the file is missing or neither slot is whole.
            LogUnavailableError: it cannot be read now.
        """
        descriptor = self._open()
        try:
            return _read(descriptor, self.path)[1]
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def successor(self) -> str | None:
        """Origin of the log that was opened in the place of this one; None where it was not closed.

        Raises:
            OutsideLockError: the file is missing.
            LogUnavailableError: it cannot be read now.
        """
        descriptor = self._open()
        try:
            return _read_end(descriptor)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def close(self, successor: str) -> None:
        """Ends the lock: nothing is raised in it any more. Harmless when repeated.

        Args:
            successor: Origin of the log that is opened in the place of this one.

        Raises:
            OutsideLockError: the file is missing, or was ended for another log.
            LogUnavailableError: it cannot be written now.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ended = _read_end(descriptor)
            if ended is not None and ended != successor:
                raise OutsideLockError(
                    f"the outside lock {self.path} says that {ended} was opened in the place of its log, and "
                    f"not {successor}"
                )
            if ended is None:
                write_at(descriptor, _encode_end(successor), _slot_at(2))
                os.fdatasync(descriptor)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def raise_to(self, new: Raised, known_roots: Mapping[int, bytes]) -> Unproven | None:
        """Raises the lock to `new` in one atomic step; an equal or larger size counts as raised.

        Args:
            new: size, root and note of the tree just committed.
            known_roots: roots of that same tree at sizes the caller has checked.

        Returns:
            None when raised; Unproven when the held size is not among `known_roots`.

        Raises:
            OutsideLockError: the held root is not our tree's root at that size.
            LogUnavailableError: the file cannot be read or written now.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            generation, held = _read(descriptor, self.path)
            known = new.root if held.size == new.size else known_roots.get(held.size)
            if known is None:
                return Unproven(held)
            if known != held.root:
                raise OutsideLockError(
                    f"the outside lock {self.path} holds another tree of size {held.size}: this database is "
                    "not the log that was raised. Restore the right database; never delete the lock."
                )
            if held.size < new.size:
                if (ended := _read_end(descriptor)) is not None:
                    raise OutsideLockError(
                        f"the outside lock {self.path} says that the log was closed, and {ended} opened in "
                        "its place: this database is from before that. Restore one made after it"
                    )
                _write(descriptor, generation + 1, new)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)
        return None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            raise OutsideLockError(
                f"the outside lock {self.path} is missing. Restore it from where it was kept; "
                "without it an old database could pass for the newest."
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from error


def _unusable(path: Path, error: OSError) -> LogUnavailableError:
    return LogUnavailableError(f"the outside lock {path} cannot be used: {os.strerror(error.errno or 0)}")


def _encode(generation: int, raised: Raised) -> bytes:
    note = raised.note.encode()
    if len(note) > _MAX_NOTE:
        raise OutsideLockError(
            f"the signed note is too long for the outside lock (at most {_MAX_NOTE:,} bytes)"
        )
    body = (
        _MAGIC
        + generation.to_bytes(8, "big")
        + raised.size.to_bytes(8, "big")
        + raised.root
        + len(note).to_bytes(2, "big")
        + note
    )
    return body + hashlib.sha256(body).digest()


def _decode(slot: bytes) -> tuple[int, Raised] | None:
    end = _HEAD + int.from_bytes(slot[_HEAD - 2 : _HEAD], "big")
    if not slot.startswith(_MAGIC) or hashlib.sha256(slot[:end]).digest() != slot[end : end + _DIGEST]:
        return None
    return _fields(slot)


def _decode_v1(slot: bytes) -> tuple[int, Raised] | None:
    body = slot[:-_DIGEST]
    if not body.startswith(_MAGIC_V1) or hashlib.sha256(body).digest() != slot[-_DIGEST:]:
        return None
    return _fields(slot)


def _fields(slot: bytes) -> tuple[int, Raised]:
    """Generation and content of a slot whose digest fits; both versions begin alike."""
    rest = slot[len(_MAGIC) : _HEAD]
    note = slot[_HEAD : _HEAD + int.from_bytes(rest[48:50], "big")]
    return int.from_bytes(rest[:8], "big"), Raised(
        size=int.from_bytes(rest[8:16], "big"), root=rest[16:48], note=note.decode()
    )


def _read(descriptor: int, path: Path) -> tuple[int, Raised]:
    raw = os.pread(descriptor, _slot_at(2), 0)
    slots = [_decode(raw[_slot_at(n) : _slot_at(n + 1)]) for n in range(2)]
    slots += [_decode_v1(raw[n * _SLOT_V1 : (n + 1) * _SLOT_V1]) for n in range(2)]
    whole = [held for held in slots if held is not None]
    if not whole:
        raise OutsideLockError(f"the outside lock {path} is damaged: neither slot is whole. Restore it.")
    return max(whole, key=lambda held: held[0])


def _slot_at(n: int) -> int:
    return (n + 1) * _SLOT


def _encode_end(successor: str) -> bytes:
    name = successor.encode()
    body = _MAGIC_END + bytes((len(name),)) + name
    return body + hashlib.sha256(body).digest()


def _read_end(descriptor: int) -> str | None:
    raw = os.pread(descriptor, _END, _slot_at(2))
    at = len(_MAGIC_END) + 1
    if not raw.startswith(_MAGIC_END) or len(raw) < at:
        return None
    body = raw[: at + raw[at - 1]]
    # One that was torn was never answered for: it is written anew.
    if hashlib.sha256(body).digest() != raw[len(body) : len(body) + _DIGEST]:
        return None
    return body[at:].decode()


def _write(descriptor: int, generation: int, raised: Raised) -> None:
    slot, at = _encode(generation, raised), _slot_at(generation % 2)
    try:
        write_at(descriptor, slot, at)
        os.fdatasync(descriptor)
    except OSError:
        # What may not be durable must not be read as raised: the other slot stands, this one is written anew.
        with suppress(OSError):
            os.pwrite(descriptor, bytes(len(_MAGIC)), at)
        raise
    # Only now: a crash before this line leaves version 1 slots that are still the newest, or older ones.
    if os.pread(descriptor, len(_MAGIC_V1), 0) == _MAGIC_V1 or (
        os.pread(descriptor, len(_MAGIC_V1), _SLOT_V1) == _MAGIC_V1
    ):
        os.pwrite(descriptor, bytes(2 * _SLOT_V1), 0)
        os.fdatasync(descriptor)
