"""The rolling month: what lasts longer than its month is wrapped anew in time, and opens still."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests.vault.people import person
from tests.vault.records.hanging import hang, record_key
from vault.catalogue.display import NEVER, DisplayWindow, carried_before, expiry_month, rolling_month
from vault.catalogue.months import month_id
from vault.catalogue.schema import Limits
from vault.records import store
from vault.records.carrying import Carried, carry_forward
from vault.records.month_ends import first_kept
from vault.records.store import SealedRecord
from vault.server.assembly import Vault

TODAY = date(2027, 2, 28)
DAYS = st.dates(date(2024, 1, 1), date(2040, 12, 31))


async def of(vault: Vault, subject_id: UUID, category: str) -> SealedRecord:
    async with vault.engine.connect() as connection:
        (found,) = [each for each in await store.own(connection, subject_id) if each.category == category]
        return found


async def carried(vault: Vault, today: date = TODAY) -> Carried:
    return await carry_forward(vault.engine, vault.keys, vault.catalogue, today)


@pytest.mark.parametrize(
    ("month", "until", "moved_to"),
    [
        (202703, None, 202803),  # no end is known: thirteen months ahead
        (202707, None, 202803),
        (202708, None, None),  # still half a year away
        (202703, date(2027, 3, 31), None),  # it ends with its month
        (202703, date(2027, 4, 1), 202704),  # its end was put off
        (202703, date(2029, 2, 28), 202902),
        (202703, NEVER, 202803),
        (202702, date(2027, 2, 27), None),  # its display has ended
    ],
)
async def test_what_lasts_longer_than_its_month_is_carried_on(
    enrolled: Vault, month: int, until: date | None, moved_to: int | None
) -> None:
    subject = (await person(enrolled, 1)).person.subject_id
    before = await hang(enrolled, subject, "FIN", month, until)
    key = await record_key(enrolled.engine, enrolled.keys, subject, before)
    await carried(enrolled)
    after = await of(enrolled, subject, "FIN")
    assert after.expiry_id == (moved_to or month)
    assert (after.sealed, after.key_check) == (before.sealed, before.key_check)
    again = await record_key(enrolled.engine, enrolled.keys, subject, after)
    assert again.check() == key.check()
    # Nothing is left to do.
    assert await carried(enrolled) == Carried(0, 0)


@pytest.mark.parametrize("change", ["state = 'annulled'", "state = 'repaired'", "superseded = true"])
async def test_what_is_never_shown_again_ends_with_its_month(enrolled: Vault, change: str) -> None:
    subject = (await person(enrolled, 1)).person.subject_id
    record = await hang(enrolled, subject, "FIN", 202703, None)
    async with enrolled.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE vault.record SET {change} WHERE record_id = :id"), {"id": record.record_id}
        )
    await carried(enrolled)
    async with enrolled.engine.connect() as connection:
        left = await connection.scalar(
            text("SELECT expiry_id FROM vault.record WHERE record_id = :id"), {"id": record.record_id}
        )
    assert left == 202703


@pytest.mark.parametrize("change", ["state = 'annulled'", "state = 'repaired'", "superseded = true"])
async def test_what_is_shown_no_more_before_its_time_is_wrapped_under_an_earlier_month(
    enrolled: Vault, change: str
) -> None:
    subject = (await person(enrolled, 1)).person.subject_id
    before = await hang(enrolled, subject, "FIN", 203401, date(2034, 1, 15))
    key = await record_key(enrolled.engine, enrolled.keys, subject, before)
    async with enrolled.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE vault.record SET {change} WHERE record_id = :id"), {"id": before.record_id}
        )
    assert (await carried(enrolled)).shortened == 1
    async with enrolled.engine.connect() as connection:
        (after,) = await store.versions(connection, subject, [(before.record_id, before.version)])
    assert after.expiry_id == enrolled.catalogue.rolling_month(TODAY) == 202803
    assert (after.sealed, after.key_check) == (before.sealed, before.key_check)
    again = await record_key(enrolled.engine, enrolled.keys, subject, after)
    assert again.check() == key.check()
    assert (await carried(enrolled)).shortened == 0


async def test_one_person_whose_key_does_not_open_keeps_nobody_else_back(enrolled: Vault) -> None:
    first, second = [(await person(enrolled, n)).person.subject_id for n in (1, 2)]
    for each in (first, second):
        await hang(enrolled, each, "FIN", 202703, None)
    async with enrolled.engine.begin() as connection:
        await connection.execute(
            text("UPDATE vault.subject SET wrapped_key = :other WHERE subject_id = :id"),
            {"other": bytes(66), "id": first},
        )
    assert await carried(enrolled) == Carried(1, 1)
    assert (await of(enrolled, second, "FIN")).expiry_id == 202803


@given(today=DAYS, open_months=st.integers(1, 13), grace=st.integers(2, 28), days=st.integers(0, 800))
def test_no_month_is_due_on_which_the_job_left_something_that_lasts(
    today: date, open_months: int, grace: int, days: int
) -> None:
    """Sealed on one day and carried by a daily job, a record is never found on a month that is due."""
    limits = Limits(adult_years=18, text_length=500, code_length=80, open_months=open_months)
    open_end = DisplayWindow(today, None, "")
    month = expiry_month(open_end, today, limits)
    for later in range(0, days + 1, 7):
        now = date.fromordinal(today.toordinal() + later)
        if month < carried_before(now, limits):
            month = rolling_month(now, limits)
        assert first_kept(now, grace) <= month_id(now) <= month
        assert (month // 100 - now.year) * 12 + month % 100 - now.month <= 13


@given(today=DAYS, end=DAYS, grace=st.integers(2, 28))
def test_a_month_is_due_only_when_all_that_ends_in_it_has_ended(today: date, end: date, grace: int) -> None:
    limits = Limits(adult_years=18, text_length=500, code_length=80, open_months=13)
    month = expiry_month(DisplayWindow(min(today, end), end, ""), today, limits)
    assert month >= month_id(end)
    assert month >= month_id(today)
    for now in (end, today, date(end.year + end.month // 12, end.month % 12 + 1, 1)):
        if month < first_kept(now, grace):
            assert now > end
