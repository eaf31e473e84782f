"""The proof that a month is over: a backup of the database from before, and every key that is left."""

import json
import shutil
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.faults.dumps import dump, restored
from tests.vault.people import person
from tests.vault.records.hanging import hang, record_key
from vault.crypto.envelopes import expiry_key_aad
from vault.crypto.errors import CryptoError
from vault.crypto.keyring import FileKeyring
from vault.records import store
from vault.records.expiry_keys import key_name
from vault.records.keys import VaultKeys
from vault.records.month_ends import MonthEnds
from vault.records.store import SealedRecord
from vault.server.assembly import Vault
from vault.server.database import application_engine
from vault.server.embedded import EmbeddedDatabase

OVER, LASTING = 202401, 202402


async def read(engine: AsyncEngine, keys: VaultKeys, subject_id: UUID) -> object:
    """The type of a person's credit contract, out of this database with these keys."""
    async with engine.connect() as connection:
        (record,) = [each for each in await store.own(connection, subject_id) if each.category == "FIN"]
    return await opened(engine, keys, subject_id, record)


async def opened(engine: AsyncEngine, keys: VaultKeys, subject_id: UUID, record: SealedRecord) -> object:
    key = await record_key(engine, keys, subject_id, record)
    return json.loads(key.fields(record.category).open("type", record.sealed["type"]))


@pytest.mark.slow
async def test_no_backup_and_no_key_that_is_left_opens_a_month_that_ended(
    enrolled: Vault, postgres: EmbeddedDatabase, database_name: str, tmp_path: Path
) -> None:
    vault = enrolled
    first, second = [(await person(vault, n)).person.subject_id for n in (1, 2)]
    await hang(vault, first, "FIN", OVER, date(2024, 1, 31))
    await hang(vault, second, "FIN", LASTING, date(2024, 2, 29))
    keyring = vault.settings.keyring_path
    shutil.copy(keyring, tmp_path / "keyring-before")
    backup = dump(postgres, database_name, tmp_path / "backup")
    ends = MonthEnds(
        vault.log,
        vault.keys,
        vault.catalogue,
        grace_days=3,
        backup_days=35,
        today=lambda _: date(2024, 2, 20),
    )
    assert [one.month for one in (await ends.run()).destroyed] == [OVER]
    passphrase = vault.settings.read_passphrase()
    assert passphrase is not None
    with restored(postgres, backup, vault.settings) as settings:
        engine = application_engine(str(settings.database_url), settings)
        left = FileKeyring.open(keyring, passphrase)
        keys = await VaultKeys.open(engine, left)
        # Ciphertexts, wrapped record key, wrapped expiry key and the person's key: all are in the backup.
        with pytest.raises(KeyError, match=str(OVER)):
            await read(engine, keys, first)
        async with engine.connect() as connection:
            wrapped = await connection.scalar(
                text("SELECT wrapped FROM vault.expiry_key WHERE expiry_id = :month"), {"month": OVER}
            )
            others = list(await connection.scalars(text("SELECT expiry_id FROM vault.expiry_key")))
        assert isinstance(wrapped, bytes)
        for each in ("root", *map(key_name, others)):
            with pytest.raises(CryptoError):
                await left.unwrap(each, wrapped, expiry_key_aad(OVER))
        # Every other month opens.
        assert await read(engine, keys, second) == "vehicle"
        # The same backup with the keyring from before opens it: what else would the test show?
        before = FileKeyring.open(tmp_path / "keyring-before", passphrase)
        assert await read(engine, await VaultKeys.open(engine, before), first) == "vehicle"
        await engine.dispose()
