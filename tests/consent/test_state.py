"""The live state of a batch on a real database: what is read, what is charged, what is given back."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text

from access_log.log import Log, Writing
from consent import bases, bodies, consents, state, statutes
from consent.decide import decide
from consent.facts import NO_AUTHORIZATION, NO_BODY, NO_CONSENT, NO_OFFICER
from consent.permit import Flow, Permit, Person, QueryRequest, Route, TokenGrant
from consent.record import Frequency
from consent.statutes import NamedPersons, PersonsOfCases
from tests.consent.examples import CATALOGUE
from tests.consent.registers import KEEPER, OPERATOR, Registered, new_consent, person, register_all

HASH, OTHER_HASH = b"\xab" * 32, b"\xcd" * 32


def court_asks(known: Registered, **changes: Any) -> QueryRequest:
    values: dict[str, Any] = {
        "body_id": known.court,
        "officer_id": known.judge,
        "purpose": "court-enforcement",
        "fields": ("FIN.type",),
        "case_reference": "case 1",
        "subject_hash": HASH,
        "subject_id": uuid4(),
        "token": TokenGrant(
            route=Route.STATUTORY,
            flow=Flow.CLIENT,
            grant_id=known.authorization,
            purpose="court-enforcement",
            fields=frozenset({"FIN.type"}),
            subject_hash=HASH,
            officer_id=known.judge,
        ),
    }
    return QueryRequest(**{**values, **changes})


def bank_asks(known: Registered, subject_id: UUID, consent_id: UUID, **changes: Any) -> QueryRequest:
    values: dict[str, Any] = {
        "body_id": known.bank,
        "officer_id": known.clerk,
        "purpose": "credit-granting",
        "fields": ("FIN.type",),
        "case_reference": "loan 1",
        "subject_hash": HASH,
        "subject_id": subject_id,
        "token": TokenGrant(
            route=Route.CONSENTED,
            flow=Flow.CODE,
            grant_id=consent_id,
            purpose="credit-granting",
            fields=frozenset({"FIN.type"}),
            subject_id=subject_id,
        ),
    }
    return QueryRequest(**{**values, **changes})


async def granted(log: Log, known: Registered, one: Person, **changes: Any) -> UUID:
    async with log.writing() as writing:
        record = await consents.grant(writing, one, new_consent(known.bank, **changes), KEEPER)
    return record.consent_id


async def answer(
    writing: Writing, asks: Sequence[QueryRequest], *, now: datetime | None = None, today: date | None = None
) -> tuple[list[str | None], list[state.Charge]]:
    """What `disclose` does with a batch, as far as this room goes: the rule each is refused by, or None."""
    moment = now or writing.now
    live = await state.read(writing.connection, asks, now=moment, today=today or moment.date())
    rules: list[str | None] = []
    charges = []
    for ask in asks:
        decision = decide(ask, live.state_of(ask), moment, catalogue=CATALOGUE)
        if isinstance(decision, Permit):
            charges.append(live.charge(ask))
            rules.append(None)
        else:
            rules.append(decision.rule)
    await live.write_back(writing.connection)
    return rules, charges


async def answers(log: Log, asks: Sequence[QueryRequest], **when: Any) -> list[str | None]:
    async with log.writing() as writing:
        return (await answer(writing, asks, **when))[0]


async def uses(log: Log) -> list[tuple[Any, ...]]:
    async with log.engine.connect() as connection:
        authorization = await connection.execute(
            text("SELECT counts, uses FROM consent.authorization_use ORDER BY counts, uses")
        )
        consent = await connection.execute(
            text("SELECT uses, period, period_uses FROM consent.consent_use ORDER BY subject_id, consent_id")
        )
        return [tuple(row) for row in authorization] + [tuple(row) for row in consent]


async def test_the_state_is_what_the_registers_hold(log: Log) -> None:
    known = await register_all(log, scope=PersonsOfCases(pattern="case *"))
    one = await person(log)
    consent_id = await granted(log, known, one, frequency=Frequency(2, 7))
    asks = [court_asks(known), bank_asks(known, one.subject_id, consent_id)]
    async with log.writing() as writing:
        today = writing.now.date()
        live = await state.read(writing.connection, asks, now=writing.now, today=today)
        statutory, consented = (live.state_of(ask) for ask in asks)
    assert statutory.today == today
    assert (statutory.body.kind, statutory.body.status) == ("court", "active")
    assert statutory.body.purposes == {"court-enforcement"}
    assert (statutory.officer.body_id, statutory.officer.role) == (known.court, "enforcement judge")
    grant = statutory.authorization
    assert (grant.state, grant.scope, grant.case_pattern) == ("approved", "case", "case *")
    assert (grant.per_day, grant.per_case) == (3, 2)
    assert (grant.valid_from, grant.valid_until) == (known.terms.valid_from, known.terms.valid_until)
    assert grant.fields == {"FIN.type", "JUD.performance"}
    assert grant.basis_purposes == {"court-enforcement"}
    assert grant.basis_categories == {"FIN", "JUD"}
    assert (grant.basis_from, grant.basis_until) == (date(2020, 1, 1), None)
    assert grant.names_subject is False
    assert statutory.consent is NO_CONSENT
    given = consented.consent
    assert (given.subject_id, given.body_id, given.purpose) == (one.subject_id, known.bank, "credit-granting")
    assert (given.last_event, given.mode, given.max_uses) == ("granted", "view", 3)
    assert (given.frequency_times, given.frequency_days, given.data_life_days) == (2, 7, 90)
    assert given.expires_at - given.granted_at == timedelta(days=30)
    assert consented.authorization is NO_AUTHORIZATION
    assert consented.body.kind == "bank"


async def test_what_is_in_no_register_is_nothing(log: Log) -> None:
    known = await register_all(log)
    one = await person(log)
    consent_id = await granted(log, known, one)
    stranger = court_asks(known, body_id=uuid4(), officer_id=uuid4())
    asks = [
        replace(stranger, token=replace(stranger.token, grant_id=uuid4())),
        # An authorization's id in a consented token, a consent's in a statutory one, and another's consent.
        bank_asks(known, one.subject_id, known.authorization),
        court_asks(known, token=replace(stranger.token, grant_id=consent_id)),
        bank_asks(known, uuid4(), consent_id),
    ]
    async with log.writing() as writing:
        live = await state.read(writing.connection, asks, now=writing.now, today=writing.now.date())
        states = [live.state_of(ask) for ask in asks]
        charges = [live.charge(ask) for ask in asks]
        await live.write_back(writing.connection)
    assert (states[0].body, states[0].officer) == (NO_BODY, NO_OFFICER)
    assert all(each.authorization is NO_AUTHORIZATION for each in states)
    assert all(each.consent is NO_CONSENT for each in states)
    assert charges == [state.Charge()] * 4
    assert await uses(log) == []


async def test_an_officer_of_another_body_is_no_officer_here(log: Log) -> None:
    known = await register_all(log)
    ask = court_asks(known, officer_id=known.clerk)
    async with log.writing() as writing:
        live = await state.read(writing.connection, [ask], now=writing.now, today=writing.now.date())
        assert live.state_of(ask).officer is NO_OFFICER


async def test_an_empty_batch_reads_nothing(log: Log) -> None:
    assert await answers(log, []) == []


async def test_named_persons_are_reached_and_others_are_not(log: Log) -> None:
    known = await register_all(log, scope=NamedPersons(subjects=(HASH.hex(), "00" * 32)))
    named = court_asks(known)
    other = court_asks(known, subject_hash=OTHER_HASH, token=replace(named.token, subject_hash=OTHER_HASH))
    assert await answers(log, [other, named]) == ["RULES 4.2", None]


async def test_a_quota_is_charged_request_by_request_within_a_batch(log: Log) -> None:
    known = await register_all(log)
    asks = [court_asks(known, case_reference=f"case {at % 2}") for at in range(4)]
    assert await answers(log, asks) == [None, None, None, "RULES 7.1"]
    assert await uses(log) == [("case", 1), ("case", 2), ("day", 3)]
    assert await answers(log, [court_asks(known, case_reference="case 9")]) == ["RULES 7.1"]


async def test_a_new_day_has_a_new_quota_and_a_case_keeps_its_own(log: Log) -> None:
    known = await register_all(log)
    today, tomorrow = date(2026, 7, 1), date(2026, 7, 2)
    assert await answers(log, [court_asks(known), court_asks(known)], today=today) == [None, None]
    assert await answers(log, [court_asks(known)], today=tomorrow) == ["RULES 7.2"]
    other = [court_asks(known, case_reference=f"other {at}") for at in range(4)]
    assert await answers(log, other, today=tomorrow) == [None, None, None, "RULES 7.1"]


async def test_without_a_quota_for_cases_none_are_counted(log: Log) -> None:
    known = await register_all(log, per_case=None)
    assert await answers(log, [court_asks(known)]) == [None]
    assert await uses(log) == [("day", 1)]


async def test_the_case_reference_does_not_stand_in_the_counters(log: Log) -> None:
    known = await register_all(log)
    await answers(log, [court_asks(known)])
    async with log.engine.connect() as connection:
        keys = (
            await connection.execute(text("SELECT key FROM consent.authorization_use WHERE counts = 'case'"))
        ).scalars()
        assert [b"case" in key for key in keys] == [False]


async def test_three_requests_on_the_last_use_of_a_consent(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=1)
    asks = [bank_asks(known, one.subject_id, consent_id) for _ in range(3)]
    assert await answers(log, asks) == [None, "RULES 7.4", "RULES 7.4"]
    assert await answers(log, asks[:1]) == ["RULES 7.4"]
    (consent,) = await consents_of(log, one)
    assert consent.uses == 1


async def consents_of(log: Log, one: Person) -> list[consents.Consent]:
    async with log.engine.connect() as connection:
        return await consents.of_person(connection, one.subject_id)


async def test_frequency_counts_by_period_from_the_grant(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=4, frequency=Frequency(2, 7))
    (consent,) = await consents_of(log, one)
    asks = [bank_asks(known, one.subject_id, consent_id) for _ in range(3)]
    start, day = consent.granted_at, timedelta(days=1)
    assert await answers(log, asks, now=start) == [None, None, "RULES 7.3"]
    assert await answers(log, asks, now=start + 7 * day - timedelta(microseconds=1)) == ["RULES 7.3"] * 3
    assert await answers(log, asks[:1], now=start + 7 * day) == [None]
    assert await answers(log, asks[:1], now=start + 15 * day) == [None]
    assert await answers(log, asks[:1], now=start + 22 * day) == ["RULES 7.4"]
    assert await uses(log) == [(4, 2, 1)]


async def test_a_refused_request_is_charged_nothing(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one)
    asks = [
        court_asks(known, purpose="supervision"),
        bank_asks(known, one.subject_id, consent_id, fields=("FIN.end",)),
    ]
    assert await answers(log, asks) == ["RULES 1.2", "RULES 6.2"]
    assert await uses(log) == []


async def test_charges_are_given_back(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=5, frequency=Frequency(3, 7))
    asks = [court_asks(known), bank_asks(known, one.subject_id, consent_id)]
    asks += [court_asks(known), bank_asks(known, one.subject_id, consent_id)]
    async with log.writing() as writing:
        _, charges = await answer(writing, asks)
    assert await uses(log) == [("case", 2), ("day", 2), (2, 0, 2)]
    async with log.writing() as writing:
        await state.give_back(writing.connection, charges[:2])
    assert await uses(log) == [("case", 1), ("day", 1), (1, 0, 1)]
    async with log.writing() as writing:
        await state.give_back(writing.connection, charges[2:])
    assert await uses(log) == [("case", 0), ("day", 0), (0, 0, 0)]


async def test_what_is_given_back_late_leaves_the_present_period_alone(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=9, frequency=Frequency(3, 7))
    ask = bank_asks(known, one.subject_id, consent_id)
    async with log.writing() as writing:
        _, first = await answer(writing, [ask, replace(ask)])
    async with log.writing() as writing:
        _, second = await answer(writing, [ask, replace(ask)], now=writing.now + timedelta(days=8))
    assert await uses(log) == [(4, 1, 2)]
    async with log.writing() as writing:
        await state.give_back(writing.connection, [*first, *second[:1]])
    assert await uses(log) == [(1, 1, 1)]


async def test_a_batch_takes_one_statement_to_read_and_one_to_write(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=100)
    asks = [court_asks(known) for _ in range(8)]
    asks += [bank_asks(known, one.subject_id, consent_id) for _ in range(8)]
    statements: list[str] = []
    async with log.writing() as writing:
        event.listen(
            log.engine.sync_engine,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: statements.append(statement),
        )
        await answer(writing, asks)
        seen = list(statements)
    assert [statement.split()[0] for statement in seen] == ["SELECT", "WITH"]


Change = Callable[[Writing, Registered, Person, UUID], Any]
ENDINGS: dict[str, tuple[Change, list[str | None]]] = {
    "suspension of the court": (
        lambda writing, known, _one, _consent: bodies.suspend_body(writing, known.court, "why", OPERATOR),
        ["RULES 1.1", None],
    ),
    "striking off the bank": (
        lambda writing, known, _one, _consent: bodies.strike_off_body(writing, known.bank, "why", OPERATOR),
        [None, "RULES 1.1"],
    ),
    "an officer stands down": (
        lambda writing, known, _one, _consent: bodies.stand_down_officer(
            writing, known.judge, "left", OPERATOR
        ),
        ["RULES 1.4", None],
    ),
    "revocation": (
        lambda writing, known, _one, _consent: statutes.revoke_unsigned(
            writing, known.authorization, "misused", OPERATOR
        ),
        ["RULES 3.2", None],
    ),
    "end of the legal basis": (
        lambda writing, known, _one, _consent: bases.end_basis(
            writing, known.basis, date(2020, 1, 1), "superseded", OPERATOR
        ),
        ["RULES 3.4", None],
    ),
    "withdrawal": (
        lambda writing, _known, one, consent: consents.withdraw(writing, one, consent, None, KEEPER.signer),
        [None, "RULES 3.5"],
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_ends_takes_effect_on_the_next_query(log: Log, ending: str) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one)
    asks = [court_asks(known), bank_asks(known, one.subject_id, consent_id)]
    assert await answers(log, asks) == [None, None]
    change, after = ENDINGS[ending]
    async with log.writing() as writing:
        await change(writing, known, one, consent_id)
    assert await answers(log, asks) == after


async def test_time_ends_a_grant_without_anybodys_act(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one)
    asks = [court_asks(known), bank_asks(known, one.subject_id, consent_id)]
    async with log.writing() as writing:
        later = writing.now + timedelta(days=30)
    assert await answers(log, asks, now=later) == ["RULES 3.3", "RULES 3.6"]


async def test_a_withdrawal_that_races_queries_is_refused_from_its_commit_on(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=1000)
    order: list[str | None] = []

    async def query() -> None:
        async with log.writing() as writing:
            rules, _ = await answer(writing, [bank_asks(known, one.subject_id, consent_id)])
            order.extend(rules)

    async def withdrawal() -> None:
        async with log.writing() as writing:
            await consents.withdraw(writing, one, consent_id, None, KEEPER.signer)
            order.append("withdrawn")

    await asyncio.gather(*(query() for _ in range(6)), withdrawal(), *(query() for _ in range(6)))
    at = order.index("withdrawn")
    assert order[:at] == [None] * at
    assert order[at + 1 :] == ["RULES 3.5"] * (12 - at)


async def test_of_parallel_queries_exactly_the_allowed_number_is_permitted(log: Log) -> None:
    known, one = await register_all(log), await person(log)
    consent_id = await granted(log, known, one, max_uses=2)
    asked = [answers(log, [bank_asks(known, one.subject_id, consent_id) for _ in range(3)]) for _ in range(8)]
    rules = [rule for batch in await asyncio.gather(*asked) for rule in batch]
    assert rules.count(None) == 2
    assert rules.count("RULES 7.4") == 22
