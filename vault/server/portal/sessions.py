"""Sessions of citizens: kept by the server, opened by a cookie, over after half an hour.

A session knows a person by blind index alone, so it is the same whether the vault knows them or not, and who
they are here is asked anew with each request: someone enrolled meanwhile is found, someone erased is not.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from consent.oauth.citizens import SignedIn
from vault.crypto.provider import Mac
from vault.crypto.tickets import Ticket
from vault.records import subjects
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.errors import ForgedRequestError, NotSignedInError
from vault.server.portal.tables import citizen_session

LIFE: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class CitizenSession(SignedIn):
    """A person who is signed in.

    Attributes:
        scheme: of their identifier.
        blind: their blind index, by which they are found or made.
    """

    scheme: str
    blind: Mac = field(repr=False)
    authenticated_at: datetime
    expires_at: datetime

    def check_form(self, token: str | None) -> None:
        """Whether a form, or a request to the API, comes from the person's own page.

        Raises:
            ForgedRequestError: it does not carry the session's token.
        """
        if not hmac.compare_digest((token or "").encode(), self.csrf.encode()):
            raise ForgedRequestError


class _Content(Struct, frozen=True):
    """What is sealed of a session."""

    display_name: str
    scheme: str
    blind: bytes
    key_version: int


_CONTENT = msgspec.json.Decoder(_Content)


class Sessions:
    """Every session of this vault, shared by all workers through the database.

    Args:
        engine: the application role's database.
        cookie: where the browser keeps its ticket.
    """

    def __init__(self, engine: AsyncEngine, cookie: TicketCookie) -> None:
        self._engine = engine
        self.cookie = cookie

    async def open(self, display_name: str, scheme: str, blind: Mac) -> Ticket:
        """Begins the session of a person who has just signed in, under a new ticket."""
        ticket = Ticket.generate()
        content = _Content(display_name, scheme, blind.value, blind.version)
        async with self._engine.begin() as connection:
            await connection.execute(delete(citizen_session).where(citizen_session.c.expires_at < func.now()))
            await connection.execute(
                citizen_session.insert().values(
                    place=ticket.place,
                    sealed=ticket.seal(msgspec.json.encode(content)),
                    authenticated_at=func.now(),
                    expires_at=func.now() + LIFE,
                )
            )
        return ticket

    async def read(self, request: Request) -> CitizenSession | None:
        """Whose request it is; None when nobody is signed in.

        Raises:
            UnsealError: the row was altered.
        """
        ticket = self.cookie.read(request)
        if ticket is None:
            return None
        live = select(
            citizen_session.c.sealed, citizen_session.c.authenticated_at, citizen_session.c.expires_at
        ).where(citizen_session.c.place == ticket.place, citizen_session.c.expires_at > func.now())
        async with self._engine.connect() as connection:
            row = (await connection.execute(live)).one_or_none()
            if row is None:
                return None
            content = _CONTENT.decode(ticket.open(row.sealed))
            blind = Mac(content.key_version, content.blind)
            person = await subjects.find(connection, content.scheme, blind)
        return CitizenSession(
            subject_id=None if person is None else person.subject_id,
            csrf=ticket.token,
            display_name=content.display_name,
            scheme=content.scheme,
            blind=blind,
            authenticated_at=row.authenticated_at,
            expires_at=row.expires_at,
        )

    async def require(self, request: Request) -> CitizenSession:
        """The same, for what only a signed-in person may see.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        session = await self.read(request)
        if session is None:
            raise NotSignedInError
        return session

    async def close(self, request: Request) -> None:
        """Ends the session a request shows, if it shows one."""
        ticket = self.cookie.read(request)
        if ticket is None:
            return
        async with self._engine.begin() as connection:
            await connection.execute(delete(citizen_session).where(citizen_session.c.place == ticket.place))
