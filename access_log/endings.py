"""Acts that end something, kept beside the outside lock: a restored database must not undo them.

A withdrawn consent, a revoked authorization, a suspended body: each is a row of the database, and a restored
database is older than the row. What is kept here is no more than ids and where in the log the act stands
(FORMAT 9.1). One record for each act:

    u8 version ‖ u8 kind ‖ u64 time ‖ u64 index ‖ leaf[32] ‖ object[16] ‖ subject[16]

**In which order.** A record is durable here before the transaction of its act is committed, and that before
the act is answered as done: no crash loses one. A transaction that fails after that leaves a record of what
never happened. It is told apart by its leaf: what happened stands in the log, at this index, with this leaf
hash, which the random blind of its payload makes unique. So a record counts only if the log bears it out.

    0        512       1,024
    | slot 0 | slot 1 | records, 82 bytes each

    slot = magic ‖ H(origin)[32] ‖ u64 generation ‖ u64 count ‖ chain[32] ‖ H(all before)

Records are written and synced first, then one slot that counts them, then the other. A slot torn by a crash
leaves the other one; so does one that a disk lost later, and that one counts as many. What lies behind the
counted records was torn, and its act was never committed. `chain` runs through all records that are counted:
one that was altered or cut is found, and then nothing of the file is believed.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

from access_log.errors import LogUnavailableError, OutsideLockError
from access_log.syncing import making, write_at

VERSION: Final = 1
RECORD: Final = 82
NOBODY: Final = UUID(int=0)
ASSUMED: Final = bytes(32)
"""In the place of a leaf: the act was read from the database itself when the file was begun."""

_MAGIC: Final = b"creditvault endings v1\n"
_SLOT: Final = 512
_BODY: Final = len(_MAGIC) + 32 + 8 + 8 + 32
_RECORDS_AT: Final = 2 * _SLOT
_CHUNK: Final = 4096
_REMEDY: Final = (
    "put its newest copy back; if there is none and the database is sound, `creditvault log endings --begin` "
    "makes it anew from what the database holds"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """An act that ended something, or took such an end back.

    Attributes:
        kind: What happened; the numbers are those of whoever writes (FORMAT 9.1), 1 to 255.
        time: Of its entry, in milliseconds since the epoch.
        index: Of its entry.
        leaf: The leaf hash of its entry, or `ASSUMED`.
        object: What it is about: a consent, an authorization, a body, an officer.
        subject: Whose it is; `NOBODY` for what belongs to no person.
    """

    kind: int
    time: int
    index: int
    leaf: bytes
    object: UUID
    subject: UUID = NOBODY

    def encode(self) -> bytes:
        """The record of 82 bytes."""
        return (
            bytes((VERSION, self.kind))
            + self.time.to_bytes(8, "big")
            + self.index.to_bytes(8, "big")
            + self.leaf
            + self.object.bytes
            + self.subject.bytes
        )

    @classmethod
    def decode(cls, raw: bytes) -> "Ending":
        """Read a record that the chain bears out.

        Raises:
            OutsideLockError: It is of another version.
        """
        if raw[0] != VERSION:
            raise OutsideLockError(
                f"the endings kept beside the outside lock are of version {raw[0]}: start the program that "
                "wrote them, or a newer one"
            )
        return cls(
            raw[1],
            int.from_bytes(raw[2:10], "big"),
            int.from_bytes(raw[10:18], "big"),
            raw[18:50],
            UUID(bytes=raw[50:66]),
            UUID(bytes=raw[66:82]),
        )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a slot says."""

    generation: int
    count: int
    chain: bytes


