"""The log held against what others kept: bodies their receipts, the key provider its journal of unwraps.

An access that was never logged is shown by no log. It leaves traces where it passed: the keys that opened it
were unwrapped for something, and the body that got an answer has, or lacks, a receipt. For the journal:

1. every line is one, and states what the key was for;
2. keys of the system are the system's, and no other;
3. an entry that a line names is there, is a permitted query or a person's view of their own records, and
   permits to open something of just the person whose key it was;
4. an entry that permits so has a line, unless an entry of type 10 says that nothing was released.

A body's receipt must verify, and its entry must stand at its index in this log.
"""

import asyncio
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.entry import Entry, EntryType
from access_log.errors import AccessLogError, FormatError
from access_log.findings import MOST
from access_log.log import Log
from access_log.merkle import leaf_hash
from access_log.payload import JSON, Payload
from access_log.receipt import MAX_RECEIPT, verify_receipt
from vault.crypto.envelopes import subject_key_aad, system_key_aad
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.journal import MONTH, START, UNNAMED, BadLine, Use, handle
from vault.errors import VaultError
from vault.records.choose import opened_versions
from vault.records.keys import ROOT

Progress = Callable[[int, int], None]
"""Called with the number of things behind it and the number there are."""

_CHUNK: Final = 2048
SETTLING: Final = timedelta(minutes=1)
"""What was logged so lately may be opened yet."""
_OPENING: Final = (EntryType.QUERY_PERMITTED, EntryType.RIGHTS)

_PAYLOADS = text(
    "SELECT index, expiry_id, sealed FROM access_log.payload"
    " WHERE log = :log AND index >= :first AND index < :end"
)
_SYSTEM_KEYS = text("SELECT name, version FROM vault.system_key")
_SIZE_AND_NOW = text(
    "SELECT size, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM access_log.head"
    " WHERE log = :log"
)


class ReceiptsError(VaultError):
    """Receipts cannot be read where they were said to be."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two records say differently.

    Attributes:
        where: The entry, the receipt's file, or the journal's line.
        reason: What is different, in plain words.
    """

    where: str
    reason: str


@dataclass
class Differences:
    """What was found: a bounded number in words, and how many more."""

    listed: list[Difference] = field(default_factory=list)
    more: int = 0

    def add(self, where: str, reason: str) -> None:
        """Keeps a difference, or counts it where enough are kept."""
        if len(self.listed) < MOST:
            self.listed.append(Difference(where, reason))
        else:
            self.more += 1


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────


async def reconcile_receipts(log: Log, place: Path, found: Differences, progress: Progress) -> int:
    """Holds receipts against the log; returns how many there were.

    Args:
        log: The log; it need not be started.
        place: A receipt, or a folder of them, looked through to the bottom. Hidden files are left out.
        found: Takes each difference.
        progress: Told how many receipts are behind it.

    Raises:
        ReceiptsError: There is no such file or folder, or it cannot be read.
        SQLAlchemyError: The database cannot be read.
    """
    files = await asyncio.to_thread(_files, place)
    keys = await log.every_verifier_key()
    size = (await asyncio.to_thread(log.outside.read)).size
    for number, file in enumerate(files):
        where = str(file)
        try:
            receipt = verify_receipt(await asyncio.to_thread(_read, file), keys)
        except AccessLogError as error:
            found.add(where, f"the receipt does not verify: {error}")
        else:
            async with log.engine.connect() as connection:
                entries = await reading.entries(
                    connection, log.number, log.archive, receipt.index, receipt.index + 1
                )
            if receipt.index >= size:
                found.add(where, f"it is of entry {receipt.index}, and the log has {size}: it was cut")
            elif not entries:
                found.add(where, f"its entry {receipt.index} is missing from the log")
            elif Entry.decode(entries[0][1]) != receipt.entry:
                found.add(where, f"entry {receipt.index} of the log is another than the receipt's")
        progress(number + 1, len(files))
    return len(files)


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ReceiptsError(f"there is no receipt and no folder of receipts at {place}: name another")
    return sorted(path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_RECEIPT + 1).decode()
    except UnicodeDecodeError:
        raise FormatError("it is no text") from None
    except OSError as error:
        raise ReceiptsError(f"{file} cannot be read ({error.strerror}): make it readable") from error


