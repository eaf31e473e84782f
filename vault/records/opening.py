"""Opening what was chosen: the last step of every disclosure, after its entry is durable and raised."""

import json
from collections.abc import Sequence
from uuid import UUID

from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.records.choose import DOCUMENT, ChosenVersion
from vault.records.query import DisclosedRecord


def open_record(
    chosen: ChosenVersion, subject_key: SubjectKey, expiry_key: ExpiryKey, source: str
) -> DisclosedRecord:
    """Opens exactly the chosen fields of one record version.

    Raises:
        UnsealError: the row was altered, moved or rolled back.
    """
    record = chosen.record
    key = RecordKey.unwrap(
        subject_key,
        record.record_id,
        record.version,
        expiry_key=expiry_key,
        wrapped=record.wrapped_key,
        key_check=record.key_check,
    )
    sealer = key.fields(record.category)
    values = {name: json.loads(sealer.open(name, record.sealed[name])) for name in chosen.fields}
    return DisclosedRecord(
        category=record.category,
        source=source,
        document=values.pop(DOCUMENT, None),
        recorded_at=record.created_at,
        display_from=record.display_from,
        display_until=record.display_until,
        how_counted=record.how_counted,
        fields=values,
        annotations=chosen.annotations,
    )


def months_of(chosen: Sequence[ChosenVersion]) -> set[int]:
    """The expiry months whose keys are needed."""
    return {one.record.expiry_id for one in chosen}


def furnishers_of(chosen: Sequence[ChosenVersion]) -> set[UUID]:
    """The bodies whose names stand as sources."""
    return {one.record.furnisher for one in chosen}
