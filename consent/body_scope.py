"""What a body may do and how it is reached, changed after its admission."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import update

from access_log.log import Writing
from consent import terms
from consent.bodies import Body, Contact, checked_capacities, checked_contact, checked_uris, read_body
from consent.errors import InvalidError, UnknownError
from consent.journal import Actor, write_register_event
from consent.tables import body


@dataclass(frozen=True, slots=True)
class Scope:
    """What a body is certified for, and in which capacities."""

    purposes: tuple[str, ...]
    capacities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Particulars:
    """How a body is called and reached."""

    name: str
    contact: Contact
    redirect_uris: tuple[str, ...]


async def certify(
    writing: Writing,
    body_id: UUID,
    scope: Scope,
    reason: str,
    actor: Actor,
    *,
    narrower: bool = False,
) -> None:
    """States all purposes and capacities of a body anew; they count from its next query on.

    Args:
        writing: the transaction.
        body_id: whose.
        scope: all it may do from now on.
        reason: why; stands in the register.
        actor: who states it.
        narrower: whether nothing may be among them that the body has not now.

    Raises:
        UnknownError: no such body.
        InvalidError: a part breaks a rule, or would widen what may only be narrowed.
    """
    before = await _require(writing, body_id)
    values = {"purposes": terms.purposes(scope.purposes), "capacities": checked_capacities(scope.capacities)}
    if narrower and not (
        before.purposes.issuperset(values["purposes"]) and before.capacities.issuperset(values["capacities"])
    ):
        raise InvalidError("this would widen what the body may do, which takes certify-body: two registrars")
    content = {**values, "reason": terms.text(reason, "reason")}
    await _change(writing, body_id, values)
    event = "body.narrowed" if narrower else "body.certified"
    await write_register_event(writing, event, body_id, actor, content, body_id=body_id)


async def amend(writing: Writing, body_id: UUID, particulars: Particulars, actor: Actor) -> None:
    """States the particulars of a body anew.

    Raises:
        UnknownError: no such body.
        InvalidError: a part breaks a rule.
    """
    await _require(writing, body_id)
    values = {
        "name": terms.text(particulars.name, "body's name"),
        "contact": checked_contact(particulars.contact),
        "redirect_uris": checked_uris(particulars.redirect_uris),
    }
    await _change(writing, body_id, values)
    await write_register_event(writing, "body.amended", body_id, actor, values, body_id=body_id)


async def _require(writing: Writing, body_id: UUID) -> Body:
    found = await read_body(writing.connection, body_id)
    if found is None:
        raise UnknownError("no body is registered under this id")
    return found


async def _change(writing: Writing, body_id: UUID, values: dict[str, Any]) -> None:
    await writing.connection.execute(update(body).where(body.c.body_id == body_id).values(**values))
