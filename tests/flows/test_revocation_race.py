"""What ends a grant races the queries that use it: after its entry there is no permitted query."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from access_log.entry import EntryType
from access_log.log import Writing
from consent import bodies, consents, freeze, statutes
from consent.journal import Actor
from tests.flows.audit import check_whole
from tests.flows.serving import serving
from tests.flows.world import Grant, World

_OPERATOR = Actor("operator:test", "operator")
_CLIENTS = 8
End = Callable[[World, Writing, Grant], Awaitable[object]]


async def _withdraw(world: World, writing: Writing, grant: Grant) -> None:
    person = await world.person(2)
    await consents.withdraw(writing, person, grant.grant_id, None, world.vault.keeper.signer)


async def _freeze(world: World, writing: Writing, _grant: Grant) -> None:
    await freeze.begin(writing, await world.person(2))


async def _suspend(world: World, writing: Writing, _grant: Grant) -> None:
    await bodies.suspend_body(writing, world.cast["bank"].body_id, "a test", _OPERATOR)


async def _revoke(_world: World, writing: Writing, grant: Grant) -> None:
    await statutes.revoke_unsigned(writing, grant.grant_id, "a test", _OPERATOR)


@pytest.mark.parametrize(
    ("end", "statutory"),
    [(_withdraw, False), (_freeze, False), (_suspend, False), (_revoke, True)],
    ids=["withdrawal", "freeze", "suspension", "revocation"],
)
async def test_nothing_is_permitted_after_the_end(
    world: World, tmp_path: Path, end: End, *, statutory: bool
) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server, server.http() as http:
        await world.enrol(http, [1, 2])
        grant = await (world.statutory(http, 1) if statutory else world.consented(http, 2, 100_000))
        ended, warm = asyncio.Event(), asyncio.Event()
        statuses: list[int] = []

        async def ask_until_refused() -> None:
            after = 0
            while after < 3:
                statuses.append((await grant.ask()).status_code)
                if statuses.count(httpx.codes.OK) >= 2 * _CLIENTS:
                    warm.set()
                after += ended.is_set()

        asking = [asyncio.create_task(ask_until_refused()) for _ in range(_CLIENTS)]
        await warm.wait()
        async with world.log.writing() as writing:
            await end(world, writing, grant)
        (last,) = writing.indexes
        ended.set()
        await asyncio.gather(*asking)
        logged = await check_whole(world.vault)
    assert httpx.codes.FORBIDDEN in statuses
    permitted = [
        one.index
        for one in logged
        if one.entry.type is EntryType.QUERY_PERMITTED and one.values["basis"] == str(grant.grant_id)
    ]
    assert permitted
    assert max(permitted) < last
