"""Check entries at the speed of hashing, and say at which one they stop holding together (FORMAT 10).

`examine` only accepts: it decides for a whole bundle at once, with one hash call per hash and no Python
step per entry besides. Whatever it does not accept, `first_flaw` walks through one by one to name the
place. The two agree; a property test holds them together.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from access_log.entry import LAST_TIME, SIZE, VERSION, EntryType, next_chain
from access_log.merkle import leaf_hash

RECORD: Final = 2 + SIZE
"""Bytes of one entry in a bundle, its length included."""

_LENGTH_HIGH, _LENGTH_LOW = (bytes((each,)) for each in SIZE.to_bytes(2, "big"))
_VERSION: Final = bytes((VERSION,))
_TYPES: Final = bytes(EntryType)
# The low byte of the length stands right before the entry. Overwritten by 0x00 it makes the leaf's
# message `0x00 ‖ entry` in place, so that no entry is copied to be prefixed.
_MESSAGES: Final = struct.Struct(f">x{1 + SIZE}s")
_TIME_AND_PREVIOUS: Final = struct.Struct(">4x8s32s64x")


@dataclass(frozen=True, slots=True)
class Run:
    """Entries that follow each other and hold together; how they join their neighbours is left to check.

    Attributes:
        previous: The chain value the first entry states.
        chain: The chain value after the last entry.
        first_time: Milliseconds since the epoch.
        last_time: Milliseconds since the epoch.
    """

    previous: bytes
    chain: bytes
    first_time: int
    last_time: int

    def follows(self, chain: bytes, time: int) -> bool:
        """Whether the run continues a log with this chain value and newest time."""
        return self.previous == chain and self.first_time >= time


def examine(bundle: bytes, width: int) -> tuple[Run, list[bytes]] | None:
    """Check a bundle of 1 to 256 entries: format, order of times, chain.

    Args:
        bundle: The bytes of the bundle.
        width: The number of entries it must hold.

    Returns:
        The run and its leaf hashes; None if anything at all is wrong.
    """
    if (
        len(bundle) != RECORD * width
        or bundle[0::RECORD] != _LENGTH_HIGH * width
        or bundle[1::RECORD] != _LENGTH_LOW * width
        or bundle[2::RECORD] != _VERSION * width
        or bundle[3::RECORD].translate(None, _TYPES)
    ):
        return None
    messages = bytearray(bundle)
    messages[1::RECORD] = bytes(width)
    leaves = [sha256(message).digest() for (message,) in _MESSAGES.iter_unpack(messages)]
    parts = list(_TIME_AND_PREVIOUS.iter_unpack(bundle))
    chain = [
        sha256(b"\x10" + previous + leaf).digest() for (_, previous), leaf in zip(parts, leaves, strict=True)
    ]
    times = [time for time, _ in parts]  # Big-endian, so they sort as numbers do.
    last_time = int.from_bytes(times[-1], "big")
    if (
        chain[:-1] != [previous for _, previous in parts[1:]]
        or times != sorted(times)
        or last_time > LAST_TIME
    ):
        return None
    return Run(parts[0][1], chain[-1], int.from_bytes(times[0], "big"), last_time), leaves


class FlawKind(Enum):
    """Which rule an entry breaks first."""

    FORMAT = "format"
    CHAIN = "chain"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Where a sequence of entries stops holding together, counted from its start, and why."""

    position: int
    kind: FlawKind
    reason: str


def first_flaw(entries: Iterable[bytes], chain: bytes, time: int) -> Flaw | None:
    """Walk through entries and return the first that breaks a rule, if one does.

    Args:
        entries: The entries, 106 bytes each where they are well-formed.
        chain: The chain value before the first of them.
        time: The newest time before the first of them.
    """
    for position, entry in enumerate(entries):
        reason = _malformed(entry)
        if reason is not None:
            return Flaw(position, FlawKind.FORMAT, reason)
        if previous_of(entry) != chain:
            return Flaw(position, FlawKind.CHAIN, "its chain value does not follow from the entry before it")
        if time_of(entry) < time:
            return Flaw(position, FlawKind.TIME, "its time is earlier than that of the entry before it")
        chain, time = next_chain(chain, leaf_hash(entry)), time_of(entry)
    return None


def _malformed(entry: bytes) -> str | None:
    if len(entry) != SIZE:
        return f"it has {len(entry)} bytes instead of {SIZE}"
    if entry[0] != VERSION:
        return f"its version is {entry[0]}, which is not known"
    if entry[1] not in _TYPES:
        return f"its type is {entry[1]}, which is not known"
    if time_of(entry) > LAST_TIME:
        return "its time lies after the year 9999"
    return None


def time_of(entry: bytes) -> int:
    """The time field of an encoded entry."""
    return int.from_bytes(entry[2:10], "big")


def previous_of(entry: bytes) -> bytes:
    """The chain value an encoded entry states."""
    return entry[10:42]
