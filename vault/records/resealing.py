"""A person's key exchanged, where it may have become known: with it every record key, and every field's seal.

All of it happens in one transaction under the head lock, with an entry of type 7 in the person's stream that
states the new key checks. A query reads persons and records under the same lock, so it opens everything as it
stood right before or right after. Ids, streams, versions and what is said stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

from access_log.entry import EntryType
from access_log.log import Event, Log
from access_log.payload import Payload
from consent.errors import UnknownError
from consent.journal import Actor
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.crypto.journal import for_job
from vault.records import store
from vault.records.keys import VaultKeys
from vault.records.store import SealedRecord

RESEALED: Final = "person-key.changed"


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done for a person.

    Attributes:
        entry: index of the entry that says so.
        records: how many record versions have new keys.
        unreadable: how many have none, because the key of their month is destroyed: nothing opens them.
    """

    entry: int
    records: int
    unreadable: int


async def reseal(log: Log, keys: VaultKeys, subject_id: UUID, actor: Actor) -> Resealed:
    """Gives a person a new key, and every version of their records a new record key.

    Args:
        log: the open log.
        keys: the vault's keys.
        subject_id: whose.
        actor: who does it.

    Raises:
        UnknownError: there is no such person.
        UnsealError: a record was altered; nothing was changed.
        ProviderError: keys cannot be used now; nothing was changed.
        AccessLogError: the log cannot append; nothing was changed.
    """
    async with log.writing() as writing:
        row = await store.subject(writing.connection, subject_id)
        if row is None:
            raise UnknownError("there is no such person")
        records = await store.every_version(writing.connection, subject_id)
        purpose = for_job(f"reseal.{uuid4()}")
        (old,) = await keys.subject_keys([(subject_id, row.wrapped_key)], [purpose])
        ((new, wrapped),) = await keys.new_subject_keys([subject_id])
        months = await keys.expiry.load({record.expiry_id for record in records})
        fresh = [
            _sealed_anew(record, old, new, months[record.expiry_id])
            for record in records
            if record.expiry_id in months
        ]
        await store.reseal(writing.connection, subject_id, wrapped, keys.provider.version_of(wrapped), fresh)
        position = writing.add(Event(row.person.stream_id, _payload(subject_id, fresh, actor)))
    return Resealed(writing.indexes[position], len(fresh), len(records) - len(fresh))


def _sealed_anew(record: SealedRecord, old: SubjectKey, new: SubjectKey, month: ExpiryKey) -> SealedRecord:
    sealer = RecordKey.unwrap(
        old,
        record.record_id,
        record.version,
        expiry_key=month,
        wrapped=record.wrapped_key,
        key_check=record.key_check,
    ).fields(record.category)
    values = {name: sealer.open(name, sealed) for name, sealed in record.sealed.items()}
    key = RecordKey.generate(new, record.record_id, record.version)
    return replace(
        record,
        wrapped_key=key.wrap(month),
        key_check=key.check(),
        sealed=key.fields(record.category).seal(values),
    )


def _payload(subject_id: UUID, records: Sequence[SealedRecord], actor: Actor) -> Payload:
    return Payload.create(
        EntryType.KEY,
        {
            "event": RESEALED,
            "actor": actor.name,
            "actor_role": actor.role,
            "object": [[str(one.record_id), one.version, one.category] for one in records],
            "key_checks": [one.key_check.hex() for one in records],
            "subject": str(subject_id),
        },
    )
