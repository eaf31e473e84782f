"""A client library that is not Authlib: openid-client on Node, from discovery to a query, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.browser import Browser
from demo.cast import COURT_CASE, REDIRECT_URI, Player
from tests.flows.world import FIELDS
from tests.node_programs import FOLDER, needs
from tests.vault.served import site
from vault.crypto.blind import DEMO_ID
from vault.server.portal.fictitious import fictitious_identity
from vault.server.settings import Settings

PURPOSE = "credit-granting"


class Software:
    """The program, spoken to by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._to, self._from = process.stdin, process.stdout

    async def tell(self, line: str) -> None:
        self._to.write(line.encode() + b"\n")
        await self._to.drain()

    async def hears(self, name: str) -> Any:
        """The next thing it says, which must have this name."""
        line = await self._from.readline()
        if not line:
            assert self._process.stderr is not None
            pytest.fail((await self._process.stderr.read()).decode())
        said = json.loads(line)
        assert list(said) == [name], said
        return said[name]


@asynccontextmanager
async def software() -> AsyncIterator[Software]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLDER / "body_client.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Software(process)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def body(player: Player) -> dict[str, Any]:
    return {"id": str(player.body_id), "jwk": player.key.as_dict(private=True)}


def asked(player: Player, number: str, purpose: str, case: str) -> dict[str, Any]:
    return {
        "subject": {"scheme": DEMO_ID, "number": number},
        "purpose": purpose,
        "fields": list(FIELDS),
        "officer": str(player.officer_id),
        "case_reference": case,
    }


async def granted(url: str, issuer: str, number: str) -> str:
    """The person signs in, reads and grants; returns where they are sent."""
    async with Browser(issuer) as browser:
        page = await browser.open(url)
        page = await browser.send(page, page.form_with("number"), fill={"number": number})
        form = page.form_with("decision", "fields")
        back = await browser.send(page, form, tick=form.boxes, press=("decision", "grant"))
    return back.url


@pytest.mark.parametrize(("nonces", "proofs"), [(False, "ES256"), (True, "Ed25519"), (True, "PS256")])
async def test_a_banks_and_a_courts_whole_way(
    vault_settings: Settings, tmp_path: Path, *, nonces: bool, proofs: str
) -> None:
    needs("openid-client")
    number, _ = fictitious_identity(1)
    settings = vault_settings.model_copy(update={"proof_nonces": nonces})
    async with site(settings, tmp_path) as served, software() as ours:
        if not nonces:
            await served.enrol(1)
        issuer, cast = served.world.settings.issuer, served.world.cast
        case = asked(cast["court"], number, "court-enforcement", COURT_CASE)
        await ours.tell(
            json.dumps(
                {
                    "issuer": issuer,
                    "bank": body(cast["bank"]),
                    "court": body(cast["court"]),
                    "redirectUri": REDIRECT_URI,
                    "proofs": proofs,
                    "consented": {
                        "type": "consented_query",
                        "purpose": PURPOSE,
                        "fields": list(FIELDS),
                        "mode": "view",
                        "validity": 30,
                        "max_uses": 3,
                    },
                    "statutory": {
                        "type": "statutory_query",
                        "authorization": str(cast.authorization),
                        "actions": ["read"],
                        **case,
                    },
                    "query": {
                        "consented": asked(cast["bank"], number, PURPOSE, "loan 1"),
                        "statutory": case,
                    },
                }
            )
        )
        await ours.tell(await granted(await ours.hears("authorize"), issuer, number))
        grant = await ours.hears("granted")
        assert (grant["type"], grant["details"][0]["fields"]) == ("dpop", list(FIELDS))
        consented = await ours.hears("consented")
        assert consented["status"] == httpx.codes.OK, consented
        assert len(consented["answer"]["records"]) == (0 if nonces else 1)
        assert await ours.hears("refreshed") == {"rotated": False}
        introspected = await ours.hears("introspected")
        assert (introspected["active"], introspected["iss"]) == (True, issuer)
        assert await ours.hears("revoked") == {"active": False}
        assert (await ours.hears("statutory"))["status"] == httpx.codes.OK
        assert await ours.hears("code_again") == "invalid_grant"
        assert await ours.hears("other_purpose") == "invalid_authorization_details"
        assert await ours.hears("other_resource") == "invalid_target"
