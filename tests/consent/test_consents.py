"""Consents: granted, drawn on, withdrawn; their records and their entries in the person's stream."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from access_log.entry import EntryType
from access_log.log import Log
from consent.bodies import add_body, suspend_body
from consent.consents import Consent, SignedRecord, grant, of_person, withdraw
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor, digest
from consent.permit import DataRange, Person
from consent.record import Frequency, Notice
from tests.consent.logged import newest, payloads
from tests.consent.registers import KEEPER, OPERATOR, CopySigner, new_body, new_consent, person

SIGNER = CopySigner()


async def granted(log: Log, one: Person, **changes: Any) -> SignedRecord:
    async with log.writing() as writing:
        body_id = changes.pop("body_id", None) or await add_body(writing, new_body(), OPERATOR)
        return await grant(writing, one, new_consent(body_id, **changes), KEEPER)


async def consents_of(log: Log, one: Person) -> list[Consent]:
    async with log.engine.connect() as connection:
        return await of_person(connection, one.subject_id)


def members(value: object) -> set[str]:
    """Every member name anywhere in a JSON value."""
    if isinstance(value, dict):
        return set(value) | {name for one in value.values() for name in members(one)}
    if isinstance(value, list):
        return {name for one in value for name in members(one)}
    return set()


async def test_a_consent_is_granted_with_a_signed_copy(log: Log) -> None:
    one = await person(log)
    record = await granted(log, one, frequency=Frequency(2, 7), data_range=DataRange(date(2024, 1, 1), None))
    (consent,) = await consents_of(log, one)
    assert (consent.consent_id, consent.body_name) == (record.consent_id, "Fictitious Bank")
    assert (consent.purpose, consent.fields) == ("credit-granting", ("FIN.type", "FIN.amount_class"))
    assert (consent.max_uses, consent.frequency, consent.uses) == (3, Frequency(2, 7), 0)
    assert consent.data_range == DataRange(date(2024, 1, 1), None)
    assert consent.expires_at - consent.granted_at == timedelta(days=30)
    (event,) = consent.events
    assert (event.number, event.event, event.record, event.copy) == (1, "granted", record.record, record.copy)
    assert SIGNER.opened(record.copy) == record.record.encode()


async def test_the_record_has_every_mandatory_field_of_the_specification(log: Log) -> None:
    one = await person(log)
    record = json.loads((await granted(log, one)).record)
    mandatory = {
        "schema_version record_id pii_principal_id",
        "privacy_notice language purpose pii_information pii_controllers storage_locations",
        "retention_period jurisdiction withdrawal_method pii_type",
        "party_id party_address party_name party_contact party_type",
        "event_time validity_duration entity_id event_type event_state",
    }
    assert {name for line in mandatory for name in line.split()} <= members(record)
    assert record["pii_principal_id"] == str(one.subject_id)
    (purpose,) = record["pii_processing"]["purposes"]
    assert [each["pii_type"] for each in purpose["pii_information"]] == ["FIN.type", "FIN.amount_class"]
    assert purpose["retention_period"] == "P90D"
    assert [party["party_name"] for party in record["party_identification"]] == [
        "Fictitious Bank",
        "Fictitious Registry",
    ]
    (event,) = record["event"]
    assert (event["event_state"], event["validity_duration"]) == ("given", "P30D")


async def test_the_entry_stands_in_the_persons_stream_and_names_the_record(log: Log) -> None:
    one = await person(log)
    record = await granted(log, one)
    assert (await payloads(log))[-1].type is EntryType.CONSENT
    values = await newest(log)
    assert values["event"] == "consent.granted"
    assert values["document"] == digest(record.record)
    assert values["object"] == str(record.consent_id)
    assert values["actor"] == f"subject:{one.subject_id}"
    assert values["subject"] == str(one.subject_id)
    assert values["seq"] == 1


async def test_withdrawing_adds_an_event_and_keeps_the_history(log: Log) -> None:
    one = await person(log)
    record = await granted(log, one)
    async with log.writing() as writing:
        taken_back = await withdraw(writing, one, record.consent_id, "not-needed", SIGNER)
    (consent,) = await consents_of(log, one)
    assert [event.event for event in consent.events] == ["granted", "withdrawn"]
    assert consent.events[0].record == record.record
    assert consent.events[1].reason == "not-needed"
    assert consent.state(writing.now) == "withdrawn"
    assert SIGNER.opened(taken_back.copy) == taken_back.record.encode()
    states = [event["event_state"] for event in json.loads(taken_back.record)["event"]]
    assert states == ["given", "withdrawn"]
    values = await newest(log)
    assert (values["event"], values["seq"], values["document"]) == (
        "consent.withdrawn",
        2,
        digest(taken_back.record),
    )


async def test_a_withdrawal_owes_no_reason_and_works_for_a_suspended_body(log: Log) -> None:
    one = await person(log)
    record = await granted(log, one)
    (consent,) = await consents_of(log, one)
    async with log.writing() as writing:
        await suspend_body(writing, consent.body_id, "sold data", OPERATOR)
        await withdraw(writing, one, record.consent_id, None, SIGNER)
    (consent,) = await consents_of(log, one)
    assert consent.events[1].reason is None


async def test_a_consent_is_withdrawn_once_and_by_its_person(log: Log) -> None:
    one, other = await person(log), await person(log)
    record = await granted(log, one)
    async with log.writing() as writing:
        with pytest.raises(UnknownError):
            await withdraw(writing, other, record.consent_id, None, SIGNER)
        with pytest.raises(UnknownError):
            await withdraw(writing, one, uuid4(), None, SIGNER)
        with pytest.raises(InvalidError):
            await withdraw(writing, one, record.consent_id, "because my number is 999999", SIGNER)
        await withdraw(writing, one, record.consent_id, None, SIGNER)
        with pytest.raises(StateError):
            await withdraw(writing, one, record.consent_id, None, SIGNER)


async def test_who_acts_for_the_person_is_named(log: Log) -> None:
    one = await person(log)
    clerk = Actor("operator:desk-3", "desk clerk")
    async with log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
        record = await grant(writing, one, new_consent(body_id), KEEPER, actor=clerk)
        await withdraw(writing, one, record.consent_id, None, SIGNER, actor=clerk)
    values = await newest(log)
    assert (values["actor"], values["actor_role"], values["subject"]) == (
        "operator:desk-3",
        "desk clerk",
        str(one.subject_id),
    )


async def test_the_state_a_person_reads(log: Log) -> None:
    one = await person(log)
    await granted(log, one, max_uses=1)
    (consent,) = await consents_of(log, one)
    assert consent.state(consent.granted_at) == "active"
    assert consent.state(consent.expires_at - timedelta(microseconds=1)) == "active"
    assert consent.state(consent.expires_at) == "expired"
    async with log.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO consent.consent_use VALUES (:subject, :consent, 1, 0, 1)"),
            {"subject": one.subject_id, "consent": consent.consent_id},
        )
    (consent,) = await consents_of(log, one)
    assert (consent.uses, consent.state(consent.granted_at)) == (1, "used-up")


async def test_a_person_sees_their_own_consents_the_newest_first(log: Log) -> None:
    one, other = await person(log), await person(log)
    first = await granted(log, one)
    (consent,) = await consents_of(log, one)
    second = await granted(log, one, body_id=consent.body_id, max_uses=None, frequency=Frequency(1, 1))
    await granted(log, other, body_id=consent.body_id)
    assert [each.consent_id for each in await consents_of(log, one)] == [second.consent_id, first.consent_id]
    assert await consents_of(log, Person(uuid4(), b"")) == []


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "credit-review"},
        {"fields": ()},
        {"fields": ("FIN.type", "FIN.type")},
        {"fields": ("FIN",)},
        {"validity_days": 0},
        {"validity_days": 1827},
        {"validity_days": 10**9},
        {"data_life_days": -1},
        {"notice": Notice("https://bank.example/notice", "3", b"short")},
        {"notice": Notice("", "3", bytes(32))},
        {"notice": Notice("https://bank.example/notice", "", bytes(32))},
        {"language": ""},
        {"max_uses": None},
        {"max_uses": 0},
        {"frequency": Frequency(0, 7)},
        {"frequency": Frequency(1, 0)},
        {"data_range": DataRange(date(2026, 1, 2), date(2026, 1, 1))},
    ],
)
async def test_a_consent_that_breaks_a_rule_is_not_granted(log: Log, change: dict[str, Any]) -> None:
    one = await person(log)
    with pytest.raises(InvalidError):
        await granted(log, one, **change)
    assert await consents_of(log, one) == []
    assert await payloads(log) == []


async def test_nobody_consents_to_an_unknown_or_suspended_body(log: Log) -> None:
    one = await person(log)
    async with log.writing() as writing:
        with pytest.raises(UnknownError):
            await grant(writing, one, new_consent(uuid4()), KEEPER)
        body_id = await add_body(writing, new_body(), OPERATOR)
        await suspend_body(writing, body_id, "sold data", OPERATOR)
        with pytest.raises(StateError):
            await grant(writing, one, new_consent(body_id), KEEPER)
    assert await consents_of(log, one) == []


def test_a_person_never_shows_their_stream() -> None:
    assert "stream" not in repr(Person(uuid4(), b"secret stream id"))
