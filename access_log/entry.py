"""One entry of the log, 106 bytes, and the chain through all of them (FORMAT 1)."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from access_log.encoding import HASH_SIZE
from access_log.errors import FormatError

VERSION: Final = 1
SIZE: Final = 106
LAST_TIME: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last instant every calendar here can name (FORMAT 1)."""

_LAYOUT: Final = struct.Struct(f">BBQ{HASH_SIZE}s{HASH_SIZE}s{HASH_SIZE}s")


class EntryType(IntEnum):
    """What an entry records. The numbers are part of the format and never change."""

    QUERY_PERMITTED = 1
    QUERY_REFUSED = 2
    CONSENT = 3
    AUTHORIZATION = 4
    RECORD = 5
    RIGHTS = 6
    KEY = 7
    INSPECTION = 8
    OPERATOR = 9
    NOT_RELEASED = 10
    HEARTBEAT = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: what kind, when, in whose stream, and a commitment to the rest.

    Attributes:
        type: What the entry records.
        time: Milliseconds since the epoch, UTC, 0 to `LAST_TIME`.
        previous: The chain value before this entry, 32 bytes; `first_chain` for entry 0.
        label: Where the entry stands in its stream, 32 bytes (FORMAT 3).
        commitment: What binds the sealed payload, 32 bytes (FORMAT 2).

    Raises:
        FormatError: A part is out of its bounds.
    """

    type: EntryType
    time: int
    previous: bytes
    label: bytes
    commitment: bytes

    def __post_init__(self) -> None:
        _require_bounds(self.time, self.previous, self.label, self.commitment)

    def encode(self) -> bytes:
        """Write the 106 bytes that are hashed, stored and published."""
        return _LAYOUT.pack(VERSION, self.type, self.time, self.previous, self.label, self.commitment)

    @classmethod
    def decode(cls, raw: bytes) -> "Entry":
        """Read an entry; whatever is accepted re-encodes to the same bytes.

        Raises:
            FormatError: The bytes are no entry of version 1.
        """
        if len(raw) != SIZE:
            raise FormatError(f"an entry has {SIZE} bytes, these are {len(raw)}")
        version, kind, time, previous, label, commitment = _LAYOUT.unpack(raw)
        if version != VERSION:
            raise FormatError(f"entry version {version} is not known; version {VERSION} is")
        try:
            entry_type = EntryType(kind)
        except ValueError:
            raise FormatError(f"entry type {kind} is not known") from None
        return cls(entry_type, time, previous, label, commitment)


def encode_entry(entry_type: EntryType, time: int, previous: bytes, label: bytes, commitment: bytes) -> bytes:
    """Write an entry's 106 bytes from its parts, which whoever writes many has at hand; see `Entry`.

    Raises:
        FormatError: A part is out of its bounds.
    """
    _require_bounds(time, previous, label, commitment)
    return _LAYOUT.pack(VERSION, entry_type, time, previous, label, commitment)


def first_chain(origin: str) -> bytes:
    """The chain value entry 0 carries: it ties the chain to one log (FORMAT 1)."""
    return sha256(b"\x11" + origin.encode()).digest()


def next_chain(chain: bytes, leaf: bytes) -> bytes:
    """The chain value after an entry, from the value before it and the entry's leaf hash (FORMAT 1)."""
    return sha256(b"\x10" + chain + leaf).digest()


def _require_bounds(time: int, previous: bytes, label: bytes, commitment: bytes) -> None:
    if not 0 <= time <= LAST_TIME:
        raise FormatError("the entry's time lies outside the years 1970 to 9999")
    if not len(previous) == len(label) == len(commitment) == HASH_SIZE:
        raise FormatError("chain value, label and commitment of an entry have 32 bytes each")
