"""Merging identities and splitting them: what the rules refuse, and what stands in whose stream."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from access_log.log import Log
from consent import freeze, mandates, merging
from consent.endings import Kind, joining_of, standing
from consent.errors import StateError, UnknownError
from consent.journal import Actor
from consent.mandates import NewMandate, Relation, Right
from consent.merging import MOST, Grounds
from consent.permit import Person
from tests.consent.joined import Groups
from tests.consent.logged import payloads
from tests.consent.registers import person

ORDER = uuid4()
REGISTRARS = Actor("registrar:one", "registrar", (("order", str(ORDER)),))
GROUNDS = Grounds(REGISTRARS, "number-replaced", "ab" * 32)


async def known(log: Log, count: int) -> tuple[Groups, list[Person]]:
    people = [await person(log) for _ in range(count)]
    return Groups({one.subject_id: one for one in people}), people


async def merge(log: Log, groups: Groups, *pairs: Sequence[Person]) -> None:
    for one, other in pairs:
        async with log.writing() as writing:
            await merging.merge(writing, groups, one.subject_id, other.subject_id, GROUNDS)


async def split(log: Log, groups: Groups, one: Person) -> None:
    async with log.writing() as writing:
        await merging.split(writing, groups, one.subject_id, GROUNDS)


async def stated(log: Log) -> dict[tuple[str, str], list[str]]:
    """Of each event and subject, whom the newest entry names beside them."""
    found: list[dict[str, Any]] = [one.values() for one in await payloads(log)]
    return {
        (str(one["event"]), str(one["subject"])): list(one["object"]["with"])
        for one in found
        if one.get("event") in (merging.MERGED, merging.SPLIT) and one["subject"] is not None
    }


async def test_each_identity_reads_of_a_merge_and_of_who_was_split_off(log: Log) -> None:
    groups, (one, other, third) = await known(log, 3)
    await merge(log, groups, (one, other), (other, third))
    ids = [str(each.subject_id) for each in (one, other, third)]
    assert {who: set(beside) for (_, who), beside in (await stated(log)).items()} == {
        who: set(ids) - {who} for who in ids
    }
    await split(log, groups, third)
    said = await stated(log)
    assert set(said[merging.SPLIT, ids[2]]) == set(ids[:2])
    assert said[merging.SPLIT, ids[0]] == said[merging.SPLIT, ids[1]] == [ids[2]]
    newest = (await payloads(log))[-1].values()
    assert (newest["object"], newest["document"], newest["actor_role"]) == (
        {"order": str(ORDER), "reason": "number-replaced", "with": [ids[2]]},
        "ab" * 32,
        "registrar",
    )
    async with log.engine.connect() as connection:
        assert await standing(connection) == [
            (Kind.PERSON_SPLIT, joining_of(third.subject_id), third.subject_id)
        ]
    await split(log, groups, one)
    async with log.engine.connect() as connection:
        assert {subject for _, _, subject in await standing(connection)} == set(groups.people)
        history = await merging.history(connection, one.subject_id)
    assert [(each.event, len(each.others)) for each in history] == [
        ("merged", 1),
        ("merged", 2),
        ("split", 1),
        ("split", 1),
    ]
    entries = await payloads(log)
    assert [entries[each.entry_index].values()["event"] for each in history] == [
        *[merging.MERGED] * 2,
        *[merging.SPLIT] * 2,
    ]
    assert {each.order_id for each in history} == {ORDER}


async def test_what_cannot_be_merged_or_split_is_refused_and_writes_nothing(log: Log) -> None:
    groups, (one, other, alone) = await known(log, 3)
    await merge(log, groups, (one, other))
    before = len(await payloads(log))
    erased = uuid4()
    async with log.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO consent.erasure (subject_id, with_log, erased_at) VALUES (:id, false, now())"),
            {"id": erased},
        )
    for other_id, wrong, words in (
        (one.subject_id, StateError, "the same identity"),
        (other.subject_id, StateError, "joined already"),
        (erased, StateError, "was erased"),
        (UUID(int=7), UnknownError, "knows nobody"),
    ):
        with pytest.raises(wrong, match=words):
            async with log.writing() as writing:
                await merging.merge(writing, groups, one.subject_id, other_id, GROUNDS)
    with pytest.raises(StateError, match="joined with no other"):
        await split(log, groups, alone)
    assert len(await payloads(log)) == before
    assert groups.groups == [{one.subject_id, other.subject_id}]


async def test_who_represents_the_other_is_somebody_else(log: Log) -> None:
    groups, (one, other) = await known(log, 2)
    new = NewMandate(Relation.RELATIVE, frozenset({Right.READ}), 1)
    async with log.writing() as writing:
        made = await mandates.give(writing, one, other, new)
    with pytest.raises(StateError, match="represents the other"):
        await merge(log, groups, (one, other))
    assert made.expires_at - made.given_at == timedelta(days=1)
    async with log.writing() as writing:
        await mandates.end(writing, one, made.mandate_id, Actor.subject(one.subject_id))
    await merge(log, groups, (one, other))


async def test_identities_of_one_person_are_few(log: Log) -> None:
    groups, people = await known(log, MOST + 1)
    first, *others = people
    await merge(log, groups, *((first, each) for each in others[:-1]))
    with pytest.raises(StateError, match=f"more than {MOST}"):
        await merge(log, groups, (others[-1], first))


async def test_a_freeze_of_one_is_written_for_all_and_outlives_the_split(log: Log) -> None:
    groups, (one, other) = await known(log, 2)
    async with log.writing() as writing:
        await freeze.begin(writing, other)
    await merge(log, groups, (one, other))
    newest = (await payloads(log))[-1].values()
    assert (newest["event"], newest["actor_role"], newest["subject"]) == (
        "freeze.begun",
        "vault",
        str(one.subject_id),
    )
    await split(log, groups, one)
    async with log.engine.connect() as connection:
        assert await freeze.stands(connection, one.subject_id)
        assert await freeze.stands(connection, other.subject_id)
