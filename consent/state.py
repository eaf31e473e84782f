"""The live state of a batch of queries, and the counters it charges.

Called under the log's head lock, which every writer takes first: nobody else changes what is read here until
the batch has committed, and the counters need no lock of their own. One statement reads for the whole batch.
Requests are charged one after the other in memory, so that three requests on a consent's last use find it
used after the first; each changed counter is written back once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import cases
from consent.facts import (
    NO_AUTHORIZATION,
    NO_BODY,
    NO_CONSENT,
    NO_OFFICER,
    AuthorizationFacts,
    BodyFacts,
    ConsentFacts,
    DelayedNotice,
    OfficerFacts,
    State,
)
from consent.permit import QueryRequest, Route
from consent.rates import Buckets, Rates, Wait

AuthorizationCounter = tuple[UUID, str, bytes]
"""Authorization, what it counts (`day` or `case`), and the day or the digest of the case."""

ConsentCounter = tuple[UUID, UUID]
"""Person and consent."""

_GRANTS = text(
    "SELECT b.kind, b.status, b.purposes, b.capacities,"
    " o.body_id, o.status, o.role,"
    " a.body_id, a.state, a.purposes, a.fields, l.purposes, l.categories,"
    " a.scope, ask.subject_hash = ANY(a.subjects), a.case_pattern, a.per_day, a.per_case,"
    " a.valid_from, a.valid_until, l.in_force_from, l.in_force_until,"
    # One registrar alone delays no notice: what was never approved does not count, what was revoked does.
    " CASE WHEN a.approved_at IS NOT NULL THEN a.court_reference END, a.notice_until,"
    " c.subject_id, c.body_id, c.purpose, c.fields, c.mode,"
    " (SELECT e.event FROM consent.consent_event e WHERE e.subject_id = c.subject_id"
    " AND e.consent_id = c.consent_id ORDER BY e.number DESC LIMIT 1),"
    " c.granted_at, c.expires_at, c.max_uses, c.frequency_times, c.frequency_days,"
    " c.data_from, c.data_until, c.data_life_days,"
    " COALESCE((SELECT f.event FROM consent.freeze_event f WHERE f.subject_id = c.subject_id"
    " ORDER BY f.number DESC LIMIT 1) = 'begun', false),"
    " ud.uses, uc.uses, cu.uses, cu.period, cu.period_uses, rb.full_at, ro.full_at"
    " FROM unnest(CAST(:bodies AS uuid[]), CAST(:officers AS uuid[]), CAST(:hashes AS bytea[]),"
    " CAST(:authorizations AS uuid[]), CAST(:subjects AS uuid[]), CAST(:consents AS uuid[]),"
    " CAST(:cases AS bytea[])) WITH ORDINALITY AS ask"
    " (body_id, officer_id, subject_hash, authorization_id, subject_id, consent_id, case_key, place)"
    " LEFT JOIN consent.body b ON b.body_id = ask.body_id"
    " LEFT JOIN consent.officer o ON o.officer_id = ask.officer_id AND o.body_id = ask.body_id"
    ' LEFT JOIN consent."authorization" a ON a.authorization_id = ask.authorization_id'
    " LEFT JOIN consent.legal_basis l ON l.basis_id = a.basis_id"
    " LEFT JOIN consent.consent c ON c.subject_id = ask.subject_id AND c.consent_id = ask.consent_id"
    " LEFT JOIN consent.authorization_use ud ON ud.authorization_id = ask.authorization_id"
    " AND ud.counts = 'day' AND ud.key = :day"
    " LEFT JOIN consent.authorization_use uc ON uc.authorization_id = ask.authorization_id"
    " AND uc.counts = 'case' AND uc.key = ask.case_key"
    " LEFT JOIN consent.consent_use cu ON cu.subject_id = ask.subject_id AND cu.consent_id = ask.consent_id"
    " LEFT JOIN consent.asking_rate rb ON rb.whose = b.body_id"
    " LEFT JOIN consent.asking_rate ro ON ro.whose = o.officer_id"
    " ORDER BY ask.place"
)
# Where the columns of each part begin; they stand in the order of the part's facts.
_BODY, _OFFICER, _AUTHORIZATION, _CONSENT, _USES, _RATES = 0, 4, 7, 24, 39, 44
_WRITE_BACK = text(
    "WITH of_authorizations AS (INSERT INTO consent.authorization_use (authorization_id, counts, key, uses)"
    " SELECT authorization_id, counts, key, uses FROM unnest(CAST(:authorizations AS uuid[]),"
    " CAST(:counts AS text[]), CAST(:keys AS bytea[]), CAST(:uses AS integer[]))"
    " AS t (authorization_id, counts, key, uses) ORDER BY authorization_id, counts, key"
    " ON CONFLICT (authorization_id, counts, key) DO UPDATE SET uses = excluded.uses),"
    " of_rates AS (INSERT INTO consent.asking_rate (whose, full_at)"
    " SELECT whose, full_at FROM unnest(CAST(:buckets AS uuid[]), CAST(:full_at AS timestamptz[]))"
    " AS t (whose, full_at) ORDER BY whose"
    " ON CONFLICT (whose) DO UPDATE SET full_at = excluded.full_at)"
    " INSERT INTO consent.consent_use (subject_id, consent_id, uses, period, period_uses)"
    " SELECT subject_id, consent_id, uses, period, period_uses FROM unnest(CAST(:subjects AS uuid[]),"
    " CAST(:consents AS uuid[]), CAST(:totals AS integer[]), CAST(:periods AS integer[]),"
    " CAST(:period_uses AS integer[])) AS t (subject_id, consent_id, uses, period, period_uses)"
    " ORDER BY subject_id, consent_id"
    " ON CONFLICT (subject_id, consent_id) DO UPDATE"
    " SET uses = excluded.uses, period = excluded.period, period_uses = excluded.period_uses"
)
_GIVE_BACK = text(
    "WITH of_authorizations AS (UPDATE consent.authorization_use u SET uses = u.uses - g.uses"
    " FROM (SELECT authorization_id, counts, key, count(*) AS uses FROM unnest("
    "CAST(:authorizations AS uuid[]), CAST(:counts AS text[]), CAST(:keys AS bytea[]))"
    " AS t (authorization_id, counts, key) GROUP BY authorization_id, counts, key) g"
    " WHERE (u.authorization_id, u.counts, u.key) = (g.authorization_id, g.counts, g.key))"
    " UPDATE consent.consent_use u SET uses = u.uses - g.uses, period_uses = u.period_uses - g.period_uses"
    " FROM (SELECT t.subject_id, t.consent_id, count(*) AS uses,"
    " count(*) FILTER (WHERE t.period = c.period) AS period_uses FROM unnest(CAST(:subjects AS uuid[]),"
    " CAST(:consents AS uuid[]), CAST(:periods AS integer[])) AS t (subject_id, consent_id, period)"
    " JOIN consent.consent_use c ON c.subject_id = t.subject_id AND c.consent_id = t.consent_id"
    " GROUP BY t.subject_id, t.consent_id) g"
    " WHERE u.subject_id = g.subject_id AND u.consent_id = g.consent_id"
)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one permitted query was charged, so that it can be given back when nothing was released.

    Attributes:
        authorization: its counters, if it rested on an authorization.
        consent: its counter, if it rested on a consent.
        period: the frequency period of the consent that was charged.
    """

    authorization: tuple[AuthorizationCounter, ...] = ()
    consent: ConsentCounter | None = None
    period: int = 0


