"""Why a query would be permitted or refused: every rule of its route, one by one, without a person.

A dry run is no query and writes no entry, so it must not tell what only a logged query may. It takes no
person: what depends on one (the person named, their consent's freeze) is left out and said to be. The token
is taken to be issued for just this request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import state, tables
from consent.decide import query_rules
from consent.facts import CatalogueFacts, State
from consent.permit import Flow, QueryRequest, Route, TokenGrant
from consent.rules import Inquiry

_OF_THE_PERSON: Final = frozenset({"3.7", "4.1", "4.2", "4.3"})
_NO_HASH: Final = bytes(32)
_NOBODY: Final = UUID(int=0)


class Outcome(StrEnum):
    """What became of a rule."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Draft:
    """A query as somebody means to ask it, but for the person.

    Attributes:
        route: under an authorization, or with a consent.
        grant_id: of the one or the other.
    """

    body_id: UUID
    officer_id: UUID
    route: Route
    grant_id: UUID
    purpose: str
    fields: tuple[str, ...]
    case_reference: str


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule, asked of the draft.

    Attributes:
        rule: its number.
        statement: what it says (RULES.md).
        remedy: what a body would be told, where it fails.
    """

    rule: str
    statement: str
    outcome: Outcome
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every rule of the route, in its order.

    Attributes:
        refused_by: the first rule that fails; None where the draft would pass all that were asked.
    """

    rules: Sequence[Explained]
    refused_by: str | None


def explain(request: QueryRequest, live: State, now: datetime, catalogue: CatalogueFacts) -> Explanation:
    """Asks every rule of sections 1 to 7 that needs no person. Pure.

    Args:
        request: the draft as a request.
        live: what is registered now.
        now: the moment.
        catalogue: which fields are open to which kind of body.
    """
    inquiry = Inquiry(request, live, now, catalogue)
    found = []
    for rule in query_rules(request.token.route):
        if rule.number in _OF_THE_PERSON:
            outcome = Outcome.NOT_ASKED
        else:
            outcome = Outcome.HOLDS if rule.holds(inquiry) else Outcome.FAILS
        remedy = rule.refusal.reason if outcome is Outcome.FAILS else None
        found.append(Explained(rule.number, rule.holds.__doc__ or "", outcome, remedy))
    failing = [one.rule for one in found if one.outcome is Outcome.FAILS]
    return Explanation(found, failing[0] if failing else None)


async def dry_run(
    connection: AsyncConnection, draft: Draft, *, now: datetime, today: date, catalogue: CatalogueFacts
) -> Explanation:
    """The same for a draft, on what is registered now; nothing is charged or written.

    Args:
        connection: in a transaction that reads.
        draft: the query.
        now: the moment.
        today: its legal date.
        catalogue: which fields are open to which kind of body.
    """
    request = await _request(connection, draft)
    live = await state.read(connection, [request], now=now, today=today)
    return explain(request, live.state_of(request), now, catalogue)


async def _request(connection: AsyncConnection, draft: Draft) -> QueryRequest:
    statutory = draft.route is Route.STATUTORY
    subject_id = None if statutory else await _consenting(connection, draft)
    return QueryRequest(
        body_id=draft.body_id,
        officer_id=draft.officer_id,
        purpose=draft.purpose,
        fields=draft.fields,
        case_reference=draft.case_reference,
        subject_hash=_NO_HASH,
        subject_id=subject_id,
        token=TokenGrant(
            route=draft.route,
            flow=Flow.CLIENT if statutory else Flow.CODE,
            grant_id=draft.grant_id,
            purpose=draft.purpose,
            fields=frozenset(draft.fields),
            subject_hash=_NO_HASH if statutory else None,
            subject_id=subject_id,
        ),
    )


async def _consenting(connection: AsyncConnection, draft: Draft) -> UUID:
    """Whose consent it is, among those to this body; it is told to nobody."""
    found: UUID | None = (
        await connection.execute(
            select(tables.consent.c.subject_id).where(
                tables.consent.c.body_id == draft.body_id, tables.consent.c.consent_id == draft.grant_id
            )
        )
    ).scalar_one_or_none()
    return found or _NOBODY
