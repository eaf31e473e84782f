"""Sessions of citizens: kept by the server, opened by a cookie, over when nobody comes, and over in any case.

A session knows a person by number, so it is the same whether the vault knows them or not, and who they are
here is asked anew with each request: someone enrolled meanwhile is found, someone erased is not.
The number is sealed with all the rest under the ticket, which only the browser has.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import Request

from consent import mandates
from consent.mandates import Mandate, Right
from consent.oauth.citizens import SignedIn
from vault.crypto.blind import Identifier
from vault.crypto.tickets import Ticket
from vault.records import subjects
from vault.records.identities import Met
from vault.records.keys import VaultKeys
from vault.server.portal.assurance import Act, Assurance, Proof
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.errors import (
    ForgedRequestError,
    NotEntrustedError,
    NotSignedInError,
    WeakSignInError,
)
from vault.server.portal.tables import citizen_session, single_use


@dataclass(frozen=True, slots=True)
class Life:
    """How long a session lasts: `idle` without a request, `most` in any case."""

    idle: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True)
class CitizenSession(SignedIn):
    """A person who is signed in.

    Attributes:
        met: who that is, by which they are found or made.
        proof: how they signed in.
        opened_at: when they did.
        expires_at: when it is over if nothing more comes.
        ends_at: when it is over in any case.
        own_id: the person who is signed in; None while the vault does not know them. `subject_id` is who they
            act for, most often themselves.
        mandate: under which they act for somebody else; None where they act for themselves.
    """

    met: Met = field(repr=False)
    proof: Proof
    opened_at: datetime
    expires_at: datetime
    ends_at: datetime
    own_id: UUID | None
    mandate: Mandate | None = None

    @property
    def themselves(self) -> "CitizenSession":
        """The same person, acting for nobody else."""
        return replace(self, subject_id=self.own_id, mandate=None)

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
    acr: str | None
    authenticated_at: datetime | None
    mandate: UUID | None = None
    number: str = ""


_CONTENT = msgspec.json.Decoder(_Content)


class Sessions:
    """Every session of this vault, shared by all workers through the database.

    Args:
        engine: the application role's database.
        keys: make the blind index.
        cookie: where the browser keeps its ticket.
        life: how long each lasts.
        assurance: how surely one must have signed in, for what.
    """

    def __init__(
        self, engine: AsyncEngine, keys: VaultKeys, cookie: TicketCookie, life: Life, assurance: Assurance
    ) -> None:
        self._engine = engine
        self._keys = keys
        self.cookie = cookie
        self._life = life
        self._assurance = assurance

    async def open(self, display_name: str, met: Met, proof: Proof, provider_session: str | None) -> Ticket:
        """Begins the session of a person who has just signed in, under a new ticket.

        Args:
            display_name: to address the person by.
            met: who that is.
            proof: how they signed in.
            provider_session: what the provider calls the session they have there.
        """
        ticket = Ticket.generate()
        identifier = met.identifier
        content = _Content(
            display_name,
            identifier.scheme,
            proof.acr,
            proof.authenticated_at,
            number=identifier.number,
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                citizen_session.insert().values(
                    place=ticket.place,
                    sealed=ticket.seal(msgspec.json.encode(content)),
                    opened_at=func.now(),
                    expires_at=func.now() + min(self._life.idle, self._life.most),
                    ends_at=func.now() + self._life.most,
                    provider_session=None if provider_session is None else _digest(provider_session),
                )
            )
        return ticket

    async def read(self, request: Request) -> CitizenSession | None:
        """Whose request it is; None when nobody is signed in. Each keeps the session from falling idle.

        Raises:
            UnsealError: the row was altered.
        """
        ticket = self.cookie.read(request)
        if ticket is None:
            return None
        live = (
            update(citizen_session)
            .where(citizen_session.c.place == ticket.place, citizen_session.c.expires_at > func.now())
            .values(expires_at=func.least(citizen_session.c.ends_at, func.now() + self._life.idle))
            .returning(
                citizen_session.c.sealed,
                citizen_session.c.opened_at,
                citizen_session.c.expires_at,
                citizen_session.c.ends_at,
            )
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(live)).one_or_none()
            if row is None:
                return None
            content = _CONTENT.decode(ticket.open(row.sealed))
            if not content.number:
                return None  # opened by a release that did not keep the number: they sign in anew
            identifier = Identifier(content.scheme, content.number)
            # Made anew each time: the index key may have been rotated since they signed in.
            (blind,) = await self._keys.blind([identifier])
            person = await subjects.find(connection, content.scheme, blind)
            own_id = None if person is None else person.subject_id
            # Asked anew with each request: a mandate that has ended gives nothing from then on.
            mandate = await _standing(connection, own_id, content.mandate)
        return CitizenSession(
            subject_id=own_id if mandate is None else mandate.subject_id,
            csrf=ticket.token,
            display_name=content.display_name,
            met=Met(identifier, blind),
            proof=Proof(content.acr, content.authenticated_at),
            opened_at=row.opened_at,
            expires_at=row.expires_at,
            ends_at=row.ends_at,
            own_id=own_id,
            mandate=mandate,
        )

    async def require(
        self, request: Request, act: Act = Act.READ, *, right: Right | None = None
    ) -> CitizenSession:
        """The same, for what only a signed-in person may do.

        Args:
            request: which.
            act: how surely they must have signed in.
            right: what a mandate must cover for a representative to do it; None: nobody does it for another.

        Raises:
            NotSignedInError: nobody is signed in.
            WeakSignInError: somebody is, but not surely or recently enough for this.
            NotEntrustedError: they act for somebody who did not entrust them with this.
        """
        session = await self.require_any(request, act)
        if session.mandate is not None and right not in session.mandate.rights:
            raise NotEntrustedError
        return session

    async def require_any(self, request: Request, act: Act = Act.READ) -> CitizenSession:
        """The same, whatever mandate they act under: for what is done for nobody but themselves.

        Raises:
            NotSignedInError: nobody is signed in.
            WeakSignInError: somebody is, but not surely or recently enough for this.
        """
        session = await self.read(request)
        if session is None:
            raise NotSignedInError
        if not self.suffices(session, act):
            raise WeakSignInError(act)
        return session

    async def act_under(self, request: Request, mandate_id: UUID | None) -> None:
        """Lets the session act under this mandate from now on; under None, for themselves.

        Raises:
            NotSignedInError: nobody is signed in.
        """
        ticket = self.cookie.read(request)
        if ticket is None:
            raise NotSignedInError
        mine = (citizen_session.c.place == ticket.place) & (citizen_session.c.expires_at > func.now())
        async with self._engine.begin() as connection:
            sealed = (
                await connection.execute(select(citizen_session.c.sealed).where(mine).with_for_update())
            ).scalar_one_or_none()
            if sealed is None:
                raise NotSignedInError
            content = msgspec.structs.replace(_CONTENT.decode(ticket.open(sealed)), mandate=mandate_id)
            await connection.execute(
                update(citizen_session).where(mine).values(sealed=ticket.seal(msgspec.json.encode(content)))
            )

    def suffices(self, session: CitizenSession, act: Act) -> bool:
        """Whether this person signed in surely and recently enough for this."""
        return self._assurance.suffices(session.proof, act, datetime.now(UTC))

    async def close(self, request: Request) -> None:
        """Ends the session a request shows, if it shows one."""
        ticket = self.cookie.read(request)
        if ticket is None:
            return
        async with self._engine.begin() as connection:
            await connection.execute(delete(citizen_session).where(citizen_session.c.place == ticket.place))

    async def close_all_of(self, provider_session: str) -> int:
        """Ends the sessions that were opened out of this one at the provider; returns how many."""
        of_it = citizen_session.c.provider_session == _digest(provider_session)
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(citizen_session).where(of_it))).rowcount


async def _standing(
    connection: AsyncConnection, own_id: UUID | None, mandate_id: UUID | None
) -> Mandate | None:
    if own_id is None or mandate_id is None:
        return None
    found = await mandates.find(connection, own_id, mandate_id)
    return found if found is not None and found.stands(datetime.now(UTC)) else None


async def remove_expired(connection: AsyncConnection) -> int:
    """Removes sessions that are over, and what nobody came to use; returns how many. For the worker."""
    removed = 0
    for table in (citizen_session, single_use):
        over = delete(table).where(table.c.expires_at < func.clock_timestamp())
        removed += (await connection.execute(over)).rowcount
    return removed


def _digest(provider_session: str) -> bytes:
    return hashlib.sha256(b"creditvault provider session v1\0" + provider_session.encode()).digest()
