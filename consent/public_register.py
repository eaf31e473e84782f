"""The public register: who may ask, for what, and what became of them. Open to everybody.

It holds organizations, never persons: officers, keys and redirect URIs are left out.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.bodies import Contact, list_bodies
from consent.tables import register_event

_STATUS_EVENTS: Final = ("body.registered", "body.suspended", "body.reinstated", "body.struck_off")


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One change in the standing of a body.

    Attributes:
        event: `body.registered`, `body.suspended`, `body.reinstated` or `body.struck_off`.
        at: when it took effect, UTC.
        reason: as stated; None for a registration.
        appeal: where it can be appealed, or what became of the appeal.
    """

    event: str
    at: datetime
    reason: str | None = None
    appeal: str | None = None


@dataclass(frozen=True, slots=True)
class PublicBody:
    """A body as everybody may see it.

    Attributes:
        purposes: what it is certified to ask for.
        capacities: of `ask`, `furnish`, `inspect`.
        status: `active`, `suspended` or `struck-off`.
        history: every change of its standing, the oldest first.
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
    history: tuple[StatusEvent, ...]


@dataclass(frozen=True, slots=True)
class PublicRegister:
    """All bodies ever registered, by name: whoever was struck off stays listed."""

    bodies: tuple[PublicBody, ...]


async def read_public_register(connection: AsyncConnection) -> PublicRegister:
    """The register as it stands."""
    rows = await connection.execute(
        select(register_event.c.object_id, register_event.c.event, register_event.c.document)
        .where(register_event.c.event.in_(_STATUS_EVENTS))
        .order_by(register_event.c.at)
    )
    histories: dict[UUID, list[StatusEvent]] = {}
    for object_id, event, document in rows:
        histories.setdefault(object_id, []).append(_status_event(event, document))
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
                history=tuple(histories.get(one.body_id, ())),
            )
            for one in await list_bodies(connection)
        )
    )


def _status_event(event: str, document: str) -> StatusEvent:
    content = json.loads(document)
    return StatusEvent(
        event, datetime.fromisoformat(content["at"]), content.get("status_reason"), content.get("appeal")
    )
