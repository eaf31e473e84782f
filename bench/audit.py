"""The offline audit of the whole log, against the bare hashing of the same bytes in the same process."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from access_log import stored
from access_log.verify import audit_entries
from bench.stage import Stage, opened


@dataclass(frozen=True)
class AuditFigures:
    """Entries a second on one core."""

    audit: float
    bare: float
    entries: int


def measure(at: Stage) -> AuditFigures:
    """Audits the log of the stage: format, times, chain, tree and root."""
    entries, root = asyncio.run(_read(at))
    origin = at.settings.log_origin
    audit = min(_seconds(lambda: audit_entries(origin, entries, root=root)) for _ in range(3))
    bare = min(_seconds(lambda: _hash_only(entries)) for _ in range(3))
    return AuditFigures(len(entries) / audit, len(entries) / bare, len(entries))


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
