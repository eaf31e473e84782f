from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.catalogue import Catalogue, DisplayWindow, load_catalogue
from vault.catalogue.display import NEVER
from vault.catalogue.months import add_months
from vault.catalogue.schema import Category

CN = load_catalogue("cn")
CATEGORIES = st.sampled_from(sorted(CN.categories.values(), key=lambda category: category.code))
DAYS = st.dates(date(1900, 1, 1), date(2120, 12, 31))


@pytest.mark.parametrize(
    ("anchor", "months", "last"),
    [
        (date(2025, 1, 31), 1, date(2025, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2025, 10, 31), 1, date(2025, 11, 30)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2025, 2, 28), 12, date(2026, 2, 28)),
        (date(2025, 11, 30), 3, date(2026, 2, 28)),
        (date(2025, 12, 15), 1, date(2026, 1, 15)),
        (date(2025, 6, 15), 0, date(2025, 6, 15)),
        (date(9999, 12, 1), 1, date.max),
    ],
)
def test_months_end_on_the_corresponding_day(anchor: date, months: int, last: date) -> None:
    assert add_months(anchor, months) == last


@given(day=st.dates(max_value=date(9000, 1, 1)), months=st.integers(0, 1200))
def test_months_stay_in_their_month_and_keep_the_day(day: date, months: int) -> None:
    last = add_months(day, months)
    assert (last.year - day.year) * 12 + last.month - day.month == months
    assert last.day == min(day.day, monthrange(last.year, last.month)[1])


@given(first=DAYS, second=DAYS, months=st.integers(0, 120))
def test_months_keep_the_order_of_days(first: date, second: date, months: int) -> None:
    early, late = sorted((first, second))
    assert add_months(early, months) <= add_months(late, months)


def draw_values(data: st.DataObject, category: Category) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, field in category.fields.items():
        if field.kind == "date" and (field.required or data.draw(st.booleans())):
            values[name] = data.draw(DAYS)
        elif field.kind == "enum":
            values[name] = data.draw(st.sampled_from(field.values))
        elif field.kind == "boolean" and data.draw(st.booleans()):
            values[name] = data.draw(st.booleans())
    return values


@given(data=st.data(), category=CATEGORIES, document_date=DAYS)
def test_no_window_ends_before_it_starts_and_adverse_data_ends_in_time(
    data: st.DataObject, category: Category, document_date: date
) -> None:
    values = draw_values(data, category)
    window = CN.display_window(category, values, document_date)
    assert window.end is None or window.end >= window.start
    ended = values.get("conduct_end")
    if category.is_adverse(values) and isinstance(ended, date):
        assert window.end is not None
        assert window.end <= add_months(ended, 60)


@given(data=st.data(), category=CATEGORIES, document_date=DAYS, later=st.integers(0, 4000))
def test_a_later_date_never_ends_display_earlier(
    data: st.DataObject, category: Category, document_date: date, later: int
) -> None:
    values = draw_values(data, category)
    moved = {
        name: value + timedelta(days=later) if isinstance(value, date) else value
        for name, value in values.items()
    }
    before = CN.display_window(category, values, document_date)
    after = CN.display_window(category, moved, document_date + timedelta(days=later))
    assert (before.end is None) == (after.end is None)
    assert before.end is None or (after.end is not None and before.end <= after.end)


