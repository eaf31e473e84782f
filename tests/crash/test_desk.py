"""kill -9 at each step of a use at a desk: whatever a clerk was answered, the person's log says so first."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from access_log.entry import EntryType
from access_log.receipt import parse_receipt
from tests.crash import killer
from tests.crash.commands import KILLER
from tests.crash.forking import ForkedServer
from tests.crash.load import Repeated
from tests.flows.audit import check_whole, verify_published
from tests.flows.world import World
from vault.server.portal.fictitious import fictitious_identity


async def _assisting(world: World, http: httpx.AsyncClient) -> Repeated:
    """A clerk who opens a person's records."""
    client, subject = world.client(http, "desk"), {"scheme": "demo-id", "number": fictitious_identity(1)[0]}
    details = {
        "type": "assistance",
        "officer": str(world.cast["desk"].officer_id),
        "visit": "VISIT-7",
        "document": "passport",
        "subject": subject,
    }
    return Repeated(
        http, client, await client.statutory_token(details), "/v1/desk/records", {"subject": subject}
    )


# One step on each side of the commit and of the signature; the others are those of every writer.
@pytest.mark.slow
@pytest.mark.parametrize("step", ["before-commit", "after-commit", "after-sign", *killer.ASSISTING])
async def test_killed_at_each_step(world: World, tmp_path: Path, step: str) -> None:
    server = ForkedServer(world.settings, tmp_path / "server.log")
    armed = tmp_path / "armed"
    try:
        await server.start([*KILLER, step, "6", str(armed), "serve"])
        async with server.http() as http:
            await world.enrol(http, [1])
            assisting = await _assisting(world, http)
            armed.touch()
            await asyncio.gather(*(assisting.run(12) for _ in range(3)))
        assert await server.ended() == -signal.SIGKILL, f"{step} was never reached"
        assert assisting.lost
        await server.start()
        await verify_published(world.vault, server.url)
        logged = await check_whole(world.vault)
    finally:
        server.kill()
    uses = [parse_receipt(one["use_receipt"]).index for one in assisting.answered]
    assert len(set(uses)) == len(uses)
    for use in uses:
        assert logged[use].entry.type is EntryType.RIGHTS
        assert logged[use].values["event"] == "assisted at a desk"
    assert all(len(one["records"]) == 2 for one in assisting.answered)
    stated = sum(one.values.get("event") == "assisted at a desk" for one in logged)
    viewed = sum(one.values.get("event") == "own records viewed" for one in logged)
    assert stated == viewed >= len(uses)
