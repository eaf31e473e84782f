"""The four closed schemas of authorization_details."""

import json
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.oauth import rar
from consent.oauth.errors import DetailsError
from tests.consent.oauth.world import INSPECTION, consented, statutory

AUTHORIZATION, OFFICER = uuid4(), uuid4()
SUBMISSION = {"type": "record_submission", "categories": ["FIN", "TAX"], "basis": "civil-procedure-253"}


def read(*objects: Any) -> rar.Requested:
    return rar.read_request(json.dumps(objects))


def test_a_statutory_query_is_granted_with_a_hash_in_place_of_the_person() -> None:
    requested = read(statutory(AUTHORIZATION, OFFICER))
    assert isinstance(requested, rar.StatutoryRequest)
    granted = requested.granted("ab" * 32)
    (claim,) = rar.claim_of(granted)
    assert claim["subject_hash"] == "ab" * 32
    assert "subject" not in claim
    assert "999999190001010015" not in json.dumps(claim)
    assert rar.read_granted([claim]) == granted
    assert (granted.authorization, granted.officer) == (AUTHORIZATION, OFFICER)


def test_a_persons_number_is_in_no_representation() -> None:
    assert "999999190001010015" not in repr(read(statutory(AUTHORIZATION, OFFICER)))


@pytest.mark.parametrize(
    "details",
    [
        consented(),
        consented(max_uses=None, frequency={"times": 2, "days": 7}),
        consented(data_range={"from": "2024-01-01", "until": "2024-12-31"}, mode="store"),
        consented(data_range={"from": "2024-01-01"}),
        SUBMISSION,
        {"type": "record_submission", "categories": ["FIN"]},
        INSPECTION,
    ],
)
def test_what_is_granted_as_asked_reads_back_the_same(details: dict[str, Any]) -> None:
    requested = read(details)
    assert not isinstance(requested, rar.StatutoryRequest | rar.AssistanceRequest)
    claim = json.loads(json.dumps(rar.claim_of(requested)))
    assert claim == [details]
    assert rar.read_granted(claim) == requested


def test_the_data_range_is_dates() -> None:
    requested = read(consented(data_range={"until": "2024-12-31"}))
    assert isinstance(requested, rar.ConsentedQuery)
    assert requested.data_range == rar.DataRange(None, date(2024, 12, 31))


@pytest.mark.parametrize(
    "broken",
    [
        statutory(AUTHORIZATION, OFFICER, extra=1),
        statutory(AUTHORIZATION, OFFICER, authorization="no uuid"),
        statutory(AUTHORIZATION, OFFICER, officer=None),
        statutory(AUTHORIZATION, OFFICER, purpose="No Purpose"),
        statutory(AUTHORIZATION, OFFICER, purpose=""),
        statutory(AUTHORIZATION, OFFICER, case_reference="x" * 201),
        statutory(AUTHORIZATION, OFFICER, case_reference="a\0b"),
        statutory(AUTHORIZATION, OFFICER, case_reference="line\n"),
        statutory(AUTHORIZATION, OFFICER, subject="999999190001010015"),
        statutory(AUTHORIZATION, OFFICER, subject={"scheme": "demo-id"}),
        statutory(AUTHORIZATION, OFFICER, subject={"scheme": "demo-id", "number": "1", "name": "x"}),
        statutory(AUTHORIZATION, OFFICER, subject_hash="ab" * 32),
        statutory(AUTHORIZATION, OFFICER, fields=[]),
        statutory(AUTHORIZATION, OFFICER, fields=["FIN.type", "FIN.type"]),
        statutory(AUTHORIZATION, OFFICER, fields=["fin.type"]),
        statutory(AUTHORIZATION, OFFICER, fields=["FIN.type\n"]),
        statutory(AUTHORIZATION, OFFICER, fields=[f"FIN.a{n}" for n in range(201)]),
        statutory(AUTHORIZATION, OFFICER, actions=[]),
        statutory(AUTHORIZATION, OFFICER, actions=["write"]),
        statutory(AUTHORIZATION, OFFICER, actions=["read", "read"]),
        consented(extra=1),
        consented(mode="keep"),
        consented(validity=0),
        consented(validity=1827),
        consented(validity="30"),
        consented(max_uses=None),
        consented(max_uses=0),
        consented(frequency={"times": 1}),
        consented(frequency={"times": 0, "days": 1}),
        consented(data_range={"from": "2024-02-01", "until": "2024-01-01"}),
        consented(data_range={"from": "yesterday"}),
        consented(data_range={"since": "2024-01-01"}),
        consented(subject={"scheme": "demo-id", "number": "1"}),
        SUBMISSION | {"categories": []},
        SUBMISSION | {"categories": ["FIN", "FIN"]},
        SUBMISSION | {"categories": ["FINANCE"]},
        SUBMISSION | {"basis": ""},
        INSPECTION | {"case": "2026-7"},
        INSPECTION | {"case_reference": ""},
        INSPECTION | {"case_reference": 7},
        INSPECTION | {"officer": "nobody"},
        INSPECTION | {"subject": {"scheme": "demo-id", "number": "1"}},
        {"type": "inspection", "officer": INSPECTION["officer"]},
        {"type": "inspection", "case_reference": "2026-7"},
        {"type": "unknown"},
        {"type": 7},
        {},
        7,
    ],
)
def test_everything_outside_the_schema_is_refused(broken: Any) -> None:
    with pytest.raises(DetailsError):
        read(broken)


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", "null", "[" * 100_000, "NaN", '["\\ud800"]', "\ud800"]
)
def test_what_is_no_array_of_one_object_is_refused(text: str | None) -> None:
    with pytest.raises(DetailsError):
        rar.read_request(text)


def test_exactly_one_object() -> None:
    with pytest.raises(DetailsError):
        read(consented(), consented())


def test_a_refusal_does_not_carry_what_was_sent() -> None:
    number = "no-number-\0"
    with pytest.raises(DetailsError) as refused:
        read(statutory(AUTHORIZATION, OFFICER, subject={"scheme": "demo-id", "number": number}))
    assert number not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "claim", [None, [], {}, "x", [statutory(AUTHORIZATION, OFFICER)], [consented(), consented()]]
)
def test_a_token_carries_one_granted_object(claim: object) -> None:
    with pytest.raises(DetailsError):
        rar.read_granted(claim)


FIELDS = tuple(f"FIN.f{number}" for number in range(6))


@given(st.sets(st.sampled_from(FIELDS), min_size=1), st.integers(1, 30))
def test_narrowing_keeps_what_was_chosen_in_the_order_asked(chosen: set[str], days: int) -> None:
    asked = read(consented(fields=FIELDS))
    assert isinstance(asked, rar.ConsentedQuery)
    granted = asked.narrowed(chosen, days)
    assert granted.fields == tuple(name for name in FIELDS if name in chosen)
    assert granted.validity == days
    assert (granted.purpose, granted.mode, granted.max_uses) == (asked.purpose, asked.mode, asked.max_uses)


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ([], 1),
        (["FIN.type", "FIN.name"], 1),
        (["FIN.type", "FIN.type"], 1),
        (["FIN.type"], 0),
        (["FIN.type"], -1),
        (["FIN.type"], 31),
    ],
)
def test_nothing_is_granted_that_was_not_asked_for(fields: list[str], days: int) -> None:
    asked = read(consented())
    assert isinstance(asked, rar.ConsentedQuery)
    with pytest.raises(DetailsError):
        asked.narrowed(fields, days)
