"""A log is closed under a running server: the citizen sees what was before and after, and all verifies."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from access_log.payload import check_opening
from access_log.receipt import parse_receipt, verify_receipt
from access_log.verifier_keys import VerifierKey
from tests.conftest import ORIGIN
from tests.flows.serving import ROOT, SERVE, Server, environment, serving
from tests.flows.world import World
from tests.loopback import asking
from tests.vault.server.portal.conftest import Browser, Site
from vault.server.settings import Settings

NEXT = "creditvault.test/log/next"
CLOSED = f"/log/closed/{sha256(ORIGIN.encode()).hexdigest()}"


async def creditvault(settings: Settings, *arguments: str) -> dict[str, Any]:
    """A command of the operator's, as a process of its own."""
    done = await asyncio.to_thread(
        subprocess.run,
        [SERVE[0], *arguments, "--json"],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


async def inspected(*arguments: object) -> tuple[int, dict[str, Any]]:
    """What the inspector's tool says."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "access_log", *map(str, arguments), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


async def proven(http: httpx.AsyncClient, access: dict[str, Any], key: str) -> dict[str, Any]:
    """What one entry of the citizen's list says, verified with its log's key."""
    params = {"log": access["log"]} if access["closed"] else {}
    found = (await http.get(f"/v1/me/accesses/{access['index']}", params=params)).json()
    receipt = verify_receipt(found["receipt"], [VerifierKey.parse(key)])
    assert receipt.index == access["index"]
    return dict(check_opening(receipt.entry, found["opening"]))


async def test_the_citizen_sees_both_logs_and_both_verify(world: World, tmp_path: Path) -> None:
    # One client for both servers, so that its token outlives the first.
    async with asking(world.settings.issuer) as http:
        await before_and_after(world, http, tmp_path)


async def before_and_after(world: World, http: httpx.AsyncClient, tmp_path: Path) -> None:
    settings = world.settings
    async with serving(settings, tmp_path / "server.log") as server:
        await world.enrol(http, [1, 2])
        grant = await world.statutory(http, 1)
        before = await grant.ask()
        assert before.status_code == httpx.codes.OK
        old_key = (await http.get("/log/key")).text.strip()
        done = await creditvault(
            settings, "log", "close", "--new-origin", NEXT, "--yes", "--reason", "a new year"
        )
        assert done["planned"] is True
        refused = await grant.ask()
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "records" not in refused.text
        assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        end = (await http.get("/log/checkpoint")).text
        assert f"set CREDITVAULT_LOG_ORIGIN={NEXT}" in server.said()
    moved = settings.model_copy(update={"log_origin": NEXT})
    async with serving(moved, tmp_path / "server.log") as server:
        after = await grant.ask()
        assert after.status_code == httpx.codes.OK
        assert after.json()["records"] == before.json()["records"]
        new_key = (await http.get("/log/key")).text.strip()
        assert [new_key] == done["keys"]
        for answer, key in ((before, old_key), (after, new_key)):
            verify_receipt(answer.json()["receipt"], [VerifierKey.parse(key)])

        keys = tmp_path / "log.keys"
        keys.write_text(f"{old_key}\n{new_key}\n")
        await serves_both(server, http, before.json()["receipt"], end, keys)
        index = parse_receipt(before.json()["receipt"]).index
        await opens_of_closed(world, http, index, old_key)
        await shows_both(
            Site(server.url, world.vault, world.cast), {ORIGIN: old_key, NEXT: new_key}, tmp_path
        )
        for each in (settings, moved):
            assert (await creditvault(each, "log", "fsck"))["sound"] is True


async def serves_both(server: Server, http: httpx.AsyncClient, receipt: str, end: str, keys: Path) -> None:
    """The closed log is served as it was; whoever holds both keys verifies both, and follows."""
    (closed,) = (await http.get("/log/closed")).json()["closed"]
    assert (closed["origin"], closed["path"], closed["successor"]) == (ORIGIN, CLOSED, NEXT)
    assert (await http.get(f"{CLOSED}/checkpoint")).text == end
    old_key = (await http.get(f"{CLOSED}/key")).text.strip()
    verify_receipt(receipt, [VerifierKey.parse(old_key)])
    index = parse_receipt(receipt).index
    verify_receipt((await http.get(f"{CLOSED}/proof/{index}")).text, [VerifierKey.parse(old_key)])
    held = keys.with_name("held.checkpoint")
    held.write_text(end)
    for path in (CLOSED, "/log"):
        code, said = await inspected("verify", f"{server.url}{path}", "--log-key", keys)
        assert code == 0, said
    code, said = await inspected("follow-logs", f"{server.url}/log", "--log-key", keys, "--checkpoint", held)
    assert (code, said["passages"][0]["reason"]) == (0, "a new year")


async def opens_of_closed(world: World, http: httpx.AsyncClient, index: int, old_key: str) -> None:
    """An inspector finds and opens an entry of the closed log, and writes that down in the open one."""
    client = world.client(http, "inspectorate")
    officer = str(world.cast["inspectorate"].officer_id)
    token = await client.statutory_token(
        {"type": "inspection", "officer": officer, "case_reference": "INSPECTION-7"}
    )

    async def ask(what: str, **asked: object) -> httpx.Response:
        path = f"/v1/inspection/{what}"
        return await http.post(path, json=asked, headers=client.credentials(path, token))

    today = datetime.now(UTC)
    span = {"from": str(today - timedelta(days=1)), "until": str(today + timedelta(days=1))}
    listed = (await ask("entries", **span, log=ORIGIN)).json()["entries"]
    assert index in {one["index"] for one in listed if one["kind"] == "query permitted"}
    opened = (await ask("entry", index=index, log=ORIGIN)).json()
    receipt = verify_receipt(opened["receipt"], [VerifierKey.parse(old_key)])
    assert check_opening(receipt.entry, opened["opening"]) == opened["attributes"]
    assert opened["stream"] == "person"
    first, also_first = (await ask("entry", index=0)).json(), (await ask("entry", index=0, log=ORIGIN)).json()
    assert first["attributes"] != also_first["attributes"]
    for asked in ({"index": index}, span):
        unknown = await ask("entry" if asked is not span else "entries", **asked, log="no.example/log")
        assert unknown.status_code == httpx.codes.NOT_FOUND


async def shows_both(site: Site, keys: dict[str, str], folder: Path) -> None:
    """The citizen sees entries of both logs, proves each, and that nothing is hidden in either."""
    async with Browser(site) as browser:
        await browser.sign_in(1)
        listed = (await browser.http.get("/v1/me/accesses")).json()["accesses"]
        queries = [each for each in listed if each["kind"] == "query permitted"]
        assert [(each["log"], each["closed"]) for each in queries] == [(NEXT, False), (ORIGIN, True)]
        for access in listed:
            opened = await proven(browser.http, access, keys[access["log"]])
            assert opened.get("event") == access["details"].get("event")
        for log, path, key in ((None, "/log", keys[NEXT]), (ORIGIN, CLOSED, keys[ORIGIN])):
            material = folder / "log-keys.json"
            params = {} if log is None else {"log": log}
            given = await browser.http.get("/v1/me/log-keys", params=params)
            material.write_bytes(given.content)
            code, said = await inspected("audit-person", material, f"{site.url}{path}", "--log-key", key)
            assert (code, said["complete"]) == (0, True), said
        page = await browser.get("/accesses?show=everything")
        of_closed = [link for link in page.links if "?log=" in link and "log-keys" not in link]
        assert of_closed
        shown = await browser.get(of_closed[0])
        assert ORIGIN in shown.text
        assert keys[ORIGIN] in shown.text
        for link in shown.links:
            if link.endswith(f"?log={ORIGIN.replace('/', '%2F')}") or "/receipt" in link:
                assert (await browser.http.get(link)).status_code == httpx.codes.OK
