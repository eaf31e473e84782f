"""Sealing one record version: the counterpart of `opening`."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from vault.catalogue import DisplayWindow
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey

FIRST_VERSION = 1
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class RecordFrame:
    """What stays unsealed of a record, because a query must be decided before anything is opened.

    Attributes:
        reference: keyed digest of the furnisher's reference.
        content: keyed digest of the submission.
    """

    category: str
    furnisher: UUID
    reference: bytes
    content: bytes
    basis: str
    window: DisplayWindow


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A sealed record version, ready to be stored."""

    subject_id: UUID
    record_id: UUID
    version: int
    frame: RecordFrame
    expiry_id: int
    wrapped_key: bytes
    key_check: bytes
    sealed: dict[str, bytes]


def seal_record(
    subject_key: SubjectKey,
    expiry_key: ExpiryKey,
    frame: RecordFrame,
    values: Mapping[str, object],
    *,
    record_id: UUID,
    version: int,
) -> NewRecord:
    """Seals one version of a record, each value under its own name.

    Args:
        subject_key: whose record it is.
        expiry_key: of the month in which its display ends.
        frame: what stays unsealed.
        values: by field name; each has a JSON form.
        record_id: of all its versions.
        version: from `FIRST_VERSION`.
    """
    key = RecordKey.generate(subject_key, record_id, version)
    return NewRecord(
        subject_id=subject_key.subject,
        record_id=record_id,
        version=version,
        frame=frame,
        expiry_id=expiry_key.id,
        wrapped_key=key.wrap(expiry_key),
        key_check=key.check(),
        sealed=key.fields(frame.category).seal({name: _encode(value) for name, value in values.items()}),
    )