@dataclass(frozen=True, slots=True)
class _ConsentUse:
    uses: int
    period: int
    period_uses: int


_UNUSED = _ConsentUse(0, 0, 0)


class Live:
    """The live state of a batch. Make it with `read`."""

    def __init__(
        self, asks: Sequence[QueryRequest], rows: Sequence[Row[Any]], now: datetime, today: date
    ) -> None:
        self._states: dict[QueryRequest, State] = {}
        self._charges: dict[QueryRequest, Charge] = {}
        self._authorization_uses: dict[AuthorizationCounter, int] = {}
        self._consent_uses: dict[ConsentCounter, _ConsentUse] = {}
        self._changed: set[AuthorizationCounter | ConsentCounter] = set()
        self._buckets = Buckets()
        for ask, row in zip(asks, rows, strict=True):
            state = _state(row, today)
            charge = _charge(ask, state, now)
            self._states[ask], self._charges[ask] = state, charge
            self._count(charge, row[_USES:_RATES])
            for whose, full_at in zip((ask.body_id, ask.officer_id), row[_RATES:], strict=True):
                self._buckets.put(whose, full_at)

    def _count(self, charge: Charge, uses: Sequence[Any]) -> None:
        """Takes over what the counters of one request stand at."""
        for counter, used in zip(charge.authorization, uses, strict=False):
            if used is not None:
                self._authorization_uses[counter] = used
        if charge.consent and uses[2] is not None:
            self._consent_uses[charge.consent] = _ConsentUse(*uses[2:])

    def state_of(self, ask: QueryRequest) -> State:
        """What this request is to be decided by, charges of the requests before it included."""
        state, charge = self._states[ask], self._charges[ask]
        if charge.authorization:
            uses = self._authorization_uses
            day, *case = charge.authorization
            return replace(
                state,
                used_today=uses.get(day, 0),
                used_for_case=uses.get(case[0], 0) if case else 0,
            )
        if charge.consent:
            use = self._consent_uses.get(charge.consent, _UNUSED)
            in_period = use.period_uses if use.period == charge.period else 0
            return replace(state, used=use.uses, used_in_period=in_period)
        return state

    def take_turn(self, ask: QueryRequest, rates: Rates, now: datetime) -> Wait | None:
        """Takes a request's turn from its body and its officer; how long to wait where one has none left.

        An officer who is in no register has no bucket: whoever names any would make one each time.
        """
        state = self._states[ask]
        if state.body is NO_BODY:
            return None
        taken: tuple[tuple[UUID, int], ...] = ((ask.body_id, rates.body),)
        if state.officer is not NO_OFFICER:
            taken += ((ask.officer_id, rates.officer),)
        return self._buckets.take(taken, now)

    def charge(self, ask: QueryRequest) -> Charge:
        """Charges a permitted request in memory; call it once for each permit that is no repeat."""
        charge = self._charges[ask]
        for counter in charge.authorization:
            self._authorization_uses[counter] = self._authorization_uses.get(counter, 0) + 1
            self._changed.add(counter)
        if charge.consent:
            use = self._consent_uses.get(charge.consent, _UNUSED)
            in_period = use.period_uses if use.period == charge.period else 0
            self._consent_uses[charge.consent] = _ConsentUse(use.uses + 1, charge.period, in_period + 1)
            self._changed.add(charge.consent)
        return charge

    async def write_back(self, connection: AsyncConnection) -> None:
        """Writes each changed counter and bucket once, in the transaction that holds the head lock."""
        buckets = self._buckets.changed
        if not self._changed and not buckets:
            return
        authorizations = [
            (key, uses) for key, uses in self._authorization_uses.items() if key in self._changed
        ]
        consents = [(key, use) for key, use in self._consent_uses.items() if key in self._changed]
        await connection.execute(
            _WRITE_BACK,
            {
                **_columns(key for key, _ in authorizations),
                "uses": [uses for _, uses in authorizations],
                "subjects": [key[0] for key, _ in consents],
                "consents": [key[1] for key, _ in consents],
                "totals": [use.uses for _, use in consents],
                "periods": [use.period for _, use in consents],
                "period_uses": [use.period_uses for _, use in consents],
                "buckets": list(buckets),
                "full_at": list(buckets.values()),
            },
        )
        self._changed.clear()
        buckets.clear()


