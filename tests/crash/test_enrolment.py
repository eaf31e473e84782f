"""kill -9 at each step of a batch of records: a chunk stands whole or not at all; a second try mends it."""

import json
import signal
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from access_log.entry import EntryType
from tests.crash import killer
from tests.crash.commands import KILLER, killed, run
from tests.crash.forking import ForkedServer
from tests.flows.audit import check_uses, check_whole, verify_published
from tests.flows.world import World, contract
from vault.records.enrol import CHUNK
from vault.records.quality import months_of

_ROWS = CHUNK + 44
_COUNTS = text(
    "SELECT (SELECT count(*) FROM vault.record WHERE category = 'FIN') AS contracts,"
    " (SELECT count(*) FROM vault.record WHERE category = 'IDN') AS identities,"
    " (SELECT count(*) FROM vault.subject) AS subjects,"
    " (SELECT count(*) FROM vault.identifier) AS identifiers,"
    " (SELECT count(*) FROM access_log.stream WHERE kind = 1) AS streams"
)
# The second pass of a step is that of the second chunk; only the first fills a tile.
STEPS = [(step, 1 if "tiles" in step else 2) for step in (*killer.WRITING, *killer.ENROLLING)]
STEPS += [("before-commit", 1), ("after-commit", 1)]
FAST = ("after-records", 2)
# A batch that is kept whole is one transaction; its second entry stands or falls with its first.
TOGETHER = [("after-records", 1), ("after-commit", 1)]
# A file that is kept whole: rows of both chunks were examined, none was written, then the first chunk was.
WHOLE = [("after-commit", 1), ("after-records", 2), ("before-results", 2)]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), [each for each in STEPS if each != FAST])
async def test_killed_at_each_step(world: World, tmp_path: Path, step: str, nth: int) -> None:
    await _killed_at(world, tmp_path, step, nth)


async def test_killed_with_half_a_chunk_written(world: World, tmp_path: Path) -> None:
    await _killed_at(world, tmp_path, *FAST)


async def _killed_at(world: World, tmp_path: Path, step: str, nth: int) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    lines = [contract(n) for n in range(1, _ROWS + 1)]
    try:
        await server.start([*KILLER, step, str(nth), str(armed), "serve"])
        armed.touch()
        async with server.http() as http:
            with pytest.raises(httpx.TransportError):
                await world.submit(http, lines)
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        await server.start()
        standing = await _whole_chunks(world)
        assert standing in (0, CHUNK, _ROWS)
        async with server.http() as http:
            again = (await world.submit(http, lines)).json()
            assert (again["standing"], again["enrolled"]) == (standing, _ROWS - standing), again
            assert await _whole_chunks(world) == _ROWS
            for n in (1, _ROWS):
                answer = await (await world.statutory(http, n)).ask()
                (record,) = answer.json()["records"]
                assert record["fields"] == {"type": "vehicle", "status": "performing"}
        await check_uses(world.vault, await check_whole(world.vault))
        await verify_published(world.vault, server.url)
    finally:
        server.kill()


async def _whole_chunks(world: World) -> int:
    """How many contracts stand; each with its person, identity record, stream and entry."""
    logged = await check_whole(world.vault)
    entries = [one for one in logged if one.entry.type is EntryType.RECORD]
    async with world.vault.engine.connect() as connection:
        counted = (await connection.execute(_COUNTS)).one()
    assert set(counted) == {len(entries)}
    return len(entries)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), TOGETHER)
async def test_a_batch_kept_whole_stands_whole_or_not_at_all(
    world: World, tmp_path: Path, step: str, nth: int
) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    lines = [contract(n) for n in range(1, _ROWS + 1)]
    try:
        await server.start([*KILLER, step, str(nth), str(armed), "serve"])
        armed.touch()
        async with server.http() as http:
            with pytest.raises(httpx.TransportError):
                await world.submit(http, lines, whole=True)
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        await server.start()
        standing = await _whole_chunks(world)
        assert standing in (0, _ROWS)
        async with server.http() as http:
            again = (await world.submit(http, lines, whole=True)).json()
        assert (again["standing"], again["enrolled"]) == (standing, _ROWS - standing), again
        assert await _whole_chunks(world) == _ROWS
        assert await _counted(world) == _ROWS
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("step", "nth"), WHOLE)
async def test_a_file_kept_whole_goes_on_where_it_was_killed(
    world: World, tmp_path: Path, step: str, nth: int
) -> None:
    file = tmp_path / "whole.ndjson"
    file.write_text("\n".join(contract(n) for n in range(1, _ROWS + 1)))
    body = str(world.cast["furnisher"].body_id)
    command = ["enrol", str(file), "--body", body, "--all-or-nothing", "--json"]
    await killed(world.settings, step, nth, *command)
    again = await run(world.settings, *command)
    assert again.returncode == 0, again.stderr
    done = json.loads(again.stdout)
    assert done["standing"] in (0, CHUNK, _ROWS)
    assert (done["standing"] + done["enrolled"], done["rejected"]) == (_ROWS, 0)
    assert await _whole_chunks(world) == _ROWS
    assert await _counted(world) == _ROWS


async def _counted(world: World) -> int:
    """How many records the furnisher's quality figures count: each row that stands, once."""
    async with world.vault.engine.connect() as connection:
        (month,) = await months_of(connection, world.cast["furnisher"].body_id, 2)
    assert sum(month.late.values()) == month.enrolled["FIN"]
    return month.enrolled["FIN"]