class EndingsFile:
    """The file of one log's endings. Blocking; call it in a thread from asynchronous code.

    Args:
        path: Beside the outside lock, and never in the database's backups.
        origin: The log's name.
    """

    def __init__(self, path: Path, origin: str) -> None:
        self.path = path
        self._origin = sha256(origin.encode()).digest()

    def exists(self) -> bool:
        """Whether a file stands at the path."""
        return self.path.exists()

    def create(self, known: Sequence[Ending] = ()) -> None:
        """Makes the file, in which these endings stand already.

        Raises:
            OutsideLockError: It is there already.
            LogUnavailableError: It cannot be made.
        """
        records = b"".join(each.encode() for each in known)
        first = _Counted(1, len(known), _chained(self._beginning, records))
        try:
            with making(self.path) as descriptor:
                write_at(descriptor, records, _RECORDS_AT)
                self._count(descriptor, first)
        except FileExistsError:
            raise OutsideLockError(f"{self.path} is there already: move it away if it is damaged") from None
        except OSError as error:
            raise _unusable(self.path, error) from error

    def keep(self, endings: Sequence[Ending]) -> None:
        """Makes these endings durable; call it under the head lock, right before their commit.

        Raises:
            OutsideLockError: The file is missing, damaged, or another log's.
            LogUnavailableError: It cannot be written now.
        """
        records = b"".join(each.encode() for each in endings)
        descriptor = self._open(os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            last = self._newest(descriptor)
            write_at(descriptor, records, _RECORDS_AT + last.count * RECORD)
            os.fdatasync(descriptor)  # Before the slot that counts them.
            self._count(
                descriptor,
                _Counted(last.generation + 1, last.count + len(endings), _chained(last.chain, records)),
            )
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def count(self) -> int:
        """How many are kept; nothing but the slots and the length of the file is looked at.

        Raises:
            OutsideLockError: The file is missing, damaged, or another log's.
            LogUnavailableError: It cannot be read now.
        """
        descriptor = self._open(os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            counted = self._newest(descriptor).count
            if os.fstat(descriptor).st_size < _RECORDS_AT + counted * RECORD:
                raise self._damaged("it was cut")
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)
        return counted

    def each(self) -> Iterator[Ending]:
        """Every ending, oldest first. Act on none before the last was read: only then the chain is checked.

        Raises:
            OutsideLockError: The file is missing, damaged, or another log's.
            LogUnavailableError: It cannot be read now.
        """
        descriptor = self._open(os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            counted = self._newest(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # What is counted never changes.
            chain = self._beginning
            for first in range(0, counted.count, _CHUNK):
                length = RECORD * min(_CHUNK, counted.count - first)
                records = os.pread(descriptor, length, _RECORDS_AT + first * RECORD)
                if len(records) != length:
                    raise self._damaged("it was cut")
                chain = _chained(chain, records)
                for at in range(0, length, RECORD):
                    yield Ending.decode(records[at : at + RECORD])
            if chain != counted.chain:
                raise self._damaged("a record was altered")
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    @property
    def _beginning(self) -> bytes:
        return sha256(_MAGIC + self._origin).digest()

    def _open(self, flags: int) -> int:
        try:
            return os.open(self.path, flags)
        except FileNotFoundError:
            raise OutsideLockError(
                f"{self.path}, which keeps withdrawals and revocations through a restore, is missing: "
                f"{_REMEDY}"
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from error

    def _newest(self, descriptor: int) -> _Counted:
        raw = os.pread(descriptor, 2 * _SLOT, 0)
        whole = [
            slot[:_BODY]
            for slot in (raw[:_SLOT], raw[_SLOT:])
            if slot.startswith(_MAGIC) and sha256(slot[:_BODY]).digest() == slot[_BODY : _BODY + 32]
        ]
        if not whole:
            raise self._damaged("neither slot is whole")
        if any(slot[len(_MAGIC) : len(_MAGIC) + 32] != self._origin for slot in whole):
            raise OutsideLockError(
                f"{self.path} keeps the endings of another log: put back the one of this log"
            )
        return max((_read_slot(slot) for slot in whole), key=lambda each: each.generation)

    def _count(self, descriptor: int, counted: _Counted) -> None:
        """Writes the slots that make records count, and syncs each."""
        body = (
            _MAGIC
            + self._origin
            + counted.generation.to_bytes(8, "big")
            + counted.count.to_bytes(8, "big")
            + counted.chain
        )
        slot = (body + sha256(body).digest()).ljust(_SLOT, b"\0")
        for at in (0, _SLOT):
            try:
                write_at(descriptor, slot, at)
                os.fdatasync(descriptor)
            except OSError:
                # What may not be durable must not count: the other slot stands, this one is written anew.
                with suppress(OSError):
                    os.pwrite(descriptor, bytes(len(_MAGIC)), at)
                raise

    def _damaged(self, how: str) -> OutsideLockError:
        return OutsideLockError(
            f"{self.path}, which keeps withdrawals and revocations through a restore, is damaged ({how}): "
            f"move it away and {_REMEDY}"
        )


def _read_slot(body: bytes) -> _Counted:
    rest = body[len(_MAGIC) + 32 :]
    return _Counted(int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:16], "big"), rest[16:48])


def _chained(chain: bytes, records: bytes) -> bytes:
    for at in range(0, len(records), RECORD):
        chain = sha256(chain + records[at : at + RECORD]).digest()
    return chain


def _unusable(path: Path, error: OSError) -> LogUnavailableError:
    return LogUnavailableError(
        f"{path}, which keeps withdrawals and revocations, cannot be used: {os.strerror(error.errno or 0)}"
    )
