"""Expiry keys: made once for all workers, one for each month, gone once they are destroyed."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.envelopes import ExpiryKey
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.keyring import FileKeyring
from vault.records.keys import VaultKeys


def plain(keys: Mapping[int, ExpiryKey]) -> dict[int, bytes]:
    return {month: key.key for month, key in keys.items()}


async def made_months(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(text("SELECT expiry_id FROM vault.expiry_key"))).scalars())


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


async def test_an_expiry_key_that_was_destroyed(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    await keys.expiry.keys([203601, 203602])
    await keyring.destroy("expiry-203601")
    later = await VaultKeys.open(database, keyring)
    with pytest.raises(ProviderRefusedError):
        await later.expiry.load([203601])
    with pytest.raises(UnsealError, match="203601 is gone"):
        later.expiry.key(203601)
    await later.expiry.load([203602])
    assert later.expiry.key(203602).id == 203602
    await later.expiry.load([209901])  # loading makes none
    with pytest.raises(UnsealError):
        later.expiry.key(209901)


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
