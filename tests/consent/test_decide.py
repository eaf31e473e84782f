"""Every numbered rule both ways, and what no permit may ever lack."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

import consent
from consent import rules
from consent.decide import decide, decide_record
from consent.facts import NO_AUTHORIZATION, NO_BODY, NO_CONSENT, NO_OFFICER, RecordFacts, State
from consent.permit import (
    EVERY_DATE,
    Annotation,
    DataRange,
    Displayable,
    Flow,
    Permit,
    Refusal,
    Route,
    UseConditions,
    Withheld,
)
from tests.consent.examples import BANK_ASKS, CATALOGUE, COURT_ASKS, GRANT, NOW, OTHER, TODAY, Asked

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
Break = Callable[[Asked], Asked]


def decided(asked: Asked, *, repeat: bool = False) -> Permit | Refusal:
    return decide(asked.request, asked.state, asked.now, catalogue=CATALOGUE, repeat=repeat)


def refused_by(asked: Asked) -> str | None:
    decision = decided(asked)
    return decision.rule.removeprefix("RULES ") if isinstance(decision, Refusal) else None


BOTH: list[tuple[str, Break]] = [
    ("1.1", lambda ask: ask.knowing(body=NO_BODY)),
    ("1.1", lambda ask: ask.with_part("body", status="suspended")),
    ("1.1", lambda ask: ask.with_part("body", status="struck-off")),
    ("1.2", lambda ask: ask.with_part("body", purposes=frozenset({"supervision"}))),
    ("1.3", lambda ask: ask.with_part("body", capacities=frozenset({"furnish", "inspect"}))),
    ("1.4", lambda ask: ask.knowing(officer=NO_OFFICER)),
    ("1.4", lambda ask: ask.with_part("officer", status="stood-down")),
    ("1.4", lambda ask: ask.with_part("officer", body_id=OTHER)),
    ("2.2", lambda ask: ask.with_token(officer_id=OTHER)),
    ("4.4", lambda ask: ask.asking(case_reference="")),
    ("4.4", lambda ask: ask.asking(case_reference=" \t")),
    ("4.5", lambda ask: ask.with_token(case_reference="another")),
    ("5.1", lambda ask: ask.with_token(purpose="supervision")),
    ("6.1", lambda ask: ask.asking(fields=())),
    ("6.1", lambda ask: ask.asking(fields=("FIN.type", "FIN.type"))),
    ("6.2", lambda ask: ask.with_token(fields=frozenset({"FIN.type"}))),
    ("6.5", lambda ask: ask.with_part("body", kind="school")),
]
STATUTORY: list[tuple[str, Break]] = [
    ("2.1", lambda ask: ask.with_token(flow=Flow.CODE)),
    ("3.1", lambda ask: ask.knowing(authorization=NO_AUTHORIZATION)),
    ("3.1", lambda ask: ask.with_part("authorization", body_id=OTHER)),
    ("3.2", lambda ask: ask.with_part("authorization", state="proposed")),
    ("3.2", lambda ask: ask.with_part("authorization", state="revoked")),
    ("3.3", lambda ask: ask.with_part("authorization", valid_from=NOW + SECOND)),
    ("3.3", lambda ask: ask.with_part("authorization", valid_until=NOW)),
    ("3.4", lambda ask: ask.with_part("authorization", basis_from=TODAY + DAY)),
    ("3.4", lambda ask: ask.with_part("authorization", basis_until=TODAY - DAY)),
    ("4.1", lambda ask: ask.with_token(subject_hash=bytes(32))),
    ("4.1", lambda ask: ask.with_token(subject_hash=None)),
    ("4.2", lambda ask: ask.with_part("authorization", scope="named")),
    ("4.2", lambda ask: ask.with_part("authorization", scope="everyone")),
    ("4.6", lambda ask: ask.with_part("authorization", case_pattern="(2025)*")),
    ("4.6", lambda ask: ask.with_part("authorization", case_pattern=None)),
    ("5.2", lambda ask: ask.with_part("authorization", purposes=frozenset({"supervision"}))),
    ("5.3", lambda ask: ask.with_part("authorization", basis_purposes=frozenset({"supervision"}))),
    ("6.3", lambda ask: ask.with_part("authorization", fields=frozenset({"FIN.type"}))),
    ("6.4", lambda ask: ask.with_part("authorization", basis_categories=frozenset({"JUD"}))),
    ("7.1", lambda ask: ask.knowing(used_today=10)),
    ("7.2", lambda ask: ask.knowing(used_for_case=3)),
]
CONSENTED: list[tuple[str, Break]] = [
    ("2.1", lambda ask: ask.with_token(flow=Flow.CLIENT)),
    ("3.1", lambda ask: ask.knowing(consent=NO_CONSENT)),
    ("3.1", lambda ask: ask.with_part("consent", body_id=OTHER)),
    ("3.5", lambda ask: ask.with_part("consent", last_event="withdrawn")),
    ("3.5", lambda ask: ask.with_part("consent", last_event="unknown")),
    ("3.6", lambda ask: ask.with_part("consent", last_event="expired")),
    ("3.5", lambda ask: ask.with_part("consent", frozen=True)),
    ("3.6", lambda ask: ask.with_part("consent", granted_at=NOW + SECOND)),
    ("3.6", lambda ask: ask.with_part("consent", expires_at=NOW)),
    ("4.3", lambda ask: ask.asking(subject_id=OTHER)),
    ("4.3", lambda ask: ask.asking(subject_id=None)),
    ("4.3", lambda ask: ask.with_token(subject_id=OTHER)),
    ("4.3", lambda ask: ask.with_part("consent", subject_id=OTHER)),
    ("5.2", lambda ask: ask.with_part("consent", purpose="supervision")),
    ("6.3", lambda ask: ask.with_part("consent", fields=frozenset({"FIN.type"}))),
    ("7.3", lambda ask: ask.knowing(used_in_period=2)),
    ("7.4", lambda ask: ask.knowing(used=5)),
]
BROKEN = [
    pytest.param(rule, base, broken, id=f"{route}-{rule}-{number}")
    for route, base, table in (
        ("statutory", COURT_ASKS, BOTH + STATUTORY),
        ("consented", BANK_ASKS, BOTH + CONSENTED),
    )
    for number, (rule, broken) in enumerate(table)
]
STILL_PERMITTED: list[tuple[Asked, Break]] = [
    (COURT_ASKS, lambda ask: ask.with_token(officer_id=None, case_reference=None)),
    (COURT_ASKS, lambda ask: ask.with_part("authorization", valid_from=NOW)),
    (COURT_ASKS, lambda ask: ask.with_part("authorization", valid_until=NOW + SECOND)),
    (COURT_ASKS, lambda ask: ask.with_part("authorization", basis_from=TODAY, basis_until=TODAY)),
    (COURT_ASKS, lambda ask: ask.with_part("authorization", scope="any", case_pattern=None)),
    (
        COURT_ASKS,
        lambda ask: ask.with_part("authorization", scope="named", names_subject=True, case_pattern=None),
    ),
    (COURT_ASKS, lambda ask: ask.knowing(used_today=9, used_for_case=2)),
    (COURT_ASKS, lambda ask: ask.with_part("authorization", per_case=None).knowing(used_for_case=9)),
    (COURT_ASKS, lambda ask: ask.asking(subject_id=None)),
    (BANK_ASKS, lambda ask: ask.with_part("consent", granted_at=NOW, expires_at=NOW + SECOND)),
    (BANK_ASKS, lambda ask: ask.knowing(used=4, used_in_period=1)),
    (BANK_ASKS, lambda ask: ask.with_part("consent", max_uses=None).knowing(used=99)),
    (
        BANK_ASKS,
        lambda ask: ask.with_part("consent", frequency_times=None, frequency_days=None).knowing(
            used_in_period=4
        ),
    ),
]


def test_a_statutory_query_that_keeps_every_rule_is_permitted() -> None:
    assert decided(COURT_ASKS) == Permit(
        GRANT,
        "enforcement judge",
        UseConditions("court-enforcement", storable=True, retention_days=None),
        EVERY_DATE,
    )


def test_a_consented_query_that_keeps_every_rule_is_permitted_with_its_conditions() -> None:
    assert decided(BANK_ASKS) == Permit(
        GRANT,
        "loan officer",
        UseConditions("credit-granting", storable=True, retention_days=90),
        DataRange(date(2024, 1, 1), None),
    )


def test_a_consent_to_view_does_not_let_the_body_store() -> None:
    decision = decided(BANK_ASKS.with_part("consent", mode="view"))
    assert isinstance(decision, Permit)
    assert not decision.conditions.storable


@pytest.mark.parametrize(("rule", "base", "broken"), BROKEN)
def test_breaking_one_thing_is_refused_by_its_rule(rule: str, base: Asked, broken: Break) -> None:
    assert refused_by(base) is None
    assert refused_by(broken(base)) == rule


@pytest.mark.parametrize(("base", "changed"), STILL_PERMITTED)
def test_what_stays_within_a_rule_is_permitted(base: Asked, changed: Break) -> None:
    assert refused_by(changed(base)) is None


def test_every_rule_about_a_query_is_broken_above_on_its_route() -> None:
    for route, table in ((Route.STATUTORY, BOTH + STATUTORY), (Route.CONSENTED, BOTH + CONSENTED)):
        asked = consent.decide._QUERY_RULES[route]
        assert {rule for rule, _ in table} == {rule.refusal.rule.removeprefix("RULES ") for rule in asked}
    assert rules.consents_are_not_frozen in consent.decide._QUERY_RULES[Route.CONSENTED]


@pytest.mark.parametrize("route", Route)
def test_rules_are_asked_in_the_order_of_their_sections(route: Route) -> None:
    sections = [int(rule.number.partition(".")[0]) for rule in consent.decide._QUERY_RULES[route]]
    assert all(before <= after for before, after in pairwise(sections))


def test_the_first_broken_rule_is_the_one_that_is_named() -> None:
    asked = COURT_ASKS.with_part("body", status="suspended").asking(fields=(), purpose="marketing")
    assert refused_by(asked) == "1.1"


@pytest.mark.parametrize(
    "used_up",
    [
        COURT_ASKS.knowing(used_today=10, used_for_case=3),
        BANK_ASKS.knowing(used=5, used_in_period=2),
    ],
)
def test_a_repeat_passes_used_up_counters_and_nothing_else(used_up: Asked) -> None:
    assert isinstance(decided(used_up), Refusal)
    assert isinstance(decided(used_up, repeat=True), Permit)


@pytest.mark.parametrize(("rule", "base", "broken"), BROKEN)
def test_a_repeat_is_refused_by_every_other_rule(rule: str, base: Asked, broken: Break) -> None:
    decision = decided(broken(base), repeat=True)
    if rule.startswith("7."):
        assert isinstance(decision, Permit)
    else:
        assert isinstance(decision, Refusal)
        assert decision.rule == f"RULES {rule}"


@pytest.mark.parametrize("base", [COURT_ASKS, BANK_ASKS])
def test_a_token_of_one_route_does_not_serve_on_the_other(base: Asked) -> None:
    other = Route.CONSENTED if base.request.token.route is Route.STATUTORY else Route.STATUTORY
    assert refused_by(base.with_token(route=other)) == "2.1"
    flow = Flow.CODE if other is Route.CONSENTED else Flow.CLIENT
    assert refused_by(base.with_token(route=other, flow=flow)) == "3.1"


def test_a_refusal_never_repeats_what_was_asked() -> None:
    asked = COURT_ASKS.asking(
        case_reference="SECRET-1", purpose="SECRET-2", fields=("SECRET.three",)
    ).with_token(case_reference=None)
    decision = decided(asked)
    assert isinstance(decision, Refusal)
    assert "SECRET" not in decision.reason


ROUTES = st.sampled_from([COURT_ASKS, BANK_ASKS])
MOMENTS = st.integers(-60, 60).map(lambda days: NOW + days * DAY) | st.just(NOW)
NAMES = st.sampled_from(
    ["FIN.type", "FIN.status", "FIN.end", "FIN.amount_class", "JUD.performance", "TAX.status"]
)
FIELD_SETS = st.frozensets(NAMES, min_size=1)
PURPOSES = st.sampled_from(["court-enforcement", "credit-granting", "supervision"])
PERSONS = st.sampled_from([None, OTHER, COURT_ASKS.request.subject_id])
HASHES = st.sampled_from([COURT_ASKS.request.subject_hash, bytes(32), None])


@st.composite
def any_asked(draw: st.DrawFn) -> Asked:
    """Requests, grants and moments near the permitted ones, in any combination."""
    asked = draw(ROUTES)
    if draw(st.booleans()):
        asked = asked.at(draw(MOMENTS))
    if draw(st.booleans()):
        asked = asked.asking(
            fields=tuple(sorted(draw(FIELD_SETS))), purpose=draw(PURPOSES), subject_id=draw(PERSONS)
        )
    if draw(st.booleans()):
        asked = asked.with_token(
            purpose=draw(PURPOSES),
            fields=draw(FIELD_SETS),
            subject_hash=draw(HASHES),
            subject_id=draw(PERSONS),
        )
    if draw(st.booleans()):
        asked = asked.with_part("body", status=draw(st.sampled_from(["active", "suspended"])))
    if draw(st.booleans()):
        asked = asked.with_part(
            "authorization",
            state=draw(st.sampled_from(["approved", "proposed", "revoked"])),
            fields=draw(FIELD_SETS),
            purposes=draw(st.frozensets(PURPOSES)),
            scope=draw(st.sampled_from(["named", "case", "any"])),
            names_subject=draw(st.booleans()),
            valid_from=draw(MOMENTS),
            valid_until=draw(MOMENTS),
        )
    if draw(st.booleans()):
        asked = asked.with_part(
            "consent",
            last_event=draw(st.sampled_from(["granted", "withdrawn", "expired"])),
            fields=draw(FIELD_SETS),
            purpose=draw(PURPOSES),
            subject_id=draw(PERSONS) or OTHER,
            granted_at=draw(MOMENTS),
            expires_at=draw(MOMENTS),
        )
    return asked


def is_covered(asked: Asked) -> bool:
    """Whether a live grant covers purpose, fields, person and time: the rules said again in one breath."""
    request, token, state = asked.request, asked.request.token, asked.state
    if state.body.status != "active" or token.purpose != request.purpose:
        return False
    if token.route is Route.STATUTORY:
        grant = state.authorization
        return (
            grant.state == "approved"
            and grant.body_id == request.body_id
            and grant.valid_from <= asked.now < grant.valid_until
            and request.purpose in grant.purposes
            and set(request.fields) <= token.fields & grant.fields
            and token.subject_hash == request.subject_hash
            and (grant.scope != "named" or grant.names_subject)
        )
    given_consent = state.consent
    return (
        given_consent.last_event == "granted"
        and given_consent.body_id == request.body_id
        and given_consent.granted_at <= asked.now < given_consent.expires_at
        and request.purpose == given_consent.purpose
        and set(request.fields) <= token.fields & given_consent.fields
        and request.subject_id is not None
        and given_consent.subject_id == request.subject_id
    )


@given(asked=any_asked(), repeat=st.booleans())
def test_no_permit_without_a_live_grant_that_covers_purpose_fields_person_and_time(
    *, asked: Asked, repeat: bool
) -> None:
    assert is_covered(asked) or isinstance(decided(asked, repeat=repeat), Refusal)


def test_the_requests_tried_are_both_permitted_and_refused() -> None:
    assert isinstance(decided(find(any_asked(), is_covered)), Permit)
    assert isinstance(decided(find(any_asked(), lambda asked: not is_covered(asked))), Refusal)


@given(asked=any_asked(), repeat=st.booleans())
def test_never_after_revocation_withdrawal_or_suspension(*, asked: Asked, repeat: bool) -> None:
    for ended in (
        asked.with_part("body", status="suspended"),
        asked.with_part("officer", status="stood-down"),
        asked.with_part("authorization", state="revoked").with_part("consent", last_event="withdrawn"),
    ):
        assert isinstance(decided(ended, repeat=repeat), Refusal)


@given(asked=any_asked(), repeat=st.booleans(), late=st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_never_after_the_end_of_the_grant(*, asked: Asked, repeat: bool, late: timedelta) -> None:
    statutory = asked.request.token.route is Route.STATUTORY
    end = asked.state.authorization.valid_until if statutory else asked.state.consent.expires_at
    assert isinstance(decided(asked.at(end + late), repeat=repeat), Refusal)


@given(any_asked())
def test_what_is_in_no_register_permits_nothing(asked: Asked) -> None:
    assert isinstance(decided(asked.knowing(**{f.name: f.default for f in fields(State)[1:]})), Refusal)


@given(any_asked(), PERSONS)
def test_whether_a_person_is_known_changes_no_statutory_decision(asked: Asked, person: UUID | None) -> None:
    statutory = asked.with_token(route=Route.STATUTORY)
    assert decided(statutory) == decided(statutory.asking(subject_id=person))


SHOWN = RecordFacts(
    dated=date(2025, 5, 1),
    display_from=date(2025, 6, 1),
    display_until=date(2027, 6, 1),
)
WITHHELD = {
    "8.1": replace(SHOWN, never_shown=True),
    "8.2": replace(SHOWN, annulled=True),
    "8.3": replace(SHOWN, repaired=True),
    "8.4": replace(SHOWN, held_for_notice=True),
    "8.5": replace(SHOWN, sealed_juvenile=True),
    "8.6": replace(SHOWN, display_from=TODAY + DAY),
    "8.7": replace(SHOWN, display_until=TODAY - DAY),
    "8.8": replace(SHOWN, dated=date(2023, 12, 31)),
}
SINCE_2024 = DataRange(date(2024, 1, 1), date(2025, 12, 31))


@pytest.mark.parametrize("rule", WITHHELD)
def test_a_record_that_breaks_one_rule_is_withheld_by_it(rule: str) -> None:
    assert decide_record(SHOWN, TODAY, SINCE_2024) == Displayable(())
    assert decide_record(WITHHELD[rule], TODAY, SINCE_2024) == Withheld(f"RULES {rule}")


def test_every_rule_about_a_record_is_broken_above() -> None:
    assert [f"RULES {rule}" for rule in WITHHELD] == [
        rule.withheld.rule for rule in consent.decide._RECORD_RULES
    ]


@pytest.mark.parametrize(
    "shown",
    [
        replace(SHOWN, display_from=TODAY),
        replace(SHOWN, display_until=TODAY),
        replace(SHOWN, display_until=None),
    ],
)
def test_both_ends_of_the_display_period_are_shown(shown: RecordFacts) -> None:
    assert decide_record(shown, TODAY) == Displayable(())


def test_without_a_data_range_every_date_is_covered() -> None:
    assert decide_record(replace(SHOWN, dated=date(1990, 1, 1)), TODAY) == Displayable(())
    assert decide_record(replace(SHOWN, dated=date(2026, 1, 1)), TODAY, SINCE_2024) == Withheld("RULES 8.8")


def test_annotations_travel_with_the_record() -> None:
    annotations = (Annotation.OBJECTION, Annotation.STATEMENT)
    assert decide_record(replace(SHOWN, annotations=annotations), TODAY) == Displayable(annotations)


@given(st.dates(), st.dates(), st.dates() | st.none())
def test_a_record_is_never_shown_past_its_display(today: date, start: date, end: date | None) -> None:
    shown = isinstance(
        decide_record(replace(SHOWN, display_from=start, display_until=end), today), Displayable
    )
    assert shown == (start <= today and (end is None or today <= end))


def test_rules_md_states_every_rule_as_the_code_does() -> None:
    text = (Path(consent.__file__).parent / "RULES.md").read_text()
    written = {
        (number, statement)
        for number, statement in re.findall(r"^- \*\*(\d\.\d+)\*\*(?: \([SC]\))? (.+)$", text, re.MULTILINE)
        if not number.startswith("9.")
    }
    coded = {
        (
            rule.number if isinstance(rule, rules.Rule) else rule.withheld.rule.removeprefix("RULES "),
            rule.holds.__doc__,
        )
        for rule in vars(rules).values()
        if isinstance(rule, rules.Rule | rules.RecordRule)
    }
    assert written == coded


FLAWS: list[Break] = [
    lambda ask: ask,
    lambda ask: ask.at(NOW + 100 * DAY),
    lambda ask: ask.asking(subject_id=OTHER),
    lambda ask: ask.asking(case_reference=""),
    lambda ask: ask.asking(fields=("JUD.performance",)),
    lambda ask: ask.with_token(purpose="supervision"),
    lambda ask: ask.knowing(used=5, used_in_period=2),
    lambda ask: ask.with_part("body", status="suspended"),
]


@pytest.mark.parametrize("flawed", FLAWS)
def test_a_freeze_is_told_as_a_withdrawal_whatever_else_is_wrong(flawed: Break) -> None:
    frozen = flawed(BANK_ASKS.with_part("consent", frozen=True))
    withdrawn = flawed(BANK_ASKS.with_part("consent", last_event="withdrawn"))
    both = flawed(BANK_ASKS.with_part("consent", last_event="withdrawn", frozen=True))
    for repeat in (False, True):
        assert decided(frozen, repeat=repeat) == decided(withdrawn, repeat=repeat)
        assert decided(both, repeat=repeat) == decided(withdrawn, repeat=repeat)


def test_a_freeze_touches_no_statutory_query() -> None:
    frozen = COURT_ASKS.with_part("consent", frozen=True)
    assert isinstance(decided(frozen), Permit)


def test_rules_md_marks_the_routes_as_the_code_asks_them() -> None:
    text = (Path(consent.__file__).parent / "RULES.md").read_text()
    for route, letter in ((Route.STATUTORY, "S"), (Route.CONSENTED, "C")):
        written = re.findall(rf"^- \*\*([1-7]\.\d+)\*\*(?! \((?!{letter}))", text, re.MULTILINE)
        coded = [rule.number for rule in consent.decide._QUERY_RULES[route]]
        assert written == coded


def test_a_consent_is_the_persons_under_each_of_their_numbers_and_nobody_elses() -> None:
    """RULES 13.3."""
    asked = BANK_ASKS.asking(subject_id=OTHER)
    assert decided(asked) != decided(BANK_ASKS)
    consented = BANK_ASKS.request.subject_id
    assert consented is not None
    assert isinstance(decided(BANK_ASKS.asking(subject_id=OTHER, joined=frozenset({consented}))), Permit)
    for elsewhere in (
        asked.asking(joined=frozenset({UUID(int=77)})),
        BANK_ASKS.asking(joined=frozenset({OTHER})).with_token(subject_id=OTHER),
        BANK_ASKS.asking(joined=frozenset({OTHER})).with_part("consent", subject_id=OTHER),
    ):
        refused = decided(elsewhere)
        assert isinstance(refused, Refusal)
        assert refused.rule == "RULES 4.3"
