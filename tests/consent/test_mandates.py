"""Mandates: given, used, ended; and what no mandate can be."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from access_log.entry import EntryType
from access_log.log import Log
from consent import mandates
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor
from consent.mandates import Mandate, NewMandate, Relation, Right
from consent.permit import Person
from tests.consent.logged import newest, payloads
from tests.consent.registers import person

HASH = bytes(range(32))


def new(**changes: Any) -> NewMandate:
    values: dict[str, Any] = {
        "kind": Relation.LAWYER,
        "rights": frozenset({Right.READ, Right.FREEZE}),
        "days": 90,
        "document_sha256": HASH,
    }
    return NewMandate(**{**values, **changes})


async def given(log: Log, one: Person, other: Person, **changes: Any) -> Mandate:
    async with log.writing() as writing:
        return await mandates.give(writing, one, other, new(**changes))


async def test_a_mandate_stands_for_its_days_and_both_find_it(log: Log) -> None:
    one, lawyer = await person(log), await person(log)
    made = await given(log, one, lawyer)
    assert made.expires_at - made.given_at == timedelta(days=90)
    assert made.stands(made.given_at)
    assert made.stands(made.expires_at - timedelta(microseconds=1))
    assert not made.stands(made.expires_at)
    assert not made.stands(made.given_at - timedelta(microseconds=1))
    async with log.engine.connect() as connection:
        assert await mandates.of_person(connection, one.subject_id) == [made]
        assert await mandates.of_representative(connection, lawyer.subject_id) == [made]
        assert await mandates.of_person(connection, lawyer.subject_id) == []
        assert await mandates.find(connection, lawyer.subject_id, made.mandate_id) == made
        assert await mandates.find(connection, one.subject_id, made.mandate_id) is None


async def test_each_event_stands_in_the_persons_stream_with_who_did_it(log: Log) -> None:
    one, lawyer = await person(log), await person(log)
    made = await given(log, one, lawyer)
    assert (await payloads(log))[-1].type is EntryType.RIGHTS
    values = await newest(log)
    terms = values["document"]
    assert (values["event"], values["actor"], values["object"], values["subject"]) == (
        "mandate.given",
        f"subject:{one.subject_id}",
        str(made.mandate_id),
        str(one.subject_id),
    )
    async with log.writing() as writing:
        await mandates.require_standing(writing, made)
        mandates.use(writing, one, made)
    values = await newest(log)
    assert (values["event"], values["actor"], values["actor_role"], values["subject"], values["seq"]) == (
        "mandate.used",
        f"subject:{lawyer.subject_id}",
        "representative",
        str(one.subject_id),
        2,
    )
    assert values["document"] == terms, "all three bind the same terms"


@pytest.mark.parametrize("by", ["person", "representative"])
async def test_either_ends_it_once_and_for_good(log: Log, by: str) -> None:
    one, lawyer = await person(log), await person(log)
    made = await given(log, one, lawyer)
    actor = Actor.subject(one.subject_id) if by == "person" else made.actor
    async with log.writing() as writing:
        await mandates.end(writing, one, made.mandate_id, actor)
    assert (await newest(log))["actor_role"] == ("subject" if by == "person" else "representative")
    async with log.engine.connect() as connection:
        (ended,) = await mandates.of_person(connection, one.subject_id)
    assert not ended.stands(writing.now)
    async with log.writing() as writing:
        with pytest.raises(StateError):
            await mandates.end(writing, one, made.mandate_id, actor)
        with pytest.raises(StateError):
            await mandates.require_standing(writing, made)


async def test_nobody_ends_anothers(log: Log) -> None:
    one, lawyer, stranger = await person(log), await person(log), await person(log)
    made = await given(log, one, lawyer)
    async with log.writing() as writing:
        for whose, mandate_id in ((stranger, made.mandate_id), (lawyer, made.mandate_id), (one, uuid4())):
            with pytest.raises(UnknownError):
                await mandates.end(writing, whose, mandate_id, Actor.subject(whose.subject_id))


@pytest.mark.parametrize(
    "change",
    [{"rights": frozenset()}, {"days": 0}, {"days": 1827}, {"days": 10**9}, {"document_sha256": b"short"}],
)
async def test_a_mandate_that_breaks_a_rule_is_not_given(log: Log, change: dict[str, Any]) -> None:
    one, lawyer = await person(log), await person(log)
    with pytest.raises(InvalidError):
        await given(log, one, lawyer, **change)
    assert await payloads(log) == []


async def test_nobody_represents_themselves_and_nobody_is_appointed_without_end(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, lawyer = await person(log), await person(log)
    with pytest.raises(InvalidError):
        await given(log, one, one)
    monkeypatch.setattr(mandates, "MOST", 2)
    first = await given(log, one, lawyer)
    await given(log, one, lawyer)
    with pytest.raises(StateError):
        await given(log, one, lawyer)
    async with log.writing() as writing:
        await mandates.end(writing, one, first.mandate_id, Actor.subject(one.subject_id))
    await given(log, one, lawyer)
