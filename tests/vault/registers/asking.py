"""The two registrars of the cast, and what they send to a served vault."""

import json
from typing import Any
from uuid import UUID

import httpx

from tests.vault.served import Served
from vault.server.cli.signing import Signing

JsonObject = dict[str, Any]


def registrar(served: Served, number: int) -> Signing:
    cast = served.world.cast
    return Signing(cast.registrar_ids[number], cast.registrar_keys[number].as_dict(private=True))


def issuer(served: Served) -> str:
    return served.world.settings.issuer


async def hand_in(served: Served, compact: str) -> httpx.Response:
    return await served.http.post("/v1/registers/statements", json={"statement": compact})


async def ordered(served: Served, act: JsonObject, number: int = 0) -> httpx.Response:
    return await hand_in(served, registrar(served, number).order(issuer(served), json.dumps(act)))


async def agreed(served: Served, order: str, number: int = 1) -> httpx.Response:
    (found,) = await read(served, "order", of=UUID(order))
    return await hand_in(served, registrar(served, number).agree(issuer(served), UUID(order), found["act"]))


async def read(served: Served, what: str, number: int = 0, *, of: UUID | None = None) -> list[JsonObject]:
    compact = registrar(served, number).ask(issuer(served), what, of)
    response = await served.http.post("/v1/registers/read", json={"statement": compact})
    assert response.status_code == httpx.codes.OK, response.text
    return list(response.json()["found"])
