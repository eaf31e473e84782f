"""Expiry keys: made once for all workers, one for each month, gone once they are destroyed."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.envelopes import ExpiryKey
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.keyring import FileKeyring
from vault.records.expiry_keys import ExpiryKeys, oldest_held
from vault.records.keys import VaultKeys
from vault.records.month_ends import first_kept


def plain(keys: Mapping[int, ExpiryKey]) -> dict[int, bytes]:
    return {month: key.key for month, key in keys.items()}


async def made_months(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list(
            (await connection.execute(text("SELECT expiry_id FROM vault.expiry_key ORDER BY 1"))).scalars()
        )


async def test_expiry_keys_are_made_once_for_all_workers(
    keys: VaultKeys, database: AsyncEngine, second: FileKeyring
) -> None:
    other = await VaultKeys.open(database, second)
    months = [203601, 203612, 204001]
    made, theirs = await asyncio.gather(keys.expiry.keys(months), other.expiry.keys(months))
    third = await (await VaultKeys.open(database, second)).expiry.keys(months)
    assert plain(made) == plain(theirs) == plain(third)
    assert [made[month].id for month in months] == months
    assert len(set(plain(made).values())) == len(months)
    assert sorted(await made_months(database)) == months


async def test_a_key_that_was_destroyed_is_absent_and_never_made_again(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    await keys.expiry.keys([203601, 203602, 203603])
    await keyring.destroy("expiry-203601")  # the row is that of a restored database
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE vault.expiry_key SET wrapped = NULL, ended_at = now() WHERE expiry_id = 203602")
        )
    later = await VaultKeys.open(database, keyring)
    assert (await later.expiry.load([203601, 203602, 203603, 209901])).keys() == {203603}
    with pytest.raises(UnsealError, match="203601 is gone"):
        await later.expiry.keys([203601, 203603])
    with pytest.raises(UnsealError, match="203602 is gone"):
        await later.expiry.keys([203602])
    assert (later.expiry.ended(203602), later.expiry.ended(203603)) == (True, False)
    assert await made_months(database) == [203601, 203602, 203603]  # loading makes none


async def test_a_wrap_that_a_key_does_not_open_is_an_error_not_an_end(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    await keys.expiry.keys([203601])
    await keyring.destroy("expiry-203601")
    await keyring.create("expiry-203601")
    later = await VaultKeys.open(database, keyring)
    with pytest.raises(ProviderRefusedError):
        await later.expiry.load([203601])


async def test_a_key_is_held_while_its_month_lasts(database: AsyncEngine, keyring: FileKeyring) -> None:
    moment = datetime(2036, 1, 31, 12, tzinfo=UTC)
    expiry = ExpiryKeys(database, keyring, lambda: moment)
    await expiry.keys([203512, 203601, 203602])
    assert expiry.held == {203601, 203602}
    assert (await expiry.load([203512])).keys() == {203512}  # fetched for this use alone
    assert expiry.held == {203601, 203602}
    moment = datetime(2036, 2, 1, 11, 59, tzinfo=UTC)  # there are zones in which it is still January
    expiry.let_go()
    assert expiry.held == {203601, 203602}
    moment = datetime(2036, 2, 1, 12, tzinfo=UTC)
    expiry.let_go()
    assert expiry.held == {203602}


@given(
    instant=st.datetimes(datetime(2024, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001 -- made aware below
    zone=st.sampled_from([ZoneInfo(each) for each in sorted(available_timezones())]),
    month=st.builds(lambda year, each: year * 100 + each, st.integers(2024, 2060), st.integers(1, 12)),
    grace=st.integers(2, 28),
)
def test_no_process_holds_a_key_that_may_be_destroyed(
    instant: datetime, zone: ZoneInfo, month: int, grace: int
) -> None:
    now = instant.replace(tzinfo=UTC)
    today = now.astimezone(zone).date()
    if month < first_kept(today, grace):
        assert month < oldest_held(now)
        assert month < today.year * 100 + today.month


async def test_an_expiry_key_moved_to_another_month(keys: VaultKeys, database: AsyncEngine) -> None:
    await keys.expiry.keys([203601, 203602])
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.expiry_key AS a SET wrapped = b.wrapped FROM vault.expiry_key AS b"
                " WHERE a.expiry_id = 203601 AND b.expiry_id = 203602"
            )
        )
    later = await VaultKeys.open(database, keys.provider)
    with pytest.raises(UnsealError):
        await later.expiry.load([203601])
