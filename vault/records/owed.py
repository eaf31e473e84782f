"""Queries that were permitted, perhaps logged, and never released.

Each gets an entry of type 10 as soon as the log runs again, its use is given back, and it is forgotten as a
request, so that a repeat under its idempotency key is a query of its own. After a crash of this process the
permit stands in the log as an upper bound: nothing was released, and the person sees one query too many
rather than one too few.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import structlog

from access_log import requests
from access_log.entry import EntryType
from access_log.log import Event, Log, RequestMark, Writing
from access_log.payload import Payload
from consent.state import Charge, give_back

_RETRY_SECONDS = 1.0
_NO_BODY = bytes(32)
_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unreleased:
    """One such query."""

    request_id: UUID
    body_id: UUID
    subject_id: UUID | None
    stream: bytes
    charge: Charge

    @property
    def settled_id(self) -> UUID:
        """Request id of its entry of type 10, so that there is never a second one."""
        return uuid5(self.request_id, "not released")


class Owed:
    """What this process still owes the log.

    Args:
        settle: runs an empty batch, which settles on its way.
    """

    def __init__(self, settle: Callable[[], Awaitable[object]]) -> None:
        self._owed: list[Unreleased] = []
        self._settle = settle
        self._task: asyncio.Task[None] | None = None

    def add(self, unreleased: Iterable[Unreleased]) -> None:
        """Owes these; an empty batch is run until the log has taken them."""
        self._owed.extend(unreleased)
        if self._owed and self._task is None:
            self._task = asyncio.create_task(self._keep_trying())

    def standing(self) -> Sequence[Unreleased]:
        """What is owed now."""
        return tuple(self._owed)

    @staticmethod
    async def write(log: Log, writing: Writing, owed: Sequence[Unreleased]) -> None:
        """Puts the entries of type 10 in line and gives the uses back, in the caller's transaction."""
        if not owed:
            return
        ids = [one.request_id for one in owed] + [one.settled_id for one in owed]
        known = await requests.known_leaves(writing.connection, log.number, ids)
        standing = [one for one in owed if one.request_id in known and one.settled_id not in known]
        for one in standing:
            payload = Payload.create(
                EntryType.NOT_RELEASED,
                {
                    "query": known[one.request_id].hex(),
                    "reason": "the answer could not be released",
                    "subject": str(one.subject_id) if one.subject_id else None,
                },
            )
            mark = RequestMark(one.settled_id, one.body_id, None, _NO_BODY)
            writing.add(Event(one.stream, payload, mark))
        await give_back(writing.connection, [one.charge for one in standing])
        await requests.forget(writing.connection, log.number, [one.request_id for one in standing])

    def written(self, owed: Sequence[Unreleased]) -> None:
        """These are in the log, or were never committed: nothing is owed for them any more."""
        settled = {one.request_id for one in owed}
        self._owed = [one for one in self._owed if one.request_id not in settled]

    async def _keep_trying(self) -> None:
        while self._owed:
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                await self._settle()
            except Exception as error:  # noqa: BLE001 -- the log is still down; it is tried again
                _events.warning("unreleased_not_yet_settled", count=len(self._owed), exc_info=error)
        self._task = None
