"""What may be used once and soon: a sign-in that was begun, a code of the demo's identity provider."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

import msgspec
from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.tickets import Ticket
from vault.server.portal.tables import single_use

_CONTENT = msgspec.json.Decoder(dict[str, str])


class SingleUse:
    """One kind of such things, shared by all workers through the database.

    Args:
        engine: the application role's database.
        kind: which.
        life: how long each may wait.
    """

    def __init__(self, engine: AsyncEngine, kind: Literal["sign-in", "demo-code"], life: timedelta) -> None:
        self._engine = engine
        self._kind = kind
        self._life = life

    async def keep(self, content: Mapping[str, str]) -> Ticket:
        """Keeps a content until somebody shows the ticket that is returned."""
        ticket = Ticket.generate()
        async with self._engine.begin() as connection:
            await connection.execute(
                single_use.insert().values(
                    kind=self._kind,
                    place=ticket.place,
                    sealed=ticket.seal(msgspec.json.encode(content)),
                    expires_at=func.now() + self._life,
                )
            )
        return ticket

    async def take(self, ticket: Ticket | None) -> dict[str, str] | None:
        """The content, once: of any number of parallel calls one gets it. None when there is none to get.

        Raises:
            UnsealError: the row was altered.
        """
        if ticket is None:
            return None
        async with self._engine.begin() as connection:
            sealed = (
                await connection.execute(
                    delete(single_use)
                    .where(
                        single_use.c.kind == self._kind,
                        single_use.c.place == ticket.place,
                        single_use.c.expires_at > func.now(),
                    )
                    .returning(single_use.c.sealed)
                )
            ).scalar_one_or_none()
        return None if sealed is None else _CONTENT.decode(ticket.open(sealed))
