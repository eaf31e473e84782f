"""The offline audit of the whole log: against the bare hashing of the same bytes, and on two cores."""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from access_log import stored
from access_log.checkpoint import VerifierKey
from access_log.entry import SIZE
from access_log.publishing import publish
from access_log.sources import Directory
from access_log.verify import audit_entries, verify_log
from bench.floors import hash_only
from bench.stage import Stage, opened

_HASHED = 300_000  # entries' worth of hashing by each process: long against the start of its work


@dataclass(frozen=True)
class FolderFigures:
    """Entries a second of a published log, by one process and by two, and what two processes can give here.

    Attributes:
        two_that_hash: how much more two processes hash than one, neither doing anything else: 2 on two whole
            cores, less where the cores are shared.
    """

    one: float
    two: float
    two_that_hash: float
    entries: int


@dataclass(frozen=True)
class AuditFigures:
    """Entries a second: from memory, hashed alone, and from a folder."""

    audit: float
    bare: float
    folder: FolderFigures
    entries: int


def measure(at: Stage) -> AuditFigures:
    """Audits the log of the stage: format, times, chain, tree and root."""
    entries, root = asyncio.run(_read(at))
    origin = at.settings.log_origin
    audit = min(_seconds(lambda: audit_entries(origin, entries, root=root)) for _ in range(3))
    bare = min(_seconds(lambda: hash_only(entries)) for _ in range(3))
    count = len(entries)
    return AuditFigures(count / audit, count / bare, measure_folder(at, 3), count)


def measure_folder(at: Stage, times: int) -> FolderFigures:
    """Publishes the log of the stage and audits the folder so many times, the quickest counts."""
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-") as folder:
        keys, count = asyncio.run(_published(at, Path(folder)))
        log = Directory(Path(folder))
        one = min(_seconds(lambda: verify_log(log, keys)) for _ in range(times))
        two = min(_seconds(lambda: verify_log(log, keys, jobs=2)) for _ in range(times))
    return FolderFigures(count / one, count / two, _two_that_hash(), count)


def _two_that_hash() -> float:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_hash_again_and_again, [1, 1])
        one = min(_seconds(lambda: pool.map(_hash_again_and_again, [_HASHED])) for _ in range(3))
        two = min(_seconds(lambda: pool.map(_hash_again_and_again, [_HASHED] * 2)) for _ in range(3))
    return 2 * one / two


def _hash_again_and_again(entries: int) -> None:
    hash_only([bytes(SIZE)] * entries)


async def _published(at: Stage, folder: Path) -> tuple[list[VerifierKey], int]:
    async with opened(at) as vault:
        done = await publish(vault.log, folder)
        return [VerifierKey.parse(vault.log.key.verifier_key())], done.size


async def _read(at: Stage) -> tuple[list[bytes], bytes]:
    async with opened(at) as vault, vault.engine.connect() as connection:
        raised = vault.log.outside.read()
        rows = await stored.entries(connection, vault.log.number, 0, raised.size)
        return [raw for _, raw in rows], raised.root


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
