"""The public register: who may ask, for what, and what became of them. Open to everybody.

It holds organizations, never persons: officers, keys and redirect URIs are left out, and so is what of a
conduct file the law does not make public.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from consent.bodies import Contact, list_bodies
from consent.conduct import Appeal, Conduct, conduct_files


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """One line of a body's conduct file that everybody may read.

    Attributes:
        event_id: of the line; who appeals names it.
        event: `body.registered`, `body.warned`, `body.violation_found`, `body.suspended`, `body.reinstated`
            or `body.struck_off`.
        at: when it took effect, UTC.
        reason: as stated; None for a registration.
        appeal: where it can be appealed.
        outcome: of the appeal; None until it was decided.
    """

    event_id: UUID
    event: str
    at: datetime
    reason: str | None = None
    appeal: str | None = None
    outcome: Appeal | None = None


@dataclass(frozen=True, slots=True)
class PublicBody:
    """A body as everybody may see it.

    Attributes:
        purposes: what it is certified to ask for.
        capacities: of `ask`, `furnish`, `inspect`.
        status: `active`, `suspended` or `struck-off`.
        history: of its conduct what the law makes public, the oldest first.
    """

    body_id: UUID
    uscc: str
    name: str
    kind: str
    contact: Contact
    purposes: tuple[str, ...]
    capacities: tuple[str, ...]
    status: str
    status_since: datetime
    history: tuple[PublicEvent, ...]


@dataclass(frozen=True, slots=True)
class PublicRegister:
    """All bodies ever registered, by name: whoever was struck off stays listed."""

    bodies: tuple[PublicBody, ...]


async def read_public_register(connection: AsyncConnection) -> PublicRegister:
    """The register as it stands."""
    registered = await list_bodies(connection)
    files = await conduct_files(connection, [one.body_id for one in registered])
    return PublicRegister(
        tuple(
            PublicBody(
                body_id=one.body_id,
                uscc=one.uscc,
                name=one.name,
                kind=one.kind,
                contact=one.contact,
                purposes=tuple(sorted(one.purposes)),
                capacities=tuple(sorted(one.capacities)),
                status=one.status,
                status_since=one.status_since,
                history=tuple(_public(line) for line in files.get(one.body_id, ()) if line.public),
            )
            for one in registered
        )
    )


def _public(line: Conduct) -> PublicEvent:
    return PublicEvent(line.event_id, line.event, line.at, line.reason, line.appeal, line.outcome)
