"""A query with the keys in OpenBao beside one with a keyring file: somebody new, and somebody again."""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench import load
from bench.query import prepare
from bench.stage import Stage, creditvault, server_environment, serving, stage
from demo.cast import COURT_CASE, Cast
from demo.client import BodyClient
from tests.openbao import OpenBao
from vault.records.keys import ROOT
from vault.server.portal.fictitious import fictitious_identity
from vault.server.providers import open_provider

_PERSONS = 200
_CACHED = 60


@dataclass(frozen=True)
class KeyServerFigures:
    """Medians in ms, of one query after the other.

    Attributes:
        trip: one unwrap of one key by the key server, from this machine.
        file: somebody new, with a keyring file.
        cold: somebody new, with the key server.
        warm: the same again within seconds, with the key server.
    """

    trip: float
    file: float
    cold: float
    warm: float


def measure() -> KeyServerFigures:
    """Asks about each of some persons, and again, once with each provider."""
    with stage() as at:
        file, _ = _latencies(at, {})
    with tempfile.TemporaryDirectory(prefix="creditvault-bench-") as folder, OpenBao(Path(folder)) as server:
        held = {**server.settings(), "key_cache_seconds": _CACHED}
        with stage(held) as at:
            cold, warm = _latencies(at, held)
            trip = asyncio.run(_trip(at))
    return KeyServerFigures(trip, file, cold, warm)


def _latencies(at: Stage, changes: dict[str, Any]) -> tuple[float, float]:
    cast, _ = asyncio.run(prepare(at, _PERSONS))
    issuer = at.settings.issuer
    environment = server_environment(at) | {
        f"CREDITVAULT_{name.upper()}": str(value) for name, value in changes.items()
    }
    with serving(creditvault("serve"), environment, f"{issuer}/healthz"):
        others, first, again = asyncio.run(_requests(at, cast))
        port = int(issuer.rpartition(":")[2])
        asyncio.run(load.run("127.0.0.1", port, others, 1))
        found = [asyncio.run(load.run("127.0.0.1", port, requests, 1)) for requests in (first, again)]
    assert not any(one.failed for one in found)
    return found[0].p50, found[1].p50


async def _requests(at: Stage, cast: Cast) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """A fifth of the persons to get everything going, each of the others once, and once more."""
    issuer, court = at.settings.issuer, cast["court"]
    once: list[bytes] = []
    again: list[bytes] = []
    async with httpx.AsyncClient(base_url=issuer) as http:
        client = BodyClient(http, issuer, court.body_id, court.key)
        for n in range(1, _PERSONS + 1):
            common = {
                "purpose": "court-enforcement",
                "case_reference": COURT_CASE,
                "officer": str(court.officer_id),
                "subject": {"scheme": "demo-id", "number": fictitious_identity(n)[0]},
                "fields": ["FIN.type", "FIN.amount_class", "FIN.status"],
            }
            kind = {"type": "statutory_query", "authorization": str(cast.authorization), "actions": ["read"]}
            token = await client.statutory_token({**kind, **common})
            for requests in (once, again):
                headers = client.credentials("/v1/queries", token)
                body = json.dumps(common).encode()
                requests.append(load.post(issuer.removeprefix("http://"), "/v1/queries", headers, body))
    warm = _PERSONS // 5
    return once[:warm], once[warm:], again[warm:]


async def _trip(at: Stage) -> float:
    async with open_provider(at.settings.model_copy(update={"key_cache_seconds": 0})) as keys:
        aad = b"of the benchmark"
        wrapped = await keys.wrap(ROOT, bytes(32), aad)
        seconds = []
        for _ in range(_PERSONS):
            started = time.perf_counter()
            await keys.unwrap(ROOT, wrapped, aad)
            seconds.append(time.perf_counter() - started)
    return sorted(seconds)[len(seconds) // 2] * 1000
