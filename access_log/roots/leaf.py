"""One leaf of the log of roots, 86 bytes, and what may follow it (FORMAT 4.3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from access_log.encoding import HASH_SIZE, LARGEST
from access_log.errors import FormatError, VerificationError

VERSION: Final = 1
SIZE: Final = 86
SUFFIX: Final = "/roots"

_LAYOUT: Final = struct.Struct(f">BBIQQ{HASH_SIZE}s{HASH_SIZE}s")
_FIRST_MONTH: Final = 197001
_LAST_MONTH: Final = 999912
_MONTHS: Final = 12


class Kind(IntEnum):
    """Whether more entries of the month may follow."""

    INTERIM = 0
    FINAL = 1


@dataclass(frozen=True, slots=True)
class PrefixRoot:
    """What the log says of one month's labels at one of its sizes.

    Attributes:
        kind: `FINAL` covers all entries of the month, `INTERIM` those before `size`.
        month: UTC, as the number yyyymm.
        first: The index of the month's first entry; in an empty month that of the next entry there is.
        size: The number of entries of the log that are covered; those of the month are first..size-1.
        log_root: The root of the log's tree at `size`, 32 bytes.
        prefix_root: The root of the month's prefix tree over these entries, 32 bytes.

    Raises:
        FormatError: A part is out of its bounds.
    """

    kind: Kind
    month: int
    first: int
    size: int
    log_root: bytes
    prefix_root: bytes

    def __post_init__(self) -> None:
        if not _FIRST_MONTH <= self.month <= _LAST_MONTH or not 1 <= self.month % 100 <= _MONTHS:
            raise FormatError("the month of a root is written yyyymm")
        if not 0 <= self.first <= self.size <= LARGEST:
            raise FormatError("a root covers entries from its first index up to its size")
        if self.kind is Kind.INTERIM and self.first == self.size:
            raise FormatError("only a final root may cover a month without entries")
        if len(self.log_root) != HASH_SIZE or len(self.prefix_root) != HASH_SIZE:
            raise FormatError("the two roots of a leaf have 32 bytes each")

    def encode(self) -> bytes:
        """Write the 86 bytes that are hashed, stored and published."""
        return _LAYOUT.pack(
            VERSION, self.kind, self.month, self.first, self.size, self.log_root, self.prefix_root
        )

    @classmethod
    def decode(cls, raw: bytes) -> "PrefixRoot":
        """Read a leaf; whatever is accepted re-encodes to the same bytes.

        Raises:
            FormatError: The bytes are no leaf of version 1.
        """
        if len(raw) != SIZE:
            raise FormatError(f"a leaf of the log of roots has {SIZE} bytes, these are {len(raw)}")
        version, kind, month, first, size, log_root, prefix_root = _LAYOUT.unpack(raw)
        if version != VERSION or kind not in set(Kind):
            raise FormatError("version or kind of a leaf of the log of roots is not known")
        return cls(Kind(kind), month, first, size, log_root, prefix_root)

    def misplaced(self, before: "PrefixRoot | None") -> str | None:
        """Why this leaf may not follow the one before it, in plain words; None where it may (FORMAT 4.3)."""
        if before is None:
            return "the first root does not begin with entry 0" if self.first else None
        if before.kind is Kind.FINAL:
            return self._misbegins(before)
        if (self.month, self.first) != (before.month, before.first):
            return f"{before.month} has no final root yet"
        if self.size < before.size or (self.size == before.size and self.kind is Kind.INTERIM):
            return "it covers no more than the root before it"
        return None

    def _misbegins(self, before: "PrefixRoot") -> str | None:
        """Why a new month may not begin like this."""
        if self.month != next_month(before.month):
            return f"after the final root of {before.month} comes that of {next_month(before.month)}"
        if self.first != before.size:
            return f"{self.month} does not begin where {before.month} ended, at entry {before.size}"
        return None


def placed(raw: bytes, before: Sequence[PrefixRoot]) -> PrefixRoot:
    """Read a root that follows those before it.

    Raises:
        VerificationError: It is malformed, or may not follow them.
    """
    try:
        root = PrefixRoot.decode(raw)
    except FormatError as error:
        raise VerificationError(f"root {len(before)} is malformed: {error}") from None
    why = root.misplaced(before[-1] if before else None)
    if why is not None:
        raise VerificationError(f"root {len(before)} is out of place: {why}")
    return root


def next_month(month: int) -> int:
    """The month after one, both as the number yyyymm."""
    return month + 1 if month % 100 < _MONTHS else month + 100 - _MONTHS + 1


def roots_origin(origin: str) -> str:
    """The origin of the log of roots that belongs to a log."""
    return origin + SUFFIX
