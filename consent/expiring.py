"""What will end by itself soon: authorizations and legal bases, so that nobody is surprised by a refusal."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Kind = Literal["authorization", "legal basis"]
# What rests on a basis that ends is refused from then on (RULES 3.4), however long it is valid itself.
_AUTHORIZATIONS = text(
    "SELECT a.authorization_id, a.body_id, b.name, a.valid_until FROM consent.authorization a"
    " JOIN consent.body b ON b.body_id = a.body_id"
    " WHERE a.state = 'approved' AND a.valid_until > :now AND a.valid_until <= :until"
    " ORDER BY a.valid_until, a.authorization_id"
)
_BASES = text(
    "SELECT basis_id, code, in_force_until FROM consent.legal_basis"
    " WHERE in_force_until >= :today AND in_force_until <= :last ORDER BY in_force_until, basis_id"
)


@dataclass(frozen=True, slots=True)
class Expiring:
    """Something that ends by itself.

    Attributes:
        what: name of the body it was given to, or code of the basis.
        ends: first moment after an authorization's validity, or last day of a basis.
    """

    kind: Kind
    id: UUID
    what: str
    ends: datetime | date


async def expiring(
    connection: AsyncConnection, within: timedelta, *, now: datetime, today: date
) -> list[Expiring]:
    """What ends within so much time from now.

    Args:
        connection: to the database.
        within: whole days, since a basis ends by the legal date.
        now: the moment.
        today: its legal date.
    """
    authorizations = await connection.execute(_AUTHORIZATIONS, {"now": now, "until": now + within})
    bases = await connection.execute(_BASES, {"today": today, "last": today + within})
    return [
        *(Expiring("authorization", row[0], row[2], row[3]) for row in authorizations),
        *(Expiring("legal basis", row[0], row[1], row[2]) for row in bases),
    ]
