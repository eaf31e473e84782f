"""kill -9 of the job that appends roots, at each statement it sends: nothing half done, and it goes on."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.checkpoint import open_note
from access_log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from access_log.prefix import Place, verify_inclusion
from access_log.roots.log import RootsLog
from access_log.roots.proofs import LabelProofs
from tests.access_log.logs import stored_entries
from tests.access_log.roots.clocked import KEY, SIGNERS, ClockedLog, clocked_log, root_over, roots_of
from vault.server.embedded import APPLICATION, EmbeddedDatabase

ROOT = Path(__file__).parents[2]


async def filled(database: AsyncEngine, folder: Path) -> ClockedLog:
    log = await clocked_log(database, folder)
    await RootsLog(log, SIGNERS).create()
    await log.at("2026-07-05", 100)
    await log.at("2026-08-05", 30)
    await log.at("2026-10-05", 50)
    return log


Killed = Callable[[int], Awaitable[int]]


@asynccontextmanager
async def killing(url: str, lock: Path, when: str) -> AsyncIterator[Killed]:
    """Runs the job until its nth statement, and says how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.crash.roots_killer",
        url,
        str(lock),
        when,
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    async def killed(nth: int) -> int:
        asked.write(b"%d\n" % nth)
        return int(await answers.readline())

    try:
        yield killed
    finally:
        asked.close()
        assert await process.wait() == 0


async def check(log: ClockedLog) -> int:
    """Every root is right, and the signed checkpoint is of exactly these; returns how many there are."""
    roots = RootsLog(log, SIGNERS)
    entries, found = await stored_entries(log), await roots_of(roots)
    before = None
    for root in found:
        assert root == root_over(entries, root.month, root.size, root.kind)
        assert root.misplaced(before) is None
        before = root
    async with log.engine.connect() as connection:
        checkpoint = open_note(await roots.checkpoint(connection), [KEY.key])
    leaves = [leaf_hash(root.encode()) for root in found]
    assert checkpoint.root == (Frontier.empty().extend(leaves).root() if leaves else EMPTY_ROOT)
    return len(found)


async def check_done(log: ClockedLog) -> None:
    """Nothing is left to do, and every label is proved."""
    roots = RootsLog(log, SIGNERS)
    assert await roots.catch_up() == 0
    assert await roots.crown() == 0
    entries = await stored_entries(log)
    for month, first, size in ((202607, 0, 100), (202608, 100, 130), (202610, 130, 180)):
        labels = [entry[42:74] for entry in entries[first:size]]
        proved = await LabelProofs(roots).prove(month, labels)
        assert proved is not None
        root = root_over(entries, month, size, (await roots_of(roots))[-1].kind).prefix_root
        for index, (label, proof) in enumerate(zip(labels, proved.proofs, strict=True), first):
            assert verify_inclusion(label, proof, root) == Place(index, entries[index][74:106])


async def test_killed_in_its_first_transaction(
    database: AsyncEngine, postgres: EmbeddedDatabase, database_name: str, tmp_path: Path
) -> None:
    log = await filled(database, tmp_path)
    url = postgres.url(APPLICATION, database_name)
    async with killing(url, log.outside.path, "after") as killed:
        assert await killed(6) == -signal.SIGKILL  # The leaves are written, and not committed.
        await check(log)
        assert await killed(10_000) == 0
    assert await check(log) == 6
    await check_done(log)


@pytest.mark.slow
@pytest.mark.timeout(600)  # Some eighty processes, one after the other.
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_each_statement(
    database: AsyncEngine, postgres: EmbeddedDatabase, database_name: str, tmp_path: Path, when: str
) -> None:
    log = await filled(database, tmp_path)
    url = postgres.url(APPLICATION, database_name)
    owner = create_engine(postgres.url(APPLICATION, database_name))
    nth, counts = 1, []
    async with killing(url, log.outside.path, when) as killed:
        while True:
            code = await killed(nth)
            counts.append(await check(log))
            if code == 0:
                break
            assert code == -signal.SIGKILL
            # The same statement is reached again only from the same beginning: each round starts where one
            # ended, so that every transaction is cut at every one of its statements once it comes first.
            nth = nth + 1 if counts[-1] == (counts[-2] if len(counts) > 1 else 0) else 1
    assert counts == sorted(counts)
    assert counts[-1] == 6
    await check_done(log)
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM access_log.prefix_crown")) == 4
    owner.dispose()
