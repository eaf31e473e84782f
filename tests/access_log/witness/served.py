"""Witnesses over sockets: good ones, and others that lie, lag or are gone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI, Request, Response

from access_log.policy import Policy
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import COSIGNATURE_TYPES, ED25519_COSIGNATURE, VerifierKey
from access_log.witness.api import witness_app
from access_log.witness.store import Store
from tests.loopback import bound, serving

Behaviour = Callable[[Request, Response], Awaitable[Response]]
"""What a witness makes of the honest answer to a request."""


@dataclass
class Witness:
    """A witness at an address, which behaves as the test says."""

    name: str
    url: str
    store: Store
    keys: list[CosigningKey]
    behaviour: Behaviour | None = None
    asked: int = 0
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        honest = witness_app(self.store, self.keys)
        self.app = FastAPI()

        @self.app.api_route("/{path:path}", methods=["GET", "POST"])
        async def any_path(path: str, request: Request) -> Response:
            self.asked += 1
            transport = httpx.ASGITransport(honest)
            async with httpx.AsyncClient(transport=transport, base_url="http://witness") as inside:
                said = await inside.request(request.method, f"/{path}", content=await request.body())
            headers = {"content-type": said.headers["content-type"]}
            answer = Response(said.content, said.status_code, headers=headers)
            return answer if self.behaviour is None else await self.behaviour(request, answer)

    @property
    def key(self) -> VerifierKey:
        """The one the policy names."""
        return self.keys[-1].key

    def size(self) -> int | None:
        """What it cosigned last of the only log it knows."""
        (watched,) = self.store.watched()
        return None if watched.last is None else watched.last.size


@asynccontextmanager
async def witness(folder: Path, name: str, *log_keys: VerifierKey, number: int = 1) -> AsyncIterator[Witness]:
    """A witness that is served for as long as the block lasts, and knows these keys of a log."""
    port, url = bound()
    store = Store.create(folder / f"{name}.db")
    for key in log_keys:
        store.trust(key)
    kinds = COSIGNATURE_TYPES if number % 2 else (ED25519_COSIGNATURE,)
    keys = [CosigningKey.from_seed(f"{name}.example", kind, bytes([number, kind]) * 16) for kind in kinds]
    made = Witness(name, url, store, keys)
    async with serving(made.app, port):
        yield made
    store.close()


def policy_of(quorum: str, *witnesses: Witness) -> str:
    """A policy file of these witnesses; `quorum` is `any`, `all` or a number."""
    lines = [f"witness {each.name} {each.key} {each.url}\n" for each in witnesses]
    names = " ".join(each.name for each in witnesses)
    return "".join(lines) + f"group them {quorum} {names}\nquorum them\n"


def policy(quorum: str, *witnesses: Witness) -> Policy:
    return Policy.parse(policy_of(quorum, *witnesses))
