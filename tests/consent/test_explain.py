"""A dry run says what the decision would say, rule by rule, and nothing that only a logged query may tell."""

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from sqlalchemy import text

from access_log.log import Log
from consent import consents, statutes
from consent.bodies import suspend_body
from consent.decide import decide, query_rules
from consent.explain import Draft, Explanation, Outcome, dry_run, explain
from consent.permit import Refusal, Route
from tests.consent.examples import BANK_ASKS, CATALOGUE, COURT_ASKS, Asked
from tests.consent.registers import KEEPER, OPERATOR, Registered, new_consent, person, register_all
from tests.consent.test_decide import any_asked

PERSONAL = {"3.7", "4.1", "4.2", "4.3"}


def explained(asked: Asked) -> Explanation:
    return explain(asked.request, asked.state, asked.now, CATALOGUE)


@pytest.mark.parametrize("asked", [COURT_ASKS, BANK_ASKS])
def test_every_rule_of_the_route_is_there_in_order_with_its_words(asked: Asked) -> None:
    found = explained(asked)
    asked_rules = query_rules(asked.request.token.route)
    assert [(one.rule, one.statement) for one in found.rules] == [
        (rule.number, rule.holds.__doc__) for rule in asked_rules
    ]
    assert found.refused_by is None
    for one in found.rules:
        assert one.outcome is (Outcome.NOT_ASKED if one.rule in PERSONAL else Outcome.HOLDS)


@given(any_asked())
def test_it_agrees_with_the_decision_but_for_the_person(asked: Asked) -> None:
    decision, found = (
        decide(asked.request, asked.state, asked.now, catalogue=CATALOGUE),
        explained(asked),
    )
    first = decision.rule.removeprefix("RULES ") if isinstance(decision, Refusal) else None
    if first is None:
        assert found.refused_by is None
    elif first not in PERSONAL and not asked.state.consent.frozen:
        assert found.refused_by == first
        (failing,) = [one for one in found.rules if one.rule == first]
        assert isinstance(decision, Refusal)
        assert failing.remedy == decision.reason


@given(any_asked())
def test_no_person_changes_what_it_says(asked: Asked) -> None:
    other = asked.asking(subject_id=uuid4(), subject_hash=bytes(32)).with_part(
        "authorization", names_subject=not asked.state.authorization.names_subject
    )
    frozen = other.with_part("consent", frozen=not asked.state.consent.frozen)
    assert explained(other) == explained(frozen) == explained(asked)


def draft(known: Registered) -> Draft:
    return Draft(
        known.court,
        known.judge,
        Route.STATUTORY,
        known.authorization,
        "court-enforcement",
        ("FIN.type",),
        "case 1",
    )


async def run(log: Log, one: Draft) -> Explanation:
    async with log.engine.connect() as connection, connection.begin():
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        (now,) = (await connection.execute(text("SELECT clock_timestamp()"))).one()
        return await dry_run(connection, one, now=now, today=now.date(), catalogue=CATALOGUE)


async def test_a_draft_is_held_against_what_is_registered_now(log: Log) -> None:
    known = await register_all(log)
    assert (await run(log, draft(known))).refused_by is None
    outside = await run(log, replace(draft(known), fields=("FIN.status",)))
    assert [one.rule for one in outside.rules if one.outcome is Outcome.FAILS] == ["6.3"]
    async with log.writing() as writing:
        await statutes.revoke_unsigned(writing, known.authorization, "over", OPERATOR)
    assert (await run(log, draft(known))).refused_by == "3.2"
    async with log.writing() as writing:
        await suspend_body(writing, known.court, "inquiry", OPERATOR)
    found = await run(log, draft(known))
    assert found.refused_by == "1.1"
    assert [one.rule for one in found.rules if one.outcome is Outcome.FAILS] == ["1.1", "3.2"]
    assert (await run(log, replace(draft(known), grant_id=uuid4()))).refused_by == "1.1"


async def test_a_consent_is_found_by_its_body_alone(log: Log) -> None:
    known = await register_all(log)
    one = await person(log)
    async with log.writing() as writing:
        given_consent = await consents.grant(writing, one, new_consent(known.bank), KEEPER)
    asked = Draft(
        known.bank,
        known.clerk,
        Route.CONSENTED,
        given_consent.consent_id,
        "credit-granting",
        ("FIN.type",),
        "1",
    )
    found = await run(log, asked)
    assert found.refused_by is None
    assert str(one.subject_id) not in str(found)
    assert (await run(log, replace(asked, grant_id=uuid4()))).refused_by == "3.1"
    court = replace(asked, body_id=known.court, officer_id=known.judge, purpose="court-enforcement")
    assert (await run(log, court)).refused_by == "3.1"
