"""What a permit opens: the fields asked for that stand in a record that may be shown, and nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.permit import EVERY_DATE, DataRange, Permit, UseConditions
from vault.records.choose import DOCUMENT, NOTHING, Choice, category_of, choose, opened_versions
from vault.records.store import ANNULLED, HELD, REPAIRED, SEALED, SHOWN, SealedRecord

TODAY = date(2026, 11, 24)
DAY = timedelta(days=1)
STATES = (SHOWN, HELD, REPAIRED, ANNULLED, SEALED, "a state of a later release")
NEVER = frozenset({"IDN"})


def permit(data_range: DataRange = EVERY_DATE) -> Permit:
    conditions = UseConditions("credit-granting", storable=False, retention_days=0)
    return Permit(uuid4(), "credit officer", conditions, data_range)


def record(
    category: str = "FIN", sealed: str = "type status _reference _document", **more: Any
) -> SealedRecord:
    values = {
        "record_id": uuid4(),
        "version": 1,
        "category": category,
        "furnisher": uuid4(),
        "basis": "CRI-29",
        "display_from": TODAY - 30 * DAY,
        "display_until": TODAY + 30 * DAY,
        "how_counted": "five years",
        "state": SHOWN,
        "expiry_id": 202612,
        "wrapped_key": b"wrapped",
        "key_check": b"check",
        "sealed": dict.fromkeys(sealed.split(), b"sealed"),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return SealedRecord(**{**values, **more})


def chosen(*records: SealedRecord, fields: str = "FIN.type FIN.status", on: date = TODAY) -> Choice:
    return choose(permit(), fields.split(), records, on, never_shown=NEVER)


def shown(choice: Choice) -> list[tuple[str, ...]]:
    return [one.fields for one in choice.opened]


def test_the_fields_asked_for_and_the_document() -> None:
    assert shown(chosen(record())) == [("type", "status", DOCUMENT)]
    assert shown(chosen(record(), fields="FIN.status")) == [("status", DOCUMENT)]


def test_a_record_without_a_document() -> None:
    assert shown(chosen(record(sealed="type _reference"))) == [("type",)]


def test_fields_a_record_does_not_have_open_nothing() -> None:
    assert chosen(record(), fields="FIN.contract_end") == NOTHING
    assert shown(chosen(record(), fields="FIN.contract_end FIN.type")) == [("type", DOCUMENT)]


def test_records_of_other_categories_stay_closed() -> None:
    tax = record("TAX", "breach type _document")
    assert chosen(tax) == NOTHING
    assert shown(chosen(tax, record(), fields="TAX.breach FIN.type")) == [
        ("breach", DOCUMENT),
        ("type", DOCUMENT),
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"category": "IDN"}, "8.1"),
        ({"state": ANNULLED}, "8.2"),
        ({"state": REPAIRED}, "8.3"),
        ({"state": HELD}, "8.4"),
        ({"state": SEALED}, "8.5"),
        ({"state": "a state of a later release"}, "8.5"),
        ({"display_from": TODAY + DAY}, "8.6"),
        ({"display_until": TODAY - DAY}, "8.7"),
    ],
)
def test_what_is_withheld_names_its_rule_and_no_field(change: dict[str, Any], rule: str) -> None:
    one = record(**change)
    choice = chosen(one, fields="FIN.type IDN.type")
    assert choice.opened == ()
    assert choice.withheld == ((one, f"RULES {rule}"),)
    assert choice.record_versions() == [[str(one.record_id), 1, f"RULES {rule}"]]


@pytest.mark.parametrize("until", [TODAY, None])
def test_the_first_and_the_last_day_are_shown(until: date | None) -> None:
    assert shown(chosen(record(display_from=TODAY, display_until=until)))


@pytest.mark.parametrize(("first", "last", "is_shown"), [(0, 0, True), (1, None, False), (None, -1, False)])
def test_a_consents_data_range(first: int | None, last: int | None, is_shown: bool) -> None:  # noqa: FBT001 -- one of the cases
    one = record(display_from=TODAY)
    sides = [None if side is None else TODAY + side * DAY for side in (first, last)]
    choice = choose(permit(DataRange(*sides)), ["FIN.type"], [one], TODAY, never_shown=NEVER)
    assert bool(choice.opened) is is_shown
    assert bool(choice.withheld) is not is_shown


RECORDS = st.lists(
    st.builds(
        lambda category, sealed, state, start, length, version: record(
            category,
            " ".join(sealed),
            state=state,
            display_from=TODAY + start * DAY,
            display_until=None if length is None else TODAY + (start + length) * DAY,
            version=version,
        ),
        st.sampled_from(["FIN", "TAX", "IDN"]),
        st.sets(st.sampled_from(["type", "status", "number", "_reference", DOCUMENT])),
        st.sampled_from(STATES),
        st.integers(-3, 3),
        st.none() | st.integers(0, 3),
        st.integers(1, 9),
    ),
    max_size=8,
)
FIELDS = st.lists(
    st.builds(
        "{}.{}".format, st.sampled_from(["FIN", "TAX", "IDN"]), st.sampled_from(["type", "status", "number"])
    ),
    min_size=1,
    max_size=6,
)


@given(RECORDS, FIELDS)
def test_nothing_is_opened_that_was_not_asked_or_may_not_be_shown(
    records: list[SealedRecord], fields: list[str]
) -> None:
    choice = choose(permit(), fields, records, TODAY, never_shown=NEVER)
    for one in choice.opened:
        stored = one.record
        assert stored.state == SHOWN
        assert stored.category not in NEVER
        assert stored.display_from <= TODAY
        assert stored.display_until is None or stored.display_until >= TODAY
        assert {f"{stored.category}.{name}" for name in one.fields if name != DOCUMENT} <= set(fields)
        assert set(one.fields) <= set(stored.sealed)
        assert set(one.fields) != {DOCUMENT}
    touched = [one.record for one in choice.opened] + [one for one, _ in choice.withheld]
    assert sorted(map(id, touched)) == sorted(
        id(one) for one in records if any(f"{one.category}.{name}" in fields for name in one.sealed)
    )


@given(RECORDS, FIELDS)
def test_a_payload_says_which_versions_were_opened(records: list[SealedRecord], fields: list[str]) -> None:
    choice = choose(permit(), fields, records, TODAY, never_shown=NEVER)
    expected = [(one.record.record_id, one.record.version) for one in choice.opened]
    assert opened_versions(choice.record_versions()) == expected


@given(RECORDS, FIELDS)
def test_a_repeat_opens_no_more_than_it_may_today(records: list[SealedRecord], fields: list[str]) -> None:
    """The same versions, chosen again on a later day, after some states changed."""
    before = choose(permit(), fields, records, TODAY, never_shown=NEVER)
    versions = set(opened_versions(before.record_versions()))
    now = [replace(one, state=REPAIRED) if at % 2 else one for at, one in enumerate(records)]
    again = choose(
        permit(),
        fields,
        [one for one in now if (one.record_id, one.version) in versions],
        TODAY + 2 * DAY,
        never_shown=NEVER,
    )
    opened: set[UUID] = {one.record.record_id for one in again.opened}
    assert opened <= {one.record.record_id for one in before.opened}
    assert not opened & {one.record_id for one in now if one.state == REPAIRED}


def test_nothing_recorded_is_nothing_opened() -> None:
    assert opened_versions(None) == []
    assert NOTHING.record_versions() == []
    assert category_of("FIN.type") == "FIN"
