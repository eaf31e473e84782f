"""The register of registrars: who proposes and approves statutory authorizations, each with a key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import statements, terms
from consent.endings import Kind
from consent.errors import InvalidError, StateError, StatementError, UnknownError
from consent.journal import Actor, write_register_event
from consent.statements import Claimed, import_registrar_key
from consent.tables import registrar


@dataclass(frozen=True, slots=True)
class NewRegistrar:
    """A registrar to be registered, with the public key that verifies their statements (P-256 or Ed25519)."""

    name: str
    jwk: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registrar:
    """A registered registrar.

    Attributes:
        jwk: public key.
        thumbprint: RFC 7638, SHA-256, base64url; no two registrars have the same.
    """

    registrar_id: UUID
    name: str
    jwk: Mapping[str, Any]
    thumbprint: str
    status: str
    status_since: datetime


async def add_registrar(writing: Writing, new: NewRegistrar, actor: Actor) -> UUID:
    """Registers a registrar as active; returns the registrar's id.

    Raises:
        InvalidError: the name says nothing, or the key was registered before, for whomever.
        KeyPolicyError: the key is not a public one on P-256 or Ed25519.
    """
    name = terms.text(new.name, "registrar's name")
    key = import_registrar_key(new.jwk)
    thumbprint = key.thumbprint()
    known = select(registrar.c.registrar_id).where(registrar.c.thumbprint == thumbprint)
    if (await writing.connection.execute(known)).one_or_none() is not None:
        raise InvalidError("this key is registered already: each registrar needs a key of their own")
    registrar_id = uuid4()
    content = {"name": name, "jwk": key.as_dict(private=False), "thumbprint": thumbprint}
    await writing.connection.execute(
        registrar.insert(),
        {**content, "registrar_id": registrar_id, "status": "active", "status_since": writing.now},
    )
    await write_register_event(writing, "registrar.registered", registrar_id, actor, content)
    return registrar_id


async def stand_down_registrar(writing: Writing, registrar_id: UUID, reason: str, actor: Actor) -> None:
    """Ends a registrar's right to sign statements, for good. What was approved before stands.

    Raises:
        UnknownError: no such registrar.
        StateError: the registrar stood down already.
        InvalidError: the reason says nothing.
    """
    known = await read_registrar(writing.connection, registrar_id)
    if known is None:
        raise UnknownError("no registrar is registered under this id")
    if known.status != "active":
        raise StateError("the registrar stood down already")
    content = {"reason": terms.text(reason, "reason")}
    await writing.connection.execute(
        update(registrar)
        .where(registrar.c.registrar_id == registrar_id)
        .values(status="stood-down", status_since=writing.now)
    )
    await write_register_event(writing, "registrar.stood_down", registrar_id, actor, content)
    writing.end(Kind.REGISTRAR_STOOD_DOWN, registrar_id)


async def read_registrar(connection: AsyncConnection, registrar_id: UUID) -> Registrar | None:
    """The registrar as registered now."""
    found = await connection.execute(select(registrar).where(registrar.c.registrar_id == registrar_id))
    row = found.mappings().one_or_none()
    return None if row is None else Registrar(**row)


async def require_signatory(connection: AsyncConnection, claimed: Claimed, now: datetime) -> Registrar:
    """The active registrar whose statement this proves to be.

    Raises:
        StatementError: it is nobody's, or does not verify.
    """
    found = await read_registrar(connection, claimed.statement.registrar)
    if found is None or found.status != "active":
        raise StatementError("the statement names no active registrar")
    statements.verify(claimed, found.jwk, now)
    return found


async def list_registrars(connection: AsyncConnection) -> list[Registrar]:
    """All registrars ever registered, by name."""
    rows = await connection.execute(select(registrar).order_by(registrar.c.name, registrar.c.registrar_id))
    return [Registrar(**row) for row in rows.mappings()]
