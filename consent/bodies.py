"""The registers of bodies and of the officers who act inside them.

Every change takes effect on the next query, because the decision reads these rows under the log's head lock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from stdnum.cn import uscc as credit_code
from stdnum.exceptions import ValidationError

from access_log.log import Writing
from consent import terms
from consent.body_keys import public_keys
from consent.endings import Kind
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor, write_register_event
from consent.tables import body, officer

CAPACITIES = ("ask", "furnish", "inspect", "desk")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LONGEST_URI = 2000


@dataclass(frozen=True, slots=True)
class Contact:
    """Where citizens reach a body."""

    address: str
    contact: str


@dataclass(frozen=True, slots=True)
class NewBody:
    """A body to be registered.

    Attributes:
        uscc: unified social credit code (GB 32100), 18 characters.
        name: as registered.
        kind: a kind of body of the catalogue, for instance `bank`.
        contact: for citizens.
        jwks: its public keys, `{"keys": [...]}`, each with a `kid` of its own.
        redirect_uris: https, or http on loopback; compared exactly.
        purposes: the purposes it is certified for.
        capacities: of `ask`, `furnish`, `inspect`, `desk`.
        jwks_uri: where it publishes its keys; `jwks` then holds those found there.
    """

    uscc: str
    name: str
    kind: str
    contact: Contact
    jwks: Mapping[str, Any]
    redirect_uris: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    capacities: tuple[str, ...] = ("ask",)
    jwks_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A registered body. Its id is also its OAuth `client_id`."""

    body_id: UUID
    uscc: str
    name: str
    kind: str
    contact: Contact
    jwks: Mapping[str, Any]
    redirect_uris: tuple[str, ...]
    purposes: frozenset[str]
    capacities: frozenset[str]
    status: str
    status_reason: str | None
    status_since: datetime
    appeal: str | None
    registered_at: datetime
    jwks_uri: str | None
    jwks_fetched_at: datetime | None
    jwks_tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class _StatusChange:
    event: str
    status: str
    allowed_from: tuple[str, ...]
    kept_as: Kind


_SUSPENSION = _StatusChange("body.suspended", "suspended", ("active",), Kind.BODY_SUSPENDED)
_REINSTATEMENT = _StatusChange("body.reinstated", "active", ("suspended",), Kind.BODY_REINSTATED)
_STRIKING_OFF = _StatusChange("body.struck_off", "struck-off", ("active", "suspended"), Kind.BODY_STRUCK_OFF)


@dataclass(frozen=True, slots=True)
class NewOfficer:
    """An officer to be registered inside a body."""

    body_id: UUID
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Officer:
    """A registered officer."""

    officer_id: UUID
    body_id: UUID
    name: str
    role: str
    status: str
    status_since: datetime


async def add_body(writing: Writing, new: NewBody, actor: Actor) -> UUID:
    """Registers a body as active; returns its id.

    Raises:
        InvalidError: a part breaks the rules of the register, or the code is registered already.
        KeyPolicyError: a key does not meet the profile.
    """
    values = _checked(new)
    known = select(body.c.body_id).where(body.c.uscc == values["uscc"])
    if (await writing.connection.execute(known)).one_or_none() is not None:
        raise InvalidError("a body with this unified social credit code is registered already")
    body_id = uuid4()
    await writing.connection.execute(
        body.insert(),
        {
            **values,
            "body_id": body_id,
            "status": "active",
            "status_since": writing.now,
            "registered_at": writing.now,
            "jwks_fetched_at": None if new.jwks_uri is None else writing.now,
        },
    )
    await write_register_event(writing, "body.registered", body_id, actor, values, body_id=body_id)
    return body_id


async def suspend_body(
    writing: Writing, body_id: UUID, reason: str, actor: Actor, *, appeal: str | None = None
) -> None:
    """Suspends an active body; the reason and the way to appeal are shown in the public register.

    Raises:
        UnknownError: no such body.
        StateError: it is not active.
        InvalidError: the reason says nothing.
    """
    await _change_status(writing, body_id, _SUSPENSION, reason, actor, appeal=appeal)


async def reinstate_body(writing: Writing, body_id: UUID, reason: str, actor: Actor) -> None:
    """Makes a suspended body active again.

    Raises:
        UnknownError: no such body.
        StateError: it is not suspended.
        InvalidError: the reason says nothing.
    """
    await _change_status(writing, body_id, _REINSTATEMENT, reason, actor)


async def strike_off_body(
    writing: Writing, body_id: UUID, reason: str, actor: Actor, *, appeal: str | None = None
) -> None:
    """Strikes a body off the register, for good.

    Raises:
        UnknownError: no such body.
        StateError: it is struck off already.
        InvalidError: the reason says nothing.
    """
    await _change_status(writing, body_id, _STRIKING_OFF, reason, actor, appeal=appeal)


async def add_officer(writing: Writing, new: NewOfficer, actor: Actor) -> UUID:
    """Registers an officer of a body as active; returns the officer's id.

    Raises:
        UnknownError: no such body.
        InvalidError: name or role says nothing.
    """
    await _require_body(writing.connection, new.body_id)
    officer_id = uuid4()
    name, role = terms.text(new.name, "officer's name"), terms.text(new.role, "officer's role")
    await writing.connection.execute(
        officer.insert(),
        {
            "officer_id": officer_id,
            "body_id": new.body_id,
            "name": name,
            "role": role,
            "status": "active",
            "status_since": writing.now,
        },
    )
    await write_register_event(
        writing,
        "officer.registered",
        officer_id,
        actor,
        {"body": str(new.body_id), "name": name, "role": role},
        body_id=new.body_id,
    )
    return officer_id