# ── Unwraps ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Unwraps:
    """What a journal holds.

    Attributes:
        lines: Of all files.
        unwrapped: Keys opened for entries.
        cached: Keys used again for entries.
        jobs: Keys opened for jobs.
        since: Time of the first line, ms since the epoch; entries before it are not judged. None: no line.
        judged: Entries that permit to open something, and were held against the journal.
    """

    lines: int
    unwrapped: int
    cached: int
    jobs: int
    since: int | None
    judged: int


class Lines(Protocol):
    """A record of unwraps: the provider's journal, or one with a key server's own beside it."""

    def read(self) -> Iterable[Use | BadLine]:
        """Every line, in any order."""
        ...


async def reconcile_unwraps(
    log: Log, journal: Lines, found: Differences, progress: Progress, settling: timedelta = SETTLING
) -> Unwraps:
    """Holds the key provider's journal against the log.

    Args:
        log: The log; it need not be started.
        journal: Of the provider that serves it.
        found: Takes each difference.
        progress: Told how many entries are behind it.
        settling: How young an entry may be and lack its line.

    Raises:
        ProviderError: The journal or the payloads' keys cannot be read.
        SQLAlchemyError: The database cannot be read.
    """
    async with log.engine.connect() as connection:
        system = {
            handle(system_key_aad(name, version))
            for name, version in (await connection.execute(_SYSTEM_KEYS)).all()
        }
        span = await _span(connection, log.number)
    with closing(_Uses(system, span)) as uses:
        await asyncio.to_thread(uses.take, journal.read(), found)
        # Read after the journal: an entry is durable before a key is opened for it.
        async with log.engine.connect() as connection:
            size, now = (await connection.execute(_SIZE_AND_NOW, {"log": log.number})).one()
        uses.beyond(size, found)
        walk = _Walk(log, uses, found, until=now - int(settling.total_seconds() * 1000))
        for first in range(0, size, _CHUNK):
            end = min(first + _CHUNK, size)
            async with log.engine.connect() as connection:
                await walk.chunk(connection, first, end)
            progress(end, size)
        walk.close()
        return Unwraps(uses.lines, uses.unwrapped, uses.cached, uses.jobs, uses.since, walk.judged)


async def _span(connection: AsyncConnection, log: int) -> tuple[float, float]:
    """From when on, and until when, lines that name an entry mean one of this log (ms since the epoch).

    Numbers begin again in a log that was opened in the place of another. No key is opened for its entry 0,
    and none for the closed log long after it: so the middle between its first two entries parts the two.
    """

    async def middle(number: int) -> float | None:
        times = [Entry.decode(raw).time for _, raw in await stored.entries(connection, number, 0, 2)]
        return sum(times) / len(times) if len(times) > 1 else None

    begins, ends = await middle(log) if log > 1 else None, await middle(log + 1)
    return (-math.inf if begins is None else begins, math.inf if ends is None else ends)


class _Uses:
    """The lines of a journal by the entry they name: on disk, in a file nobody else can open."""

    def __init__(self, system: set[str], span: tuple[float, float]) -> None:
        self._span = span
        self.lines = self.unwrapped = self.cached = self.jobs = 0
        self.since: int | None = None
        self._system = system
        # Filled in a thread, read in another; never at once.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE use (entry INTEGER, handle TEXT, PRIMARY KEY (entry, handle)) WITHOUT ROWID"
        )

    def take(self, lines: Iterable[Use | BadLine], found: Differences) -> None:
        """Reads a journal through, and judges what needs no entry (1), (2)."""
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO use VALUES (?, ?)", self._entries(lines, found))
        self._database.execute("COMMIT")

    def _entries(self, lines: Iterable[Use | BadLine], found: Differences) -> Iterator[tuple[int, str]]:
        for line in lines:
            self.lines += 1
            if isinstance(line, BadLine):
                found.add(f"{line.file}, line {line.number}", "it is no line of a journal: torn, or altered")
                continue
            self.since = line.time if self.since is None else min(self.since, line.time)
            where = f"key {line.handle} of {line.name}, at {line.time} ms"
            if line.purpose == UNNAMED:
                found.add(where, "it was unwrapped, and nothing says what for")
            elif line.purpose == START and line.handle not in self._system:
                found.add(where, "it was unwrapped as a key of the system, and is none")
            elif line.purpose.startswith("job:"):
                self.jobs += 1
            elif line.purpose == MONTH and line.name == ROOT:
                found.add(where, "it was unwrapped as a month's, and is none")
            elif line.entry is not None and self._span[0] <= line.time < self._span[1]:
                self.cached += line.cached
                self.unwrapped += not line.cached
                yield line.entry, line.handle

    def beyond(self, size: int, found: Differences) -> None:
        """Reports lines that name entries the log does not have (3)."""
        rows = self._database.execute("SELECT entry, handle FROM use WHERE entry >= ?", (size,))
        for entry, key in rows:
            found.add(f"entry {entry}", f"key {key} was unwrapped for it, and there is no such entry")

    def of(self, first: int, end: int) -> dict[int, set[str]]:
        """The keys used for entries first..end-1."""
        used: dict[int, set[str]] = {}
        rows = self._database.execute(
            "SELECT entry, handle FROM use WHERE entry >= ? AND entry < ?", (first, end)
        )
        for entry, key in rows:
            used.setdefault(entry, set()).add(key)
        return used

    def close(self) -> None:
        """Ends the file."""
        self._database.close()


