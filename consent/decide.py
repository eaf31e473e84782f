"""The decision: two pure functions that ask the numbered rules in their order. No I/O, no clock.

`decide` asks sections 1 to 7 of RULES.md about a query and stops at the first rule that does not hold.
`decide_record` asks section 8 about each record of a permitted query. What no rule permits is refused.
"""

from datetime import date, datetime

from consent import rules
from consent.facts import CatalogueFacts, RecordFacts, State
from consent.permit import (
    EVERY_DATE,
    DataRange,
    Displayable,
    Permit,
    QueryRequest,
    Refusal,
    Route,
    UseConditions,
    Withheld,
)

_BODY_RULES = (
    rules.body_is_active,
    rules.body_is_certified_for_the_purpose,
    rules.body_may_ask,
    rules.officer_acts_for_the_body,
)
_STATUTORY_RULES = (
    *_BODY_RULES,
    rules.token_came_from_the_client,
    rules.token_is_for_the_officer,
    rules.authorization_is_the_bodys,
    rules.authorization_is_approved,
    rules.authorization_is_valid_now,
    rules.legal_basis_is_in_force,
    rules.token_is_for_the_person,
    rules.authorization_reaches_the_person,
    rules.case_is_stated,
    rules.token_is_for_the_case,
    rules.authorization_reaches_the_case,
    rules.token_is_for_the_purpose,
    rules.authorization_is_for_the_purpose,
    rules.legal_basis_supports_the_purpose,
    rules.fields_are_stated_once,
    rules.token_covers_the_fields,
    rules.authorization_covers_the_fields,
    rules.legal_basis_supports_the_categories,
    rules.catalogue_opens_the_fields,
)
_CONSENTED_RULES = (
    *_BODY_RULES,
    rules.token_came_from_the_person,
    rules.token_is_for_the_officer,
    rules.consent_is_to_the_body,
    rules.consent_stands,
    rules.consents_are_not_frozen,
    rules.consent_is_valid_now,
    rules.person_consented,
    rules.case_is_stated,
    rules.token_is_for_the_case,
    rules.token_is_for_the_purpose,
    rules.consent_is_for_the_purpose,
    rules.fields_are_stated_once,
    rules.token_covers_the_fields,
    rules.consent_covers_the_fields,
    rules.catalogue_opens_the_fields,
)
# A repeat under its idempotency key was charged already: it passes every rule but those of section 7.
_REPEAT_RULES = {Route.STATUTORY: _STATUTORY_RULES, Route.CONSENTED: _CONSENTED_RULES}
_QUERY_RULES = {
    Route.STATUTORY: (*_STATUTORY_RULES, rules.day_has_room, rules.case_has_room),
    Route.CONSENTED: (*_CONSENTED_RULES, rules.period_has_room, rules.consent_has_uses_left),
}
_RECORD_RULES = (
    rules.record_is_for_showing,
    rules.record_is_not_annulled,
    rules.record_is_not_repaired,
    rules.person_had_notice,
    rules.record_is_not_a_sealed_juvenile_one,
    rules.display_has_begun,
    rules.display_has_not_ended,
    rules.record_is_within_the_data_range,
)


def decide(
    request: QueryRequest,
    state: State,
    now: datetime,
    *,
    catalogue: CatalogueFacts,
    repeat: bool = False,
) -> Permit | Refusal:
    """Whether this query may be answered at this moment.

    Args:
        request: the query, its client, token and proof already verified.
        state: the live state, read under the log's head lock.
        now: the moment of decision, UTC.
        catalogue: which fields are open to which kind of body.
        repeat: whether the query repeats, under its idempotency key, one that was charged already.
    """
    inquiry = rules.Inquiry(request, state, now, catalogue)
    for rule in (_REPEAT_RULES if repeat else _QUERY_RULES)[request.token.route]:
        if not rule.holds(inquiry):
            return rule.refusal
    return _permit(request, state)


def query_rules(route: Route) -> tuple[rules.Rule, ...]:
    """The rules of sections 1 to 7 on a route, in the order they are asked in."""
    return _QUERY_RULES[route]


def decide_record(
    facts: RecordFacts, today: date, data_range: DataRange = EVERY_DATE
) -> Displayable | Withheld:
    """Whether one record of a permitted query may be shown, and what must travel with it (RULES 9).

    Args:
        facts: what is known of the record.
        today: the legal date, in the jurisdiction's time zone.
        data_range: that of the permit.
    """
    showing = rules.Showing(facts, today, data_range)
    for rule in _RECORD_RULES:
        if not rule.holds(showing):
            return rule.withheld
    return Displayable(facts.annotations)


def _permit(request: QueryRequest, state: State) -> Permit:
    if request.token.route is Route.STATUTORY:
        conditions = UseConditions(request.purpose, storable=True, retention_days=None)
        return Permit(request.token.grant_id, state.officer.role, conditions, EVERY_DATE)
    consent = state.consent
    return Permit(
        request.token.grant_id,
        state.officer.role,
        UseConditions(
            consent.purpose, storable=consent.mode == "store", retention_days=consent.data_life_days
        ),
        DataRange(consent.data_from, consent.data_until),
    )
