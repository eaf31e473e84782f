"""The authorization server in process, on real PostgreSQL and a real log."""

from collections.abc import AsyncIterator

import pytest

from access_log.log import Log
from consent.bodies import add_body
from tests.consent.oauth.world import CALLBACK, Browser, Client, World, build
from tests.consent.registers import OPERATOR, Registered, new_body, register_all


@pytest.fixture
async def world(log: Log) -> AsyncIterator[World]:
    built = build(log)
    yield built
    await built.http.aclose()


@pytest.fixture
async def registered(log: Log) -> Registered:
    return await register_all(log)


@pytest.fixture
def bank(world: World, registered: Registered) -> Client:
    return world.client(registered.bank)


@pytest.fixture
def court(world: World, registered: Registered) -> Client:
    return world.client(registered.court)


@pytest.fixture
async def furnisher(world: World, log: Log) -> Client:
    async with log.writing() as writing:
        new = new_body(
            uscc="91999999MA00000154",
            name="Fictitious Furnisher",
            capacities=("furnish",),
            redirect_uris=(CALLBACK,),
        )
        return world.client(await add_body(writing, new, OPERATOR))


@pytest.fixture
async def inspector(world: World, log: Log) -> Client:
    async with log.writing() as writing:
        new = new_body(
            uscc="11999999MB00000239",
            name="Fictitious Inspectorate",
            kind="court",
            capacities=("inspect",),
            purposes=(),
        )
        return world.client(await add_body(writing, new, OPERATOR))


@pytest.fixture
def citizen(world: World) -> Browser:
    return world.browser()
