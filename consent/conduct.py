"""A body's conduct file: what it was warned of, what it violated, every change of its status, each appeal.

The file is the register's own documents: it is added to and never rewritten, and each has its entry. A
warning or a violation changes no status; what it leads to is for the registrars to decide. What of it the law
makes public is in the public register (public_register.py); the rest, notes and who wrote it, is for
registrars.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import terms
from consent.bodies import read_body
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor, write_register_event
from consent.tables import register_event

Mark = Literal["warning", "violation"]
Outcome = Literal["upheld", "dismissed"]
_EVENTS: Final[dict[Mark, str]] = {"warning": "body.warned", "violation": "body.violation_found"}
_MARKS: Final = frozenset(_EVENTS.values())
_APPEALED: Final = _MARKS | {"body.suspended", "body.struck_off"}
_DECIDED: Final = "body.appeal_decided"
_FILE: Final = ("body.registered", *_MARKS, "body.suspended", "body.reinstated", "body.struck_off", _DECIDED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is written into a file.

    Attributes:
        reason: why; public where the mark is.
        appeal: where the body may appeal.
        public: whether the law makes it public.
        note: for registrars alone.
    """

    mark: Mark
    reason: str
    appeal: str | None = None
    public: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Appeal:
    """What became of an appeal.

    Attributes:
        outcome: `upheld` where the body was right, `dismissed` where it was not.
    """

    outcome: Outcome
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Conduct:
    """One line of the file.

    Attributes:
        event: for instance `body.warned`.
        appeal: where the body may appeal, if that was stated.
        outcome: of the appeal; None until it was decided.
        public: whether everybody may read it.
        note: for registrars alone.
        actor: who wrote it; for registrars alone.
    """

    event_id: UUID
    event: str
    at: datetime
    reason: str | None
    appeal: str | None
    outcome: Appeal | None
    public: bool
    note: str | None
    actor: str


async def mark(writing: Writing, body_id: UUID, finding: Finding, actor: Actor) -> None:
    """Writes a warning or a violation into a body's file.

    Raises:
        UnknownError: no such body.
        InvalidError: the reason says nothing.
    """
    if await read_body(writing.connection, body_id) is None:
        raise UnknownError("no body is registered under this id")
    content = {
        "reason": terms.text(finding.reason, "reason"),
        "appeal": None if finding.appeal is None else terms.text(finding.appeal, "way to appeal"),
        "public": finding.public,
        "note": None if finding.note is None else terms.text(finding.note, "note"),
    }
    await write_register_event(writing, _EVENTS[finding.mark], body_id, actor, content, body_id=body_id)


async def decide_appeal(
    writing: Writing, event_id: UUID, outcome: Outcome, reason: str, actor: Actor
) -> UUID:
    """Writes down what became of the appeal against one line of a file; returns the body's id.

    It changes no status: a body whose suspension was wrong is reinstated.

    Raises:
        UnknownError: no file has such a line.
        InvalidError: the line is none that can be appealed, or the reason says nothing.
        StateError: its appeal was decided already.
    """
    found = await writing.connection.execute(
        select(register_event.c.object_id, register_event.c.event).where(
            register_event.c.event_id == event_id, register_event.c.event.in_(_FILE)
        )
    )
    row = found.one_or_none()
    if row is None:
        raise UnknownError("no conduct file has a line of this id")
    if row.event not in _APPEALED:
        raise InvalidError("only a warning, a violation, a suspension or a striking off can be appealed")
    file = await conduct_file(writing.connection, row.object_id)
    if any(line.event_id == event_id and line.outcome is not None for line in file):
        raise StateError("the appeal against this line was decided already")
    content = {"of": str(event_id), "outcome": outcome, "reason": terms.text(reason, "reason")}
    await write_register_event(writing, _DECIDED, row.object_id, actor, content, body_id=row.object_id)
    body_id: UUID = row.object_id
    return body_id


async def conduct_file(connection: AsyncConnection, body_id: UUID) -> list[Conduct]:
    """A body's file, the oldest line first; empty for one that was never registered."""
    return (await conduct_files(connection, [body_id])).get(body_id, [])


async def conduct_files(connection: AsyncConnection, body_ids: Sequence[UUID]) -> dict[UUID, list[Conduct]]:
    """The files of these bodies."""
    rows = await connection.execute(
        select(
            register_event.c.object_id,
            register_event.c.event_id,
            register_event.c.event,
            register_event.c.at,
            register_event.c.document,
        )
        .where(register_event.c.object_id.in_(list(body_ids)), register_event.c.event.in_(_FILE))
        .order_by(register_event.c.at)
    )
    lines: list[tuple[UUID, UUID, str, datetime, dict[str, Any]]] = []
    decided: dict[UUID, Appeal] = {}
    for body_id, event_id, event, at, text in rows:
        document = json.loads(text)
        if event == _DECIDED:
            decided[UUID(document["of"])] = Appeal(document["outcome"], at, document["reason"])
        else:
            lines.append((body_id, event_id, event, at, document))
    files: dict[UUID, list[Conduct]] = {}
    for body_id, event_id, event, at, document in lines:
        files.setdefault(body_id, []).append(
            Conduct(
                event_id=event_id,
                event=event,
                at=at,
                reason=document.get("status_reason", document.get("reason")),
                appeal=document.get("appeal"),
                outcome=decided.get(event_id),
                # A mark from before marks could be public was written for the file alone.
                public=event not in _MARKS or document.get("public", False),
                note=document.get("note"),
                actor=document["actor"],
            )
        )
    return files