async def read(
    connection: AsyncConnection, asks: Sequence[QueryRequest], *, now: datetime, today: date
) -> Live:
    """Reads the live state of a batch, counters included.

    Args:
        connection: the transaction that holds the head lock.
        asks: the batch; each request once.
        now: the moment of decision, UTC.
        today: its legal date, in the jurisdiction's time zone; quotas count by it.
    """
    statutory = [ask.token.route is Route.STATUTORY for ask in asks]
    rows = await connection.execute(
        _GRANTS,
        {
            "bodies": [ask.body_id for ask in asks],
            "officers": [ask.officer_id for ask in asks],
            "hashes": [ask.subject_hash for ask in asks],
            "authorizations": [
                ask.token.grant_id if is_statutory else None
                for ask, is_statutory in zip(asks, statutory, strict=True)
            ],
            # The token's person, not the one asked about: whether they are the same is for a rule to say.
            "subjects": [ask.token.subject_id for ask in asks],
            "consents": [
                None if is_statutory else ask.token.grant_id
                for ask, is_statutory in zip(asks, statutory, strict=True)
            ],
            "cases": [
                cases.counter_key(ask.token.grant_id, ask.case_reference) if is_statutory else None
                for ask, is_statutory in zip(asks, statutory, strict=True)
            ],
            "day": _day_key(today),
        },
    )
    return Live(asks, rows.all(), now, today)