async def stand_down_officer(writing: Writing, officer_id: UUID, reason: str, actor: Actor) -> None:
    """Ends an officer's right to act, for good.

    Raises:
        UnknownError: no such officer.
        StateError: the officer stood down already.
        InvalidError: the reason says nothing.
    """
    known = select(officer.c.body_id, officer.c.status).where(officer.c.officer_id == officer_id)
    row = (await writing.connection.execute(known)).one_or_none()
    if row is None:
        raise UnknownError("no officer is registered under this id")
    if row.status != "active":
        raise StateError("the officer stood down already")
    content = {"reason": terms.text(reason, "reason")}
    await writing.connection.execute(
        update(officer)
        .where(officer.c.officer_id == officer_id)
        .values(status="stood-down", status_since=writing.now)
    )
    await write_register_event(writing, "officer.stood_down", officer_id, actor, content, body_id=row.body_id)
    writing.end(Kind.OFFICER_STOOD_DOWN, officer_id)


async def read_body(connection: AsyncConnection, body_id: UUID) -> Body | None:
    """The body as registered now."""
    found = await connection.execute(select(body).where(body.c.body_id == body_id))
    row = found.mappings().one_or_none()
    return None if row is None else _body(row)


async def list_bodies(connection: AsyncConnection) -> list[Body]:
    """All bodies ever registered, by name."""
    rows = await connection.execute(select(body).order_by(body.c.name, body.c.body_id))
    return [_body(row) for row in rows.mappings()]


async def names(connection: AsyncConnection, body_ids: Collection[UUID]) -> dict[UUID, str]:
    """The registered names of these bodies; one that is in no register is absent."""
    rows = await connection.execute(
        select(body.c.body_id, body.c.name).where(body.c.body_id.in_(list(body_ids)))
    )
    return {row[0]: row[1] for row in rows}


async def list_officers(connection: AsyncConnection, body_id: UUID) -> list[Officer]:
    """All officers ever registered inside a body, by name."""
    rows = await connection.execute(
        select(officer).where(officer.c.body_id == body_id).order_by(officer.c.name, officer.c.officer_id)
    )
    return [Officer(**row) for row in rows.mappings()]


def _checked(new: NewBody) -> dict[str, Any]:
    try:
        uscc = credit_code.validate(new.uscc)
    except ValidationError as error:
        raise InvalidError("the unified social credit code is not valid: check its 18 characters") from error
    capacities, uris = checked_capacities(new.capacities), checked_uris(new.redirect_uris)
    return {
        "uscc": uscc,
        "name": terms.text(new.name, "body's name"),
        "kind": terms.code(new.kind, "kind of body"),
        "contact": checked_contact(new.contact),
        "jwks": public_keys(new.jwks),
        "jwks_uri": new.jwks_uri,
        "redirect_uris": uris,
        "purposes": terms.purposes(new.purposes),
        "capacities": capacities,
    }


def checked_capacities(capacities: Collection[str]) -> list[str]:
    """Capacities in order.

    Raises:
        InvalidError: there is none, or one that does not exist.
    """
    if not set(capacities) <= set(CAPACITIES) or not capacities:
        raise InvalidError(f"the capacities must be of {', '.join(CAPACITIES)}, and at least one")
    return sorted(set(capacities))


def checked_uris(uris: Collection[str]) -> list[str]:
    """Redirect URIs as the register keeps them.

    Raises:
        InvalidError: a code may not be sent to one of them.
    """
    if not all(_is_redirect_uri(uri) for uri in uris):
        raise InvalidError("each redirect URI must be https, or http on loopback, without fragment")
    return list(uris)


def checked_contact(contact: Contact) -> dict[str, str]:
    """A contact as the register keeps it.

    Raises:
        InvalidError: a part of it says nothing.
    """
    return {
        "address": terms.text(contact.address, "contact address"),
        "contact": terms.text(contact.contact, "contact for citizens"),
    }


def _is_redirect_uri(uri: str) -> bool:
    """Whether a code may be sent there (RFC 6749 §3.1.2, RFC 9700 §2.6)."""
    if not uri.isascii() or not uri.isprintable() or " " in uri or len(uri) > _LONGEST_URI:
        return False
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "#" in uri or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


async def _change_status(
    writing: Writing,
    body_id: UUID,
    change: _StatusChange,
    reason: str,
    actor: Actor,
    *,
    appeal: str | None = None,
) -> None:
    before = await _require_body(writing.connection, body_id)
    if before not in change.allowed_from:
        raise StateError(f"a body that is {before} cannot become {change.status}")
    changed = {
        "status": change.status,
        "status_reason": terms.text(reason, "reason"),
        "appeal": None if appeal is None else terms.text(appeal, "way to appeal"),
    }
    await writing.connection.execute(
        update(body).where(body.c.body_id == body_id).values(**changed, status_since=writing.now)
    )
    await write_register_event(writing, change.event, body_id, actor, changed, body_id=body_id)
    writing.end(change.kept_as, body_id)


async def _require_body(connection: AsyncConnection, body_id: UUID) -> str:
    """The status of a registered body."""
    status: str | None = (
        await connection.execute(select(body.c.status).where(body.c.body_id == body_id))
    ).scalar_one_or_none()
    if status is None:
        raise UnknownError("no body is registered under this id")
    return status


def _body(row: RowMapping) -> Body:
    return Body(
        **{
            **row,
            "contact": Contact(**row["contact"]),
            "redirect_uris": tuple(row["redirect_uris"]),
            "purposes": frozenset(row["purposes"]),
            "capacities": frozenset(row["capacities"]),
        }
    )
