"""A body's conduct file: what it was warned of, what it violated, and every change of its status.

The file is the register's own documents: it is added to and never rewritten, and each has its entry.
A warning or a violation changes no status; what it leads to is for the registrar to decide.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import terms
from consent.bodies import read_body
from consent.errors import UnknownError
from consent.journal import Actor, write_register_event
from consent.tables import register_event

Mark = Literal["warning", "violation"]
_EVENTS: Final[dict[Mark, str]] = {"warning": "body.warned", "violation": "body.violation_found"}
_FILE: Final = (
    "body.registered",
    *_EVENTS.values(),
    "body.suspended",
    "body.reinstated",
    "body.struck_off",
)


@dataclass(frozen=True, slots=True)
class Conduct:
    """One line of the file.

    Attributes:
        event: for instance `body.warned`.
        appeal: where the body may appeal, if that was stated.
        actor: who wrote it.
    """

    event: str
    at: datetime
    reason: str | None
    appeal: str | None
    actor: str


async def mark(
    writing: Writing, body_id: UUID, mark: Mark, reason: str, actor: Actor, *, appeal: str | None = None
) -> None:
    """Writes a warning or a violation into a body's file.

    Raises:
        UnknownError: no such body.
        InvalidError: the reason says nothing.
    """
    if await read_body(writing.connection, body_id) is None:
        raise UnknownError("no body is registered under this id")
    content = {
        "reason": terms.text(reason, "reason"),
        "appeal": None if appeal is None else terms.text(appeal, "way to appeal"),
    }
    await write_register_event(writing, _EVENTS[mark], body_id, actor, content, body_id=body_id)


async def conduct_file(connection: AsyncConnection, body_id: UUID) -> list[Conduct]:
    """A body's file, the oldest line first; empty for one that was never registered."""
    rows = await connection.execute(
        select(register_event.c.event, register_event.c.at, register_event.c.document)
        .where(register_event.c.object_id == body_id, register_event.c.event.in_(_FILE))
        .order_by(register_event.c.at)
    )
    return [_line(event, at, json.loads(document)) for event, at, document in rows]


def _line(event: str, at: datetime, document: dict[str, Any]) -> Conduct:
    reason = document.get("status_reason", document.get("reason"))
    return Conduct(event, at, reason, document.get("appeal"), document["actor"])