@given(data=st.data(), category=CATEGORIES, document_date=DAYS, today=DAYS)
def test_the_expiry_month_is_never_over_and_never_before_the_end_of_display(
    data: st.DataObject, category: Category, document_date: date, today: date
) -> None:
    window = CN.display_window(category, draw_values(data, category), document_date)
    month = CN.expiry_month(window, today)
    assert month >= today.year * 100 + today.month
    if window.end is None or not window.shown:
        ahead = (month // 100 - today.year) * 12 + month % 100 - today.month
        assert ahead == 13
    else:
        assert month >= window.end.year * 100 + window.end.month


def window(code: str, document_date: date, **values: object) -> DisplayWindow:
    return CN.display_window(code, values, document_date)


def test_a_general_breach_is_shown_twelve_months_and_repairable_after_three() -> None:
    shown = window("FDS", date(2025, 11, 30), conduct_start=date(2025, 10, 1))
    assert (shown.start, shown.end) == (date(2025, 11, 30), date(2026, 11, 30))
    assert shown.repair_from == date(2026, 2, 28)
    assert shown.shows(date(2026, 11, 30))
    assert not shown.shows(date(2026, 12, 1))
    assert not shown.shows(date(2025, 11, 29))
    assert CN.expiry_month(shown, date(2026, 1, 1)) == 202611


def test_the_two_clocks_of_a_finding_both_run() -> None:
    """CRI 16 counts from the end of the conduct and may end display before Order 36 does."""
    old = window("FDS", date(2025, 6, 1), conduct_start=date(2019, 1, 1), conduct_end=date(2021, 1, 1))
    assert old.end == date(2026, 1, 1)


def test_a_finding_that_came_too_late_is_never_shown() -> None:
    late = window("FDS", date(2026, 6, 1), conduct_start=date(2015, 1, 1), conduct_end=date(2016, 2, 29))
    assert (late.start, late.end) == (date(2021, 2, 28), date(2021, 2, 28))
    assert not late.shows(date(2026, 6, 1))
    assert CN.expiry_month(late, date(2026, 6, 1)) == 202606


def test_a_contract_without_an_end_has_no_end_of_display() -> None:
    running = window("FIN", date(2024, 1, 15), contract_start=date(2024, 1, 15), status="performing")
    assert running.end is None
    assert running.shows(date(2050, 1, 1))
    assert CN.expiry_month(running, date(2026, 11, 24)) == 202712
    ended = window("FIN", date(2024, 1, 15), contract_end=date(2024, 7, 15), status="settled")
    assert ended.end == date(2029, 7, 15)


def test_only_adverse_contracts_are_cut_short() -> None:
    dates = {"contract_end": date(2030, 1, 1), "conduct_end": date(2025, 1, 1)}
    assert window("FIN", date(2024, 1, 15), status="performing", **dates).end == date(2035, 1, 1)
    assert window("FIN", date(2024, 1, 15), status="late", **dates).end == date(2030, 1, 1)
    assert window("FIN", date(2024, 1, 15), status="late", conduct_end=date(2025, 1, 1)).end == date(
        2030, 1, 1
    )


def test_a_judgment_is_shown_until_it_is_performed() -> None:
    assert window("JUD", date(2026, 1, 5)).end is None
    performed = window("JUD", date(2026, 1, 5), performed=date(2026, 3, 1))
    assert performed.end == date(2026, 2, 28)


def test_other_rules_of_display() -> None:
    assert window("LIC", date(2024, 1, 1), validity_end=date(2028, 2, 29)).end == date(2028, 2, 29)
    assert window("TRF", date(2025, 11, 30)).end == date(2026, 2, 28)
    assert window("LAB", date(2024, 2, 29)).end == date(2027, 2, 28)
    assert window("COM", date(2026, 1, 1), due=date(2026, 6, 30)).end == date(2027, 6, 30)
    assert window("POS", date(2026, 1, 1)).end is None


def test_an_identity_is_never_shown_but_kept() -> None:
    never = window("IDN", date(2026, 1, 1))
    assert (never.shown, never.start, never.end) == (False, NEVER, NEVER)
    assert not never.shows(date(2026, 1, 1))
    assert not never.shows(date.max)
    assert CN.expiry_month(never, date(2026, 11, 24)) == 202712


def test_how_it_was_counted_is_the_same_for_every_record_of_a_category() -> None:
    one = window("FIN", date(2024, 1, 15), status="performing").how_counted
    other = window("FIN", date(2020, 1, 15), status="late", conduct_end=date(2021, 1, 1)).how_counted
    assert one == other
    assert one == (
        "shown until 60 months after the contract end; no end is known while there is none (CRI); "
        "adverse data no longer than 60 months after the conduct end (CRI)"
    )
    assert window("FDS", date(2024, 1, 15)).how_counted == (
        "shown until 12 months after the document date (O36, tier G); adverse data no longer than 60 months "
        "after the conduct end (CRI)"
    )


def test_a_missing_start_is_an_error(zembla: Catalogue) -> None:
    with pytest.raises(ValueError, match="display is counted"):
        zembla.display_window("INC", {}, None)
    with pytest.raises(KeyError):
        CN.display_window("XXX", {}, None)


def test_another_law_counts_its_own_way(zembla: Catalogue) -> None:
    opened, discharged, ended = date(2020, 3, 1), date(2021, 8, 31), date(2020, 2, 29)
    dates = {"opened": opened, "discharged": discharged}
    assert zembla.display_window("BKR", dates, None).end == date(2028, 8, 31)
    capped = zembla.display_window("BKR", {**dates, "ended": ended}, None)
    assert (capped.start, capped.end, capped.repair_from) == (opened, date(2027, 2, 28), None)
    consented = zembla.display_window("INC", {"declared": date(2026, 1, 1)}, None)
    assert zembla.expiry_month(consented, date(2026, 11, 24)) == 202705


def test_legal_days_are_those_of_the_time_zone(zembla: Catalogue) -> None:
    evening = datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)
    assert CN.today(evening) == date(2026, 12, 31)
    assert CN.today(evening + timedelta(seconds=1)) == date(2027, 1, 1)
    assert zembla.today(datetime(2026, 12, 31, 10, tzinfo=UTC)) == date(2027, 1, 1)


@pytest.mark.parametrize(
    ("born", "of_age"),
    [
        (date(2000, 5, 4), date(2018, 5, 5)),
        (date(2004, 2, 29), date(2022, 3, 1)),
        (date(2002, 2, 28), date(2020, 2, 29)),
        (date(1999, 12, 31), date(2018, 1, 1)),
    ],
)
def test_a_person_is_of_age_from_the_day_after_the_birthday(born: date, of_age: date) -> None:
    assert CN.of_age_from(born) == of_age
