"""Rules 12: each both ways, in their order, and as RULES.md states them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import consent
from consent import assistance
from consent.assistance import Clerk, Use, refusal
from consent.facts import NO_BODY, NO_OFFICER, BodyFacts, OfficerFacts
from tests.consent.examples import BODY, OFFICER, OTHER

HASH = bytes(range(32))
ALLOWED = Use(
    Clerk(BODY, OFFICER, "VISIT-7", "identity-card", HASH),
    BodyFacts("authority", "active", frozenset(), frozenset({"desk"})),
    OfficerFacts(BODY, "active", "desk clerk"),
    HASH,
    others=39,
    uses=59,
)


def changed(part: str, **changes: Any) -> Use:
    return replace(ALLOWED, **{part: replace(getattr(ALLOWED, part), **changes)})


BROKEN = [
    ("12.1", replace(ALLOWED, body=NO_BODY)),
    ("12.1", changed("body", status="suspended")),
    ("12.1", changed("body", status="struck-off")),
    ("12.2", changed("body", capacities=frozenset({"ask", "furnish", "inspect"}))),
    ("12.3", replace(ALLOWED, officer=NO_OFFICER)),
    ("12.3", changed("officer", status="stood-down")),
    ("12.3", changed("officer", body_id=OTHER)),
    ("12.4", changed("clerk", visit=" \t")),
    ("12.4", changed("clerk", document="")),
    ("12.5", replace(ALLOWED, subject_hash=bytes(32))),
    ("12.6", replace(ALLOWED, others=40)),
    ("12.7", replace(ALLOWED, uses=60)),
]


def refused_by(use: Use) -> str | None:
    refused = refusal(use)
    return None if refused is None else refused.rule.removeprefix("RULES ")


def test_what_keeps_every_rule_is_allowed() -> None:
    assert refusal(ALLOWED) is None
    assert refusal(replace(ALLOWED, others=0, uses=0)) is None
    assert refusal(changed("body", capacities=frozenset({"ask", "desk"}))) is None


@pytest.mark.parametrize(("rule", "use"), BROKEN)
def test_breaking_one_thing_is_refused_by_its_rule(rule: str, use: Use) -> None:
    assert refused_by(use) == rule


def test_every_rule_is_broken_above_and_asked_in_order() -> None:
    asked = [rule.refusal.rule.removeprefix("RULES ") for rule in assistance.RULES]
    assert asked == sorted(asked)
    assert {rule for rule, _ in BROKEN} == set(asked)


STATUSES = st.sampled_from(["active", "suspended", "struck-off", "stood-down", "unknown"])
CAPACITIES = st.frozensets(st.sampled_from(["ask", "furnish", "inspect", "desk"]))


@given(
    st.builds(BodyFacts, st.just("authority"), STATUSES, st.just(frozenset()), CAPACITIES),
    st.builds(OfficerFacts, st.sampled_from([BODY, OTHER]), STATUSES, st.just("clerk")),
    st.sampled_from([HASH, bytes(32)]),
    st.integers(0, 80),
    st.integers(0, 80),
)
def test_nothing_is_allowed_but_to_an_active_clerk_with_the_person(
    body: BodyFacts, officer: OfficerFacts, subject: bytes, others: int, uses: int
) -> None:
    may = (
        body.status == officer.status == "active"
        and "desk" in body.capacities
        and officer.body_id == BODY
        and subject == HASH
        and others < 40
        and uses < 60
    )
    assert (refusal(Use(ALLOWED.clerk, body, officer, subject, others, uses)) is None) == may


def test_rules_md_states_every_rule_as_the_code_does() -> None:
    text = (Path(consent.__file__).parent / "RULES.md").read_text()
    written = re.findall(r"^- \*\*(12\.\d+)\*\* (.+)$", text, re.MULTILINE)
    coded = [(rule.refusal.rule.removeprefix("RULES "), rule.holds.__doc__) for rule in assistance.RULES]
    assert written == coded
