"""Rules 11: each both ways, in their order, and as RULES.md states them."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import consent
from consent import inspection
from consent.facts import NO_BODY, NO_OFFICER, BodyFacts, OfficerFacts
from consent.inspection import Inspector, Use, refusal
from tests.consent.examples import BODY, OFFICER, OTHER

ALLOWED = Use(
    Inspector(BODY, OFFICER, "INSPECTION-7"),
    BodyFacts("authority", "active", frozenset(), frozenset({"inspect"})),
    OfficerFacts(BODY, "active", "inspector"),
    timedelta(days=31),
)


def changed(part: str, **changes: Any) -> Use:
    return replace(ALLOWED, **{part: replace(getattr(ALLOWED, part), **changes)})


BROKEN = [
    ("11.1", replace(ALLOWED, body=NO_BODY)),
    ("11.1", changed("body", status="suspended")),
    ("11.1", changed("body", status="struck-off")),
    ("11.2", changed("body", capacities=frozenset({"ask", "furnish"}))),
    ("11.3", replace(ALLOWED, officer=NO_OFFICER)),
    ("11.3", changed("officer", status="stood-down")),
    ("11.3", changed("officer", body_id=OTHER)),
    ("11.4", changed("inspector", case_reference=" \t")),
    ("11.5", replace(ALLOWED, covers=timedelta(days=31, microseconds=1))),
]


def refused_by(use: Use) -> str | None:
    refused = refusal(use)
    return None if refused is None else refused.rule.removeprefix("RULES ")


def test_what_keeps_every_rule_is_allowed() -> None:
    assert refusal(ALLOWED) is None
    assert refusal(replace(ALLOWED, covers=timedelta(0))) is None
    assert refusal(changed("body", capacities=frozenset({"ask", "inspect"}))) is None


@pytest.mark.parametrize(("rule", "use"), BROKEN)
def test_breaking_one_thing_is_refused_by_its_rule(rule: str, use: Use) -> None:
    assert refused_by(use) == rule


def test_every_rule_is_broken_above_and_asked_in_order() -> None:
    asked = [rule.refusal.rule.removeprefix("RULES ") for rule in inspection.RULES]
    assert asked == sorted(asked)
    assert {rule for rule, _ in BROKEN} == set(asked)


STATUSES = st.sampled_from(["active", "suspended", "struck-off", "stood-down", "unknown"])
CAPACITIES = st.frozensets(st.sampled_from(["ask", "furnish", "inspect"]))


@given(
    st.builds(BodyFacts, st.just("authority"), STATUSES, st.just(frozenset()), CAPACITIES),
    st.builds(OfficerFacts, st.sampled_from([BODY, OTHER]), STATUSES, st.just("inspector")),
    st.text(max_size=3),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_nothing_is_allowed_but_to_an_active_inspector_with_a_case(
    body: BodyFacts, officer: OfficerFacts, case: str, covers: timedelta
) -> None:
    may = (
        body.status == officer.status == "active"
        and "inspect" in body.capacities
        and officer.body_id == BODY
        and bool(case.strip())
        and covers <= timedelta(days=31)
    )
    assert (refusal(Use(Inspector(BODY, OFFICER, case), body, officer, covers)) is None) == may


def test_rules_md_states_every_rule_as_the_code_does() -> None:
    text = (Path(consent.__file__).parent / "RULES.md").read_text()
    written = re.findall(r"^- \*\*(11\.\d+)\*\* (.+)$", text, re.MULTILINE)

    coded = [(rule.refusal.rule.removeprefix("RULES "), rule.holds.__doc__) for rule in inspection.RULES]
    assert written == coded
