"""kill -9 at each step around the commit of queries, under load; then the server again, and a full audit.

After each: the published log verifies, nothing is half done, no answer lacks its entry, and no use of a
consent was counted twice or given twice.
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from access_log.entry import EntryType
from consent import merging
from consent.merging import Grounds
from consent.permit import Person
from demo.cast import OPERATOR
from tests.crash import killer
from tests.crash.commands import KILLER
from tests.crash.forking import ForkedServer
from tests.crash.load import STATUTORY_PERSONS, Load, prepare
from tests.flows.audit import Logged, check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import Server
from tests.flows.world import World
from vault.records.companions import RULE as COMPANION
from vault.records.joining import JoinedSubjects

JOINED = STATUTORY_PERSONS[:2]
"""Two numbers that are one person's: their queries stand in two streams, or in none."""

# Steps that are passed once a batch die in the sixth; those passed once a query, in the middle of a batch.
ONCE_A_TILE = ("before-tiles", "after-tiles")
ONCE_A_QUERY = ("after-decide", "before-opening", "after-opening", "before-answer")
STEPS = [*killer.WRITING, *killer.QUERYING]


@pytest.mark.slow
@pytest.mark.parametrize("step", [each for each in STEPS if each != "after-commit"])
async def test_killed_at_each_step(world: World, tmp_path: Path, step: str) -> None:
    await _killed_at(world, tmp_path, step)


async def test_killed_after_the_commit(world: World, tmp_path: Path) -> None:
    await _killed_at(world, tmp_path, "after-commit")


async def _killed_at(world: World, tmp_path: Path, step: str) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    nth = 40 if step in ONCE_A_QUERY else 1 if step in ONCE_A_TILE else 6
    try:
        await server.start([*KILLER, step, str(nth), str(armed), "serve"])
        async with server.http() as http:
            load = await prepare(world, http)
            await join(world, JOINED[0], JOINED[1])
            armed.touch()
            await load.run()
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        assert any(one.response is None for one in load.asked)
        await server.start()
        await _audit(world, server, load)
    finally:
        server.kill()


async def _audit(world: World, server: Server, load: Load) -> None:
    async with server.http() as http:
        for grant in load.grants:
            grant.client._http = http
        await _check(world, server, load)
        await load.repeat_keyed()
        await load.run(most=len(load.asked) + 60)
    await _check(world, server, load)
    answered = [one.response.status_code for one in load.asked if one.response is not None]
    assert set(answered) == {httpx.codes.OK, httpx.codes.FORBIDDEN}


async def _check(world: World, server: Server, load: Load) -> None:
    vault = world.vault
    await verify_published(vault, server.url)
    logged = await check_whole(vault)
    proven = [one for one in load.asked if one.proven]
    indexes = check_answers(vault, [one.answer for one in proven], logged)
    for one, index in zip(proven, indexes, strict=True):
        expected = EntryType.QUERY_PERMITTED if one.permitted else EntryType.QUERY_REFUSED
        assert logged[index].entry.type is expected
    _check_companions(await world.person(JOINED[0]), await world.person(JOINED[1]), logged)
    standing = await check_uses(vault, logged)
    answered = load.permitted_entries()
    for grant in load.grants:
        assert answered[grant.grant_id] <= standing[grant.grant_id]
        if grant.max_uses is not None:
            assert standing[grant.grant_id] <= grant.max_uses


async def join(world: World, one: int, other: int) -> None:
    """Two invented persons turn out to be one."""
    first, second = [(await world.person(n)).subject_id for n in (one, other)]
    grounds = Grounds(OPERATOR, "number-replaced", "ab" * 32)
    async with world.log.writing() as writing:
        await merging.merge(writing, JoinedSubjects(), first, second, grounds)


def _check_companions(one: Person, other: Person, logged: Sequence[Logged]) -> None:
    """A permitted query about either opened the records of both, and stands in both streams."""
    ids = {str(one.subject_id), str(other.subject_id)}
    stated = [
        each
        for each in logged
        if each.entry.type is EntryType.QUERY_PERMITTED and each.values["subject"] in ids
    ]
    companions = [each for each in stated if each.values["reason"] == COMPANION]
    assert len(stated) == 2 * len(companions) > 0
    for each in companions:
        query = logged[each.index - 1].values
        assert (query["request_digest"], query["reason"]) == (each.values["request_digest"], None)
        assert {query["subject"], each.values["subject"]} == ids
        (ours,), (theirs,) = query["record_versions"], each.values["record_versions"]
        assert ours[0] != theirs[0]
