"""kill -9 at each step of an inspection: whatever an inspector was answered, the log says so first."""

import asyncio
import signal
import sys
from pathlib import Path

import httpx
import pytest

from access_log.entry import Entry, EntryType
from access_log.payload import check_opening
from access_log.receipt import parse_receipt
from demo.client import BodyClient
from tests.crash import killer
from tests.flows.audit import check_whole, verify_published
from tests.flows.serving import Server
from tests.flows.world import World

_KILLER = str(Path(killer.__file__))
_PATH = "/v1/inspection/entry"


class _Inspecting:
    """Inspectors who open entries one after the other, and remember what they were answered."""

    def __init__(self, world: World, http: httpx.AsyncClient, index: int) -> None:
        self._world = world
        self._client: BodyClient = world.client(http, "inspectorate")
        self._index = index
        self.answered: list[dict[str, object]] = []
        self.lost = False

    async def token(self) -> str:
        details = {
            "type": "inspection",
            "officer": str(self._world.cast["inspectorate"].officer_id),
            "case_reference": "INSPECTION-7",
        }
        return await self._client.statutory_token(details)

    async def run(self, http: httpx.AsyncClient, token: str, most: int) -> None:
        for _ in range(most):
            try:
                response = await http.post(
                    _PATH, json={"index": self._index}, headers=self._client.credentials(_PATH, token)
                )
            except httpx.TransportError:
                self.lost = True
                return
            assert response.status_code == httpx.codes.OK, response.text
            self.answered.append(response.json())


@pytest.mark.slow
@pytest.mark.parametrize("step", [*killer.WRITING, *killer.INSPECTING])
async def test_killed_at_each_step(world: World, tmp_path: Path, step: str) -> None:
    await _killed_at(world, tmp_path, step)


async def _killed_at(world: World, tmp_path: Path, step: str) -> None:
    server = Server(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    nth = 1 if step in ("before-tiles", "after-tiles") else 6
    try:
        await server.start([sys.executable, _KILLER, step, str(nth), str(armed), "serve"])
        async with server.http() as http:
            await world.enrol(http, [1])
            asked = (await (await world.statutory(http, 1)).ask()).json()
            inspecting = _Inspecting(world, http, parse_receipt(asked["receipt"]).index)
            token = await inspecting.token()
            armed.touch()
            await asyncio.gather(*(inspecting.run(http, token, 150) for _ in range(4)))
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        assert inspecting.lost
        await server.start()
        await verify_published(world.vault, server.url)
        logged = await check_whole(world.vault)
    finally:
        server.kill()
    uses = [parse_receipt(str(one["use_receipt"])).index for one in inspecting.answered]
    assert len(set(uses)) == len(uses)
    for use in uses:
        stated = logged[use]
        assert stated.entry.type is EntryType.INSPECTION
        assert stated.values["event"] == "entry opened"
    for one in inspecting.answered:
        entry = Entry.decode(parse_receipt(str(one["receipt"])).entry)
        assert check_opening(entry, one["opening"]) == one["attributes"]  # type: ignore[arg-type]
    told = sum(one.values.get("event") == "opened by an inspector" for one in logged)
    stated_uses = sum(one.values.get("event") == "entry opened" for one in logged)
    assert told == stated_uses >= len(uses)
