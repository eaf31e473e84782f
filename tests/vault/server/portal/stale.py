"""A session whose person proved who they are some time ago, without waiting for it."""

from datetime import timedelta

import msgspec
from sqlalchemy import select, update

from tests.vault.server.portal.conftest import Site
from vault.crypto.tickets import Ticket
from vault.server.portal.sessions import _CONTENT
from vault.server.portal.tables import citizen_session


async def make_stale(site: Site, cookie: str, age: timedelta = timedelta(hours=1)) -> None:
    """Lets the person of this cookie have signed in that long before they did."""
    ticket = Ticket.read(cookie)
    assert ticket is not None
    mine = citizen_session.c.place == ticket.place
    async with site.vault.engine.begin() as connection:
        sealed = (await connection.execute(select(citizen_session.c.sealed).where(mine))).scalar_one()
        content = _CONTENT.decode(ticket.open(sealed))
        assert content.authenticated_at is not None
        older = msgspec.structs.replace(content, authenticated_at=content.authenticated_at - age)
        await connection.execute(
            update(citizen_session).where(mine).values(sealed=ticket.seal(msgspec.json.encode(older)))
        )
