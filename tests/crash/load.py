"""Many clients at once, who remember what they sent and what they were answered."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from access_log.receipt import parse_receipt
from demo.client import BodyClient
from tests.flows.world import Grant, World

STATUTORY_PERSONS = (1, 2, 3)
CONSENTED_PERSONS = {4: 1, 5: 3, 6: 8, 7: 500}
"""Invented persons, and how many queries each consents to."""
_WITHOUT_END = 1_000_000


@dataclass
class Asked:
    """One query, and what its sender knows of it."""

    grant: Grant
    key: str | None
    response: httpx.Response | None = None

    @property
    def permitted(self) -> bool:
        """Whether an answer arrived that holds records."""
        return self.response is not None and self.response.status_code == httpx.codes.OK

    @property
    def proven(self) -> bool:
        """Whether an answer arrived with a receipt: a permit or a refusal."""
        return self.permitted or (
            self.response is not None and self.response.status_code == httpx.codes.FORBIDDEN
        )

    @property
    def answer(self) -> Mapping[str, Any]:
        """The answer that arrived."""
        assert self.response is not None
        return dict(self.response.json())

    @property
    def index(self) -> int:
        """The entry the answer was logged as."""
        return parse_receipt(self.answer["receipt"]).index


@dataclass
class Load:
    """Grants, and the queries that were sent with them."""

    grants: Sequence[Grant]
    asked: list[Asked] = field(default_factory=list)
    enough: bool = False
    _turn: int = 0

    async def run(self, *, clients: int = 16, most: int = 800) -> None:
        """Queries side by side until the server is gone, so many were sent, or it is `enough`."""
        self.enough = False
        await asyncio.gather(*(self._client(most) for _ in range(clients)))

    @asynccontextmanager
    async def going(self, *, clients: int = 16) -> AsyncIterator[None]:
        """The same for as long as the block lasts."""
        running = asyncio.create_task(self.run(clients=clients, most=_WITHOUT_END))
        try:
            yield
        finally:
            self.enough = True
            await running

    async def repeat_keyed(self) -> None:
        """Every keyed query once more: those that were answered, and those that were not."""
        for before in [one for one in self.asked if one.key is not None]:
            again = Asked(before.grant, before.key)
            again.response = await before.grant.ask(idempotency_key=before.key)
            assert again.response.status_code in (httpx.codes.OK, httpx.codes.FORBIDDEN)
            if before.permitted:
                assert again.permitted, "a repeat of what was permitted is permitted"
                assert (again.index, again.answer["opening"]) == (before.index, before.answer["opening"])
                assert again.answer["records"] == before.answer["records"]
            self.asked.append(again)

    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        return Counter(one.response.status_code for one in self.asked if one.response is not None)

    def permitted_entries(self) -> Counter[UUID]:
        """How many different entries stand behind the answers of each grant that held records."""
        behind = {(one.grant.grant_id, one.index) for one in self.asked if one.permitted}
        return Counter(grant_id for grant_id, _ in behind)

    async def _client(self, most: int) -> None:
        while not self.enough and len(self.asked) < most:
            turn, self._turn = self._turn, self._turn + 1
            # Every third query carries a key, of its own.
            one = Asked(self.grants[turn % len(self.grants)], f"key-{turn}" if turn % 3 == 0 else None)
            self.asked.append(one)
            try:
                one.response = await one.grant.ask(idempotency_key=one.key)
            except httpx.TransportError:
                self.enough = True


@dataclass
class Repeated:
    """One use of a token, again and again, and what was answered."""

    http: httpx.AsyncClient
    client: BodyClient
    token: str
    path: str
    asked: Mapping[str, object]
    answered: list[dict[str, Any]] = field(default_factory=list)
    lost: bool = False

    async def run(self, most: int) -> None:
        """One after the other, until so many were answered or the server is gone."""
        for _ in range(most):
            credentials = self.client.credentials(self.path, self.token)
            try:
                response = await self.http.post(self.path, json=self.asked, headers=credentials)
            except httpx.TransportError:
                self.lost = True
                return
            assert response.status_code == httpx.codes.OK, response.text
            self.answered.append(response.json())


async def prepare(world: World, http: httpx.AsyncClient) -> Load:
    """Enrols the persons and obtains every grant."""
    await world.enrol(http, [*STATUTORY_PERSONS, *CONSENTED_PERSONS])
    grants = [await world.statutory(http, n) for n in STATUTORY_PERSONS]
    grants += [await world.consented(http, n, most) for n, most in CONSENTED_PERSONS.items()]
    return Load(grants)


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Waits for what others bring about, and not for ever."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)
