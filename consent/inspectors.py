"""What is registered of an inspector now: read under the log's head lock, like the state of a query."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.facts import NO_BODY, NO_OFFICER, BodyFacts, OfficerFacts
from consent.inspection import Inspector

_REGISTERED = text(
    "SELECT b.kind, b.status, b.purposes, b.capacities, o.body_id, o.status, o.role"
    " FROM consent.body b LEFT JOIN consent.officer o ON o.officer_id = :officer"
    " WHERE b.body_id = :body"
)


async def read(connection: AsyncConnection, inspector: Inspector) -> tuple[BodyFacts, OfficerFacts]:
    """Body and officer as registered now; what is in no register refuses."""
    asked = {"body": inspector.body_id, "officer": inspector.officer_id}
    row = (await connection.execute(_REGISTERED, asked)).one_or_none()
    if row is None:
        return NO_BODY, NO_OFFICER
    kind, status, purposes, capacities, *officer = row
    body = BodyFacts(kind, status, frozenset(purposes), frozenset(capacities))
    return body, NO_OFFICER if officer[0] is None else OfficerFacts(*officer)
