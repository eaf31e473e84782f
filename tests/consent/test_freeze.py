"""Freezes: begun, ended, begun again; their entries in the person's stream."""

import pytest

from access_log.entry import EntryType
from access_log.log import Log
from consent import freeze
from consent.bodies import add_body
from consent.consents import grant
from consent.errors import FrozenError, StateError
from consent.journal import Actor
from tests.consent.logged import newest, payloads
from tests.consent.registers import KEEPER, OPERATOR, new_body, new_consent, person


async def test_a_freeze_stands_until_it_is_ended_and_its_history_stays(log: Log) -> None:
    one, other = await person(log), await person(log)
    for begin_or_end, stands in ((freeze.begin, True), (freeze.end, False), (freeze.begin, True)):
        async with log.writing() as writing:
            await begin_or_end(writing, one)
        async with log.engine.connect() as connection:
            assert await freeze.stands(connection, one.subject_id) is stands
            assert await freeze.stands(connection, other.subject_id) is False
    async with log.engine.connect() as connection:
        events = await freeze.history(connection, one.subject_id)
        assert await freeze.history(connection, other.subject_id) == []
    assert [(each.number, each.event) for each in events] == [(3, "begun"), (2, "ended"), (1, "begun")]


async def test_what_stands_already_is_not_done_again(log: Log) -> None:
    one = await person(log)
    async with log.writing() as writing:
        with pytest.raises(StateError):
            await freeze.end(writing, one)
        await freeze.begin(writing, one)
        with pytest.raises(StateError):
            await freeze.begin(writing, one)
    assert len(await payloads(log)) == 1


async def test_each_event_stands_in_the_persons_stream_with_who_did_it(log: Log) -> None:
    one = await person(log)
    async with log.writing() as writing:
        await freeze.begin(writing, one)
    assert (await payloads(log))[-1].type is EntryType.CONSENT
    values = await newest(log)
    assert (values["event"], values["actor"], values["actor_role"], values["subject"], values["seq"]) == (
        "freeze.begun",
        f"subject:{one.subject_id}",
        "subject",
        str(one.subject_id),
        1,
    )
    async with log.writing() as writing:
        await freeze.end(writing, one, actor=Actor("officer:desk-3", "desk clerk"))
    values = await newest(log)
    assert (values["event"], values["actor"], values["seq"]) == ("freeze.ended", "officer:desk-3", 2)


async def test_while_it_stands_nothing_can_be_granted(log: Log) -> None:
    one, other = await person(log), await person(log)
    async with log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
        await freeze.begin(writing, one)
        with pytest.raises(FrozenError):
            await grant(writing, one, new_consent(body_id), KEEPER)
        await grant(writing, other, new_consent(body_id), KEEPER)
        await freeze.end(writing, one)
        await grant(writing, one, new_consent(body_id), KEEPER)
