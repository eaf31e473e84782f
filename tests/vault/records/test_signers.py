"""The log's signing keys among the vault's: one seed of each kind for each epoch, none in the clear."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.verifier_keys import ED25519, ML_DSA_44
from tests.vault.records.conftest import new_keyring
from vault.crypto.errors import UnsealError
from vault.crypto.keyring import FileKeyring
from vault.records.keys import LOG_SIGNING, KeysMissingError, VaultKeys
from vault.records.signers import LogSigners, RootsSigners

ORIGIN = "creditvault.test/log"


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return new_keyring(tmp_path / "keyring")


@pytest.fixture
async def keys(database: AsyncEngine, keyring: FileKeyring) -> VaultKeys:
    await VaultKeys.create(database, keyring)
    return await VaultKeys.open(database, keyring)


async def test_every_epoch_has_keys_of_its_own(keys: VaultKeys) -> None:
    signers = LogSigners(keys, ORIGIN, 1, ml_dsa=True)
    for epoch in (2, 3):
        await signers.make(epoch)
    found = [[key.key for key in await signers.of(epoch)] for epoch in (1, 2, 3)]
    assert [[key.type for key in each] for each in found] == [[ED25519, ML_DSA_44]] * 3
    assert {key.name for each in found for key in each} == {ORIGIN}
    assert len({key.public for each in found for key in each}) == 6


async def test_post_quantum_keys_sign_only_where_they_are_asked_for(keys: VaultKeys) -> None:
    both, one = [await LogSigners(keys, ORIGIN, 1, ml_dsa=ml_dsa).of(1) for ml_dsa in (True, False)]
    assert [key.key for key in one] == [both[0].key]


async def test_another_process_finds_them_and_making_them_again_changes_none(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    await asyncio.gather(*(LogSigners(keys, ORIGIN, 1, ml_dsa=True).make(2) for _ in range(2)))
    other = LogSigners(await VaultKeys.open(database, keyring), ORIGIN, 1, ml_dsa=True)
    before = [key.key for key in await other.of(2)]
    await other.make(2)
    assert [key.key for key in await LogSigners(keys, ORIGIN, 1, ml_dsa=True).of(2)] == before


async def test_an_epoch_that_was_never_made_is_named(keys: VaultKeys) -> None:
    with pytest.raises(
        KeysMissingError, match=r"no version 2 of the key log-signing: restore vault\.system_key"
    ):
        await LogSigners(keys, ORIGIN, 1, ml_dsa=False).of(2)


async def test_a_seed_moved_to_another_epoch_does_not_open(keys: VaultKeys, database: AsyncEngine) -> None:
    signers = LogSigners(keys, ORIGIN, 1, ml_dsa=False)
    await signers.make(2)
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.system_key AS a SET wrapped = b.wrapped FROM vault.system_key AS b"
                " WHERE a.name = b.name AND a.version = 2 AND b.version = 1"
            )
        )
    with pytest.raises(UnsealError):
        await signers.of(2)


async def test_no_seed_stands_in_the_database_in_the_clear(keys: VaultKeys, database: AsyncEngine) -> None:
    await LogSigners(keys, ORIGIN, 1, ml_dsa=True).make(2)
    seed = await keys.system_version(LOG_SIGNING, 2)
    async with database.connect() as connection:
        wrapped = (await connection.execute(text("SELECT wrapped FROM vault.system_key"))).scalars().all()
    assert all(seed not in each and keys.system(LOG_SIGNING) not in each for each in wrapped)


async def test_a_later_log_has_keys_of_its_own(keys: VaultKeys) -> None:
    first = LogSigners(keys, ORIGIN, 1, ml_dsa=True)
    later = [LogSigners(keys, origin, 2, ml_dsa=True) for origin in ("vault.test/next", "vault.test/other")]
    with pytest.raises(KeysMissingError):
        await later[0].of(1)
    for each in later:
        await each.make(1)
    made = [key.key.public for each in (first, *later) for key in await each.of(1)]
    named = ((ORIGIN, 1), ("vault.test/next", 2), ("vault.test/other", 2))
    roots = [(await RootsSigners(keys, origin, number).of(1)).key for origin, number in named]
    assert len({*made, *(key.public for key in roots)}) == 9
    assert [key.name for key in roots][1:] == ["vault.test/next/roots", "vault.test/other/roots"]