async def give_back(connection: AsyncConnection, charges: Sequence[Charge]) -> None:
    """Takes charges back whose answers were never released; an entry of type 10 states each.

    Args:
        connection: a transaction that holds the head lock.
        charges: as `Live.charge` returned them, however long ago.
    """
    consents = [(charge.consent, charge.period) for charge in charges if charge.consent]
    await connection.execute(
        _GIVE_BACK,
        {
            **_columns(key for charge in charges for key in charge.authorization),
            "subjects": [key[0] for key, _ in consents],
            "consents": [key[1] for key, _ in consents],
            "periods": [period for _, period in consents],
        },
    )


def _columns(counters: Iterable[AuthorizationCounter]) -> dict[str, list[Any]]:
    rows = list(counters)
    return {
        "authorizations": [row[0] for row in rows],
        "counts": [row[1] for row in rows],
        "keys": [row[2] for row in rows],
    }


def _charge(ask: QueryRequest, state: State, now: datetime) -> Charge:
    """Which counters a permit for this request will charge."""
    grant_id = ask.token.grant_id
    if state.authorization is not NO_AUTHORIZATION:
        day = (grant_id, "day", _day_key(state.today))
        if state.authorization.per_case is None:
            return Charge((day,))
        return Charge((day, (grant_id, "case", cases.counter_key(grant_id, ask.case_reference))))
    consent = state.consent
    if consent is NO_CONSENT:
        return Charge()
    period = 0
    if consent.frequency_days is not None:
        period = max(0, (now - consent.granted_at) // timedelta(days=consent.frequency_days))
    return Charge((), (consent.subject_id, grant_id), period)


def _day_key(today: date) -> bytes:
    return today.isoformat().encode()


def _state(row: Row[Any], today: date) -> State:
    return State(today, _body(row), _officer(row), _authorization(row), _consent(row))


def _body(row: Row[Any]) -> BodyFacts:
    kind, status, purposes, capacities = row[_BODY:_OFFICER]
    return NO_BODY if kind is None else BodyFacts(kind, status, frozenset(purposes), frozenset(capacities))


def _officer(row: Row[Any]) -> OfficerFacts:
    return NO_OFFICER if row[_OFFICER] is None else OfficerFacts(*row[_OFFICER:_AUTHORIZATION])


def _authorization(row: Row[Any]) -> AuthorizationFacts:
    body_id, state, purposes, fields, basis_purposes, basis_categories, *others = row[_AUTHORIZATION:_CONSENT]
    if body_id is None:
        return NO_AUTHORIZATION
    *others, court_reference, notice_until = others
    others.append(None if court_reference is None else DelayedNotice(court_reference, notice_until))
    return AuthorizationFacts(
        body_id,
        state,
        frozenset(purposes),
        frozenset(fields),
        frozenset(basis_purposes),
        frozenset(basis_categories),
        *others,
    )


def _consent(row: Row[Any]) -> ConsentFacts:
    subject_id, body_id, purpose, fields, *others = row[_CONSENT:_USES]
    if subject_id is None:
        return NO_CONSENT
    return ConsentFacts(subject_id, body_id, purpose, frozenset(fields), *others)
