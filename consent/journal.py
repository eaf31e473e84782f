"""How a change of a register is written down: its document beside the register, its digest in the log.

The document is stored as text and hashed as stored. Both happen in the transaction that changes the register,
under the log's head lock, so a change, its document and its entry stand or fall together.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Writing
from access_log.payload import Payload
from consent.tables import register_event


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changed something.

    Attributes:
        name: for instance `operator:zhang.wei`, `registrar:<uuid>`, `subject:<uuid>`.
        role: as a reader of the log will see it, for instance `operator`.
        signed: what the document states of the statements behind the act: name and value.
    """

    name: str
    role: str
    signed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def subject(cls, subject_id: UUID) -> "Actor":
        """The person themselves."""
        return cls(f"subject:{subject_id}", "subject")

    @property
    def elsewhere(self) -> "Actor":
        """The same actor in the stream of an identity that is joined with the person's (RULES 13).

        The person has a role of its own there: should they be two after all, each reads who acted.
        """
        if self.role != "subject":
            return self
        return replace(self, name=f"subject:{self.name.removeprefix('subject:')}", role=JOINED)


JOINED = "joined identity"
"""Role of the person under another of their identities."""

VAULT = Actor("creditvault", "vault")
"""Whom the log names where nobody acted but time."""


def digest(document: str) -> str:
    """How a log entry names a document: hex SHA-256 of its UTF-8 text as stored."""
    return hashlib.sha256(document.encode()).hexdigest()


def to_json(content: Mapping[str, object]) -> str:
    """The text of a document. It is written once; what is stored is never written again."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


async def write_register_event(
    writing: Writing,
    event: str,
    object_id: UUID,
    actor: Actor,
    content: Mapping[str, object],
    *,
    body_id: UUID | None = None,
    basis_id: UUID | None = None,
) -> None:
    """Stores the document of a change and adds its entry (type 4) to the system stream.

    Args:
        writing: the transaction in which the register is changed.
        event: for instance `body.suspended`.
        object_id: the body, officer, registrar, basis or authorization that changed.
        actor: who changed it.
        content: what changed; for the document alone.
        body_id: the body concerned, if any.
        basis_id: the legal basis concerned, if any.
    """
    document = to_json(
        {
            "event": event,
            "object": str(object_id),
            "at": writing.now.isoformat(),
            "actor": actor.name,
            "actor_role": actor.role,
            **content,
            **dict(actor.signed),
        }
    )
    await writing.connection.execute(
        register_event.insert(),
        {
            "event_id": uuid4(),
            "object_id": object_id,
            "event": event,
            "at": writing.now,
            "document": document,
        },
    )
    payload = Payload.create(
        EntryType.AUTHORIZATION,
        {
            "event": event,
            "actor": actor.name,
            "actor_role": actor.role,
            "body": None if body_id is None else str(body_id),
            "object": str(object_id),
            "basis": None if basis_id is None else str(basis_id),
            "document": digest(document),
        },
    )
    writing.add(Event(SYSTEM_STREAM, payload))
