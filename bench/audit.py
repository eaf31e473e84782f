"""The offline audit of the whole log: against the bare hashing of the same bytes, and on two cores."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from access_log import stored
from access_log.checkpoint import VerifierKey
from access_log.publishing import publish
from access_log.sources import Directory
from access_log.verify import audit_entries, verify_log
from bench.stage import Stage, opened


@dataclass(frozen=True)
class AuditFigures:
    """Entries a second: from memory, hashed alone, and from a folder by one process and by two."""

    audit: float
    bare: float
    folder: float
    folder_by_two: float
    entries: int


def measure(at: Stage) -> AuditFigures:
    """Audits the log of the stage: format, times, chain, tree and root."""
    entries, root = asyncio.run(_read(at))
    origin = at.settings.log_origin
    audit = min(_seconds(lambda: audit_entries(origin, entries, root=root)) for _ in range(3))
    bare = min(_seconds(lambda: _hash_only(entries)) for _ in range(3))
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-") as folder:
        keys = asyncio.run(_published(at, Path(folder)))
        log = Directory(Path(folder))
        one = min(_seconds(lambda: verify_log(log, keys)) for _ in range(3))
        two = min(_seconds(lambda: verify_log(log, keys, jobs=2)) for _ in range(3))
    count = len(entries)
    return AuditFigures(count / audit, count / bare, count / one, count / two, count)


async def _published(at: Stage, folder: Path) -> list[VerifierKey]:
    async with opened(at) as vault:
        await publish(vault.log, folder)
        return [VerifierKey.parse(vault.log.key.verifier_key())]


async def _read(at: Stage) -> tuple[list[bytes], bytes]:
    async with opened(at) as vault, vault.engine.connect() as connection:
        raised = vault.log.outside.read()
        rows = await stored.entries(connection, vault.log.number, 0, raised.size)
        return [raw for _, raw in rows], raised.root


def _hash_only(entries: list[bytes]) -> None:
    """The three hashes each entry costs at least: leaf, chain, node."""
    chain = bytes(32)
    for raw in entries:
        leaf = sha256(b"\x00" + raw).digest()
        chain = sha256(b"\x10" + chain + leaf).digest()
        sha256(b"\x01" + chain + leaf).digest()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