@dataclass
class _Walk:
    """Through all entries, from the first to the last (3), (4)."""

    log: Log
    uses: _Uses
    found: Differences
    until: int
    judged: int = 0
    _unused: dict[str, int] = field(default_factory=dict)
    """Entries without a line by their leaf hash, until one of type 10 explains it."""

    async def chunk(self, connection: AsyncConnection, first: int, end: int) -> None:
        """Judges entries first..end-1."""
        used = self.uses.of(first, end)
        entries = await reading.entries(connection, self.log.number, self.log.archive, first, end)
        asked = {"log": self.log.number, "first": first, "end": end}
        payloads = {row[0]: (row[1], row[2]) for row in await connection.execute(_PAYLOADS, asked)}
        for index, raw in entries:
            entry = Entry.decode(raw)
            keys = used.pop(index, set())
            if entry.type is EntryType.NOT_RELEASED:
                await self._excuse(index, payloads)
            if entry.type in _OPENING:
                await self._judge(index, raw, entry, keys, payloads)
            elif keys:
                self.found.add(
                    f"entry {index}",
                    f"a key was unwrapped for it, and it permits nothing ({entry.type.name})",
                )
        for index in used:
            self.found.add(f"entry {index}", "a key was unwrapped for it, and it is missing from the log")

    def close(self) -> None:
        """Reports what nothing explained (4)."""
        for index in sorted(self._unused.values()):
            self.found.add(
                f"entry {index}",
                "it was permitted, and no key was unwrapped for it: the server was killed before, or the "
                "journal was cut",
            )

    async def _judge(
        self,
        index: int,
        raw: bytes,
        entry: Entry,
        keys: set[str],
        payloads: Mapping[int, tuple[int, bytes]],
    ) -> None:
        values = await self._open(index, payloads)
        if values is None:
            return  # Its retention has ended, or fsck names it: what it permitted is not known any more.
        opens = _opens(entry.type, values)
        subject = values.get("subject")
        if keys and not opens:
            self.found.add(f"entry {index}", "a key was unwrapped for it, and it permits to open nothing")
        elif keys and isinstance(subject, str) and keys != {handle(subject_key_aad(UUID(subject)))}:
            self.found.add(f"entry {index}", "the key of another person was unwrapped for it")
        if opens and self.uses.since is not None and self.uses.since <= entry.time <= self.until:
            self.judged += 1
            if not keys:
                self._unused[leaf_hash(raw).hex()] = index

    async def _excuse(self, index: int, payloads: Mapping[int, tuple[int, bytes]]) -> None:
        values = await self._open(index, payloads)
        if values is not None and isinstance(query := values.get("query"), str):
            self._unused.pop(query, None)

    async def _open(self, index: int, payloads: Mapping[int, tuple[int, bytes]]) -> Mapping[str, JSON] | None:
        if index not in payloads:
            return None
        try:
            opened = await self.log.sealer.open(index, *payloads[index])
            return None if opened is None else Payload.decode(opened).values()
        except (FormatError, UnsealError, ProviderRefusedError):
            return None


def _opens(kind: EntryType, values: Mapping[str, JSON]) -> bool:
    """Whether an entry permits to open any record."""
    if kind is EntryType.QUERY_PERMITTED:
        return bool(opened_versions(values.get("record_versions")))
    return values.get("event") == "own records viewed" and bool(values.get("object"))
