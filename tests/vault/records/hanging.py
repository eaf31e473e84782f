"""Records hung on any month, as if sealed when it lay ahead: so that months end within a test."""

from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.envelopes import RecordKey
from vault.crypto.journal import UNNAMED
from vault.records import store
from vault.records.keys import VaultKeys
from vault.records.store import SealedRecord
from vault.server.assembly import Vault


async def hang(vault: Vault, subject_id: UUID, category: str, month: int, until: date | None) -> SealedRecord:
    """Wraps a person's record of this category under a month, and has its display end on that day."""
    async with vault.engine.connect() as connection:
        row = await store.subject(connection, subject_id)
        assert row is not None
        (record,) = [each for each in await store.own(connection, subject_id) if each.category == category]
    key = await record_key(vault.engine, vault.keys, subject_id, record)
    (later,) = (await vault.keys.expiry.keys([month])).values()
    async with vault.engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.record SET expiry_id = :month, wrapped_key = :wrapped, display_until = :until"
                " WHERE record_id = :record_id"
            ),
            {"month": month, "wrapped": key.wrap(later), "until": until, "record_id": record.record_id},
        )
        (hung,) = [each for each in await store.own(connection, subject_id) if each.category == category]
    return hung


async def record_key(
    engine: AsyncEngine, keys: VaultKeys, subject_id: UUID, record: SealedRecord
) -> RecordKey:
    """The key of a record, opened as every answer does it.

    Raises:
        KeyError: the key of its month is gone.
    """
    async with engine.connect() as connection:
        row = await store.subject(connection, subject_id)
    assert row is not None
    (subject_key,) = await keys.subject_keys([(subject_id, row.wrapped_key)], [UNNAMED])
    return RecordKey.unwrap(
        subject_key,
        record.record_id,
        record.version,
        expiry_key=(await keys.expiry.load([record.expiry_id]))[record.expiry_id],
        wrapped=record.wrapped_key,
        key_check=record.key_check,
    )
