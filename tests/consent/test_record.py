"""Consent records hold to the schema in the repository, and the schema to the specification."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from consent.bodies import Body, Contact
from consent.permit import EVERY_DATE, DataRange, Person
from consent.record import (
    EXPIRED,
    GIVEN,
    SCHEMA,
    WITHDRAWN,
    Frequency,
    NewConsent,
    Notice,
    add_event,
    first_record,
)
from tests.consent.registers import KEEPER, new_consent

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
MANDATORY = [
    "schema_version",
    "record_id",
    "pii_principal_id",
    "privacy_notice",
    "language",
    "purpose",
    "pii_information",
    "pii_controllers",
    "storage_locations",
    "retention_period",
    "jurisdiction",
    "withdrawal_method",
    "pii_type",
    "party_id",
    "party_address",
    "party_name",
    "party_contact",
    "party_type",
    "event_time",
    "validity_duration",
    "entity_id",
    "event_type",
    "event_state",
]
BANK = Body(
    body_id=UUID(int=1),
    uscc="91999999MA00000079",
    name="Fictitious Bank",
    kind="bank",
    contact=Contact("1 Test Street", "privacy@bank.example"),
    jwks={"keys": []},
    jwks_uri=None,
    jwks_fetched_at=None,
    jwks_tried_at=None,
    redirect_uris=(),
    purposes=frozenset({"credit-granting"}),
    capacities=frozenset({"ask"}),
    status="active",
    status_reason=None,
    status_since=NOW,
    appeal=None,
    registered_at=NOW,
)


def record(new: NewConsent | None = None, *states: str) -> dict[str, Any]:
    """A record with these events."""
    made = first_record(uuid4(), Person(uuid4(), b""), new or new_consent(BANK.body_id), BANK, KEEPER)
    for state in states or (GIVEN,):
        add_event(made, state, "subject:1", NOW)
    return made


new_consents = st.builds(
    NewConsent,
    body_id=st.just(BANK.body_id),
    purpose=st.just("credit-granting"),
    fields=st.sets(st.sampled_from(["FIN.type", "FIN.status", "JUD.performance"]), min_size=1).map(tuple),
    mode=st.sampled_from(["view", "store"]),
    validity_days=st.integers(1, 1826),
    data_life_days=st.integers(0, 1826),
    notice=st.just(Notice("https://vault.example/notice", "1", bytes(range(32)))),
    language=st.sampled_from(["en", "zh-CN"]),
    max_uses=st.integers(1, 1000),
    frequency=st.none() | st.builds(Frequency, st.integers(1, 1000), st.integers(1, 366)),
    data_range=st.just(EVERY_DATE) | st.builds(DataRange, st.just(date(2024, 1, 1)), st.none() | st.dates()),
)


@given(new_consents, st.sampled_from([(GIVEN,), (GIVEN, WITHDRAWN), (GIVEN, EXPIRED)]))
def test_every_record_at_each_of_its_events_is_valid(new: NewConsent, states: tuple[str, ...]) -> None:
    VALIDATOR.validate(json.loads(json.dumps(record(new, *states))))


def places(value: Any, name: str) -> Iterator[dict[str, Any]]:
    """Every object in a record that has this member."""
    if isinstance(value, dict):
        if name in value:
            yield value
        for each in value.values():
            yield from places(each, name)
    if isinstance(value, list):
        for each in value:
            yield from places(each, name)


@pytest.mark.parametrize("name", MANDATORY)
def test_without_a_mandatory_field_a_record_is_not_valid(name: str) -> None:
    whole = record()
    count = sum(1 for _ in places(whole, name))
    assert count, "the record has the field"
    for number in range(count):
        broken = copy.deepcopy(whole)
        del list(places(broken, name))[number][name]
        assert not VALIDATOR.is_valid(broken)


@pytest.mark.parametrize(
    "states",
    [(WITHDRAWN,), (EXPIRED,), (GIVEN, GIVEN), (GIVEN, WITHDRAWN, EXPIRED), (GIVEN, "refused")],
)
def test_events_that_cannot_be_are_not_valid(states: tuple[str, ...]) -> None:
    assert not VALIDATOR.is_valid(record(None, *states))


def test_a_consent_without_any_bound_is_not_valid() -> None:
    unbound = record()
    unbound["pii_processing"]["purposes"][0]["processing_method"] |= {"max_uses": None, "frequency": None}
    assert not VALIDATOR.is_valid(unbound)


def test_there_is_no_room_for_anything_else() -> None:
    for change in (
        {"refused": True},
        {"pii_processing": {**record()["pii_processing"], "note": "asked twice"}},
    ):
        assert not VALIDATOR.is_valid(record() | change)
