"""Entries outside the database: closed ranges, kept as bundles in a folder.

An archive has the bundles of FORMAT 6 under their published paths, and for each range an index of its labels:

    tile/entries/<N>         bundle N
    labels/<first>-<end>     the labels of entries first..end-1: 16 bytes for each, sorted:
                             the label's first 8 bytes, then the entry's index, u64 big-endian

The index is put in place last, so a range whose index is there is whole. It only leads to entries: who finds
one by it compares the label in the entry itself.
"""

import hashlib
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from access_log.audit import RECORD
from access_log.encoding import HASH_SIZE
from access_log.entry import SIZE
from access_log.errors import FolderError
from access_log.tiles import WIDTH, entries_path

LABELS: Final = "labels"
PREFIX: Final = 8
"""Bytes of a label in the index."""
POINTER: Final = PREFIX + 8
"""Bytes of the index for one entry."""

_LABEL: Final = slice(42, 42 + HASH_SIZE)
_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,18})-([1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Entries first..end-1 of a log; both are multiples of 256."""

    first: int
    end: int

    @property
    def path(self) -> str:
        """Where the index of its labels stands in an archive."""
        return f"{LABELS}/{self.first}-{self.end}"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive to read from. Blocking; call it in a thread from asynchronous code."""

    root: Path

    def ranges(self) -> list[Range]:
        """The ranges it holds whole, in order.

        Raises:
            FolderError: It cannot be read.
        """
        try:
            names = [path.name for path in (self.root / LABELS).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.root, error) from None
        found = [_NAME.fullmatch(name) for name in names]
        return sorted(Range(int(match[1]), int(match[2])) for match in found if match)

    def bundle(self, n: int) -> bytes | None:
        """The bytes of bundle `n`, at most one more than a bundle has; None if it is not there.

        Raises:
            FolderError: It cannot be read.
        """
        path = self.root / entries_path(n)
        try:
            with path.open("rb") as file:
                return file.read(RECORD * WIDTH + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def entries(self, first: int, end: int) -> list[tuple[int, bytes]]:
        """Entries first..end-1 as (index, 106 bytes), in order, as far as they are there.

        Raises:
            FolderError: It cannot be read.
        """
        found: list[tuple[int, bytes]] = []
        for n in range(first // WIDTH, -(-end // WIDTH)):
            bundle = self.bundle(n) or b""
            for at in range(len(bundle) // RECORD):
                index = n * WIDTH + at
                if first <= index < end:
                    found.append((index, bundle[RECORD * at + 2 : RECORD * at + 2 + SIZE]))
        return found

    def digest(self, each: Range) -> bytes | None:
        """The SHA-256 of a range's index of labels; None if it is not there.

        Raises:
            FolderError: It cannot be read.
        """
        path = self.root / each.path
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def find(self, labels: Iterable[bytes]) -> dict[int, bytes]:
        """The entries with these labels by their index, as far as they are archived.

        Raises:
            FolderError: It cannot be read.
        """
        sought = list(labels)
        found: dict[int, bytes] = {}
        for each in self.ranges() if sought else ():
            with _Pointers(self.root / each.path) as pointers:
                for label in sought:
                    for index in pointers.starting_with(label[:PREFIX]):
                        # Two labels may begin alike: the entry itself says which one it has.
                        found.update(one for one in self.entries(index, index + 1) if one[1][_LABEL] == label)
        return found

    def between(self, least: bytes, greatest: bytes, first: int, end: int) -> list[tuple[int, bytes]]:
        """The archived ones of entries first..end-1 whose labels lie within these bounds.

        Raises:
            FolderError: It cannot be read.
        """
        found: list[tuple[int, bytes]] = []
        for each in self.ranges():
            if each.end <= first or each.first >= end:
                continue
            with _Pointers(self.root / each.path) as pointers:
                for index in pointers.between(least[:PREFIX], greatest[:PREFIX]):
                    if first <= index < end:
                        found += self.entries(index, index + 1)
        return [one for one in found if least <= one[1][_LABEL] <= greatest]


class _Pointers:
    """The index of a range's labels, read where it is needed: it never stands in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            self._length = os.fstat(self._descriptor).st_size // POINTER
        except OSError as error:
            raise _unreadable(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: int) -> bytes:
        try:
            return os.pread(self._descriptor, POINTER, at * POINTER)
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def starting_with(self, prefix: bytes) -> Iterator[int]:
        """The indexes of the entries whose labels begin so."""
        at = bisect_left(self, prefix)
        while at < len(self) and (pointer := self[at]).startswith(prefix):
            yield int.from_bytes(pointer[PREFIX:], "big")
            at += 1

    def between(self, least: bytes, greatest: bytes) -> Iterator[int]:
        """The indexes of the entries whose labels begin within these bounds."""
        at = bisect_left(self, least)
        while at < len(self) and (pointer := self[at])[:PREFIX] <= greatest:
            yield int.from_bytes(pointer[PREFIX:], "big")
            at += 1


def _unreadable(path: Path, error: OSError) -> FolderError:
    return FolderError(
        f"the archive at {path} cannot be read ({os.strerror(error.errno or 0)}): put it back, or name it "
        "with CREDITVAULT_ARCHIVE_DIR"
    )
