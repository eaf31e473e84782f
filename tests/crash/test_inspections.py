"""kill -9 at each step of an inspection: whatever an inspector was answered, the log says so first."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from access_log.entry import Entry, EntryType
from access_log.payload import check_opening
from access_log.receipt import parse_receipt
from tests.crash import killer
from tests.crash.commands import KILLER
from tests.crash.forking import ForkedServer
from tests.crash.load import Repeated
from tests.flows.audit import check_whole, verify_published
from tests.flows.world import World


async def _inspecting(world: World, http: httpx.AsyncClient, index: int) -> Repeated:
    """Inspectors who open one entry."""
    client = world.client(http, "inspectorate")
    details = {
        "type": "inspection",
        "officer": str(world.cast["inspectorate"].officer_id),
        "case_reference": "INSPECTION-7",
    }
    token = await client.statutory_token(details)
    return Repeated(http, client, token, "/v1/inspection/entry", {"index": index})


@pytest.mark.slow
@pytest.mark.parametrize("step", [*killer.WRITING, *killer.INSPECTING])
async def test_killed_at_each_step(world: World, tmp_path: Path, step: str) -> None:
    await _killed_at(world, tmp_path, step)


async def _killed_at(world: World, tmp_path: Path, step: str) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    nth = 1 if step in ("before-tiles", "after-tiles") else 6
    try:
        await server.start([*KILLER, step, str(nth), str(armed), "serve"])
        async with server.http() as http:
            await world.enrol(http, [1])
            asked = (await (await world.statutory(http, 1)).ask()).json()
            inspecting = await _inspecting(world, http, parse_receipt(asked["receipt"]).index)
            armed.touch()
            await asyncio.gather(*(inspecting.run(150) for _ in range(4)))
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        assert inspecting.lost
        await server.start()
        await verify_published(world.vault, server.url)
        logged = await check_whole(world.vault)
    finally:
        server.kill()
    uses = [parse_receipt(one["use_receipt"]).index for one in inspecting.answered]
    assert len(set(uses)) == len(uses)
    for use in uses:
        stated = logged[use]
        assert stated.entry.type is EntryType.INSPECTION
        assert stated.values["event"] == "entry opened"
    for one in inspecting.answered:
        entry = Entry.decode(parse_receipt(one["receipt"]).entry)
        assert check_opening(entry, one["opening"]) == one["attributes"]
    told = sum(one.values.get("event") == "opened by an inspector" for one in logged)
    stated_uses = sum(one.values.get("event") == "entry opened" for one in logged)
    assert told == stated_uses >= len(uses)
