"""Reading back what a register change wrote: its entry's payload, and the document behind its digest."""

import json
from typing import Any

from sqlalchemy import text

from access_log.log import Log
from access_log.payload import Payload

_PAYLOADS = text("SELECT sealed FROM access_log.payload ORDER BY index")
_DOCUMENTS = text("SELECT document FROM consent.register_event ORDER BY at, event_id")


async def payloads(log: Log) -> list[Payload]:
    """Every payload of the log, in order; the test's sealer leaves them readable."""
    async with log.engine.connect() as connection:
        return [Payload.decode(row[0]) for row in await connection.execute(_PAYLOADS)]


async def newest(log: Log) -> dict[str, Any]:
    """The attributes of the newest entry."""
    return dict((await payloads(log))[-1].values())


async def documents(log: Log) -> list[str]:
    """The stored documents of register changes."""
    async with log.engine.connect() as connection:
        return [row[0] for row in await connection.execute(_DOCUMENTS)]


async def document(log: Log, event: str) -> dict[str, Any]:
    """The newest document of this event."""
    found = [json.loads(one) for one in await documents(log)]
    return dict([one for one in found if one["event"] == event][-1])
