"""What stands before a real key server and answers in its place: rightly, late, or wrongly in one way."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.openbao import OpenBao

Data = dict[str, Any]


class Between:
    """A proxy to a real server, as one may stand before any."""

    def __init__(self, server: OpenBao) -> None:
        self.fault: Callable[[str, Data], Data | Response] | None = None
        self.silent = False
        self.heard = asyncio.Event()
        self.asked: list[str] = []
        self._seen: dict[str, list[Data]] = {}
        self._http = httpx.AsyncClient(base_url=server.url, verify=server.trusting, trust_env=False)
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        self.heard.set()
        while self.silent:
            await asyncio.sleep(0.05)  # it says nothing until whoever asked has gone
            if await request.is_disconnected():
                break
        headers = {name: request.headers[name] for name in ("x-vault-token",) if name in request.headers}
        real = await self._http.request(request.method, path, content=await request.body(), headers=headers)
        if self.fault is None or not real.content:
            self._remember(path, real)
            return Response(real.content, real.status_code)
        document = real.json()
        changed = self.fault(path, document)
        if isinstance(changed, Response):
            return changed
        return Response(json.dumps(changed), real.status_code)

    def _remember(self, path: str, real: httpx.Response) -> None:
        if real.is_success and "/decrypt/" in path:
            self._seen.setdefault(path, []).extend(real.json()["data"]["batch_results"])

    def somebody_elses(self, path: str, document: Data) -> Data:
        """Plaintexts that it gave before, in place of those asked for."""
        if "/decrypt/" in path:
            results = document["data"]["batch_results"]
            others = [one for one in self._seen[path] if one not in results]
            document["data"]["batch_results"] = others[: len(results)]
        return document

    async def close(self) -> None:
        await self._http.aclose()


def another_version(path: str, document: Data) -> Data:
    """MACs said to be of a version that nobody asked for."""
    if "/hmac/" in path:
        for number, result in enumerate(document["data"]["batch_results"]):
            result["hmac"] = result["hmac"].replace("vault:v1:", f"vault:v{number + 1}:")
    return document


def another_key(path: str, document: Data) -> Data:
    """MACs of a key that took the place of ours."""
    if "/hmac/" in path:
        for result in document["data"]["batch_results"]:
            result["hmac"] = result["hmac"][: len("vault:v1:")] + "A" * 43 + "="
    return document


def too_few(_path: str, document: Data) -> Data:
    """A result less than was asked for."""
    if "batch_results" in (document.get("data") or {}):
        document["data"]["batch_results"].pop()
    return document


def a_page(_path: str, _document: Mapping[str, Any]) -> Response:
    """What a proxy says that lost its server."""
    return Response("<html>It works!</html>", media_type="text/html")
