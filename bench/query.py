"""An authorized query, everything on, against an endpoint that only checks the same token and proof."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import httpx
import psutil

from bench import load
from bench.stage import Stage, creditvault, free_port, opened, server_environment, serving, submission
from demo.cast import COURT_CASE, Cast, gather
from demo.client import BodyClient
from vault.records.enrol import Furnisher
from vault.records.keys import TOKEN_SIGNING
from vault.records.readers import read_ndjson
from vault.server.portal.fictitious import fictitious_identity

CONCURRENCY = 32
_PERSONS = range(1, 65)
_FIELDS = ["FIN.type", "FIN.amount_class", "FIN.status"]


@dataclass(frozen=True)
class QueryFigures:
    """What came out."""

    query: load.Load
    noop: load.Load
    memory_before: float
    memory_after: float


@dataclass(frozen=True)
class Served:
    """Queries of one server, and its resident memory in MB before and after them."""

    load: load.Load
    memory_before: float
    memory_after: float


async def prepare(at: Stage, persons: int) -> tuple[Cast, bytes]:
    """Registers the cast and enrols persons, without a server."""
    async with opened(at) as vault:
        cast = await gather(vault.log, at.settings.home / "cast.json")
        furnisher = Furnisher(cast["furnisher"].body_id, "bench", "operator")
        lines = b"\n".join(submission(n) for n in range(1, persons + 1))
        async for _ in vault.intake.take_in(read_ndjson(BytesIO(lines)), furnisher):
            pass
        return cast, vault.keys.system(TOKEN_SIGNING)


def measure(at: Stage, persons: int, queries: int) -> QueryFigures:
    """Runs both servers one after the other, each with the same number of fresh proofs."""
    cast, seed = asyncio.run(prepare(at, persons))
    served, for_noop = ask(at, cast, _PERSONS, queries)
    noop_port = free_port()
    command = [sys.executable, "-m", "bench.noop", at.settings.issuer, seed.hex(), str(noop_port)]
    with serving(command, {}, f"http://127.0.0.1:{noop_port}/openapi.json"):
        warm = len(for_noop) - queries
        asyncio.run(load.run("127.0.0.1", noop_port, for_noop[:warm], CONCURRENCY))
        noop = asyncio.run(load.run("127.0.0.1", noop_port, for_noop[warm:], CONCURRENCY))
    return QueryFigures(served.load, noop, served.memory_before, served.memory_after)


def ask(at: Stage, cast: Cast, persons: Sequence[int], queries: int) -> tuple[Served, list[bytes]]:
    """Asks a server about these persons in turn; returns as many fresh requests again, for elsewhere."""
    issuer = at.settings.issuer
    with serving(creditvault("serve"), server_environment(at), f"{issuer}/healthz") as server:
        warm, measured, more = asyncio.run(_requests(at, cast, persons, queries))
        port = int(issuer.rpartition(":")[2])
        asyncio.run(load.run("127.0.0.1", port, warm, CONCURRENCY))
        before = memory(server.pid)
        asked = asyncio.run(load.run("127.0.0.1", port, measured, CONCURRENCY))
        return Served(asked, before, memory(server.pid)), more


async def _requests(
    at: Stage, cast: Cast, persons: Sequence[int], queries: int
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Prepared requests, each with a proof of its own: to warm up, to measure, and for another endpoint."""
    issuer = at.settings.issuer
    host = issuer.removeprefix("http://")
    court = cast["court"]
    async with httpx.AsyncClient(base_url=issuer) as http:
        client = BodyClient(http, issuer, court.body_id, court.key)
        asked = []
        for n in persons:
            subject = {"scheme": "demo-id", "number": fictitious_identity(n)[0]}
            common = {
                "purpose": "court-enforcement",
                "case_reference": COURT_CASE,
                "officer": str(court.officer_id),
                "subject": subject,
                "fields": _FIELDS,
            }
            token = await client.statutory_token(
                {
                    "type": "statutory_query",
                    "authorization": str(cast.authorization),
                    "actions": ["read"],
                    **common,
                }
            )
            asked.append((token, json.dumps(common).encode()))
    warm = max(200, queries // 10)
    prepared = []
    for number in range(2 * (warm + queries)):
        token, body = asked[number % len(asked)]
        headers = client.credentials("/v1/queries", token)
        prepared.append(load.post(host, "/v1/queries", headers, body))
    return prepared[:warm], prepared[warm : warm + queries], prepared[warm + queries :]


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6
