"""Queries for inspectors to look at, and what others see of the looking."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.vault.served import Served
from vault.rights.accesses import Access, accesses

_DAY = timedelta(days=1)


def recent() -> dict[str, str]:
    """A range of time around now."""
    now = datetime.now(UTC)
    return {"from": (now - _DAY).isoformat(), "until": (now + _DAY).isoformat()}


async def asked(served: Served, n: int, **changes: Any) -> int:
    """The court asks; returns the index of the entry."""
    answer = (await (await served.court(n)).ask(**changes)).json()
    return served.receipt(answer["receipt"]).index


async def seen(served: Served, n: int) -> list[Access]:
    """What person `n` sees."""
    person = await served.world.person(n)
    async with served.world.vault.engine.connect() as connection:
        return await accesses(connection, served.world.vault.logs, person.subject_id)


async def newest(served: Served) -> dict[str, Any]:
    """What the newest entry states."""
    return await served.payload(await served.size() - 1)
