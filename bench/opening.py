"""Opening one record when the person's key is at hand: what each further record of an answer costs."""

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid4

from vault.catalogue import DisplayWindow
from vault.crypto.envelopes import ExpiryKey, SubjectKey
from vault.records.choose import ChosenVersion
from vault.records.opening import open_record
from vault.records.sealing import FIRST_VERSION, RecordFrame, seal_record
from vault.records.store import SHOWN, SealedRecord

_FIELDS = 10
_MONTH = 203207
_ROUNDS = 5_000


@dataclass(frozen=True)
class OpeningFigures:
    """Microseconds of CPU for one record."""

    record: float
    fields: int


def measure() -> OpeningFigures:
    """Opens ten fields of one record again and again."""
    subject_key, expiry_key = SubjectKey.generate(uuid4()), ExpiryKey.generate(_MONTH)
    names = tuple(f"field_{number}" for number in range(_FIELDS))
    window = DisplayWindow(date(2026, 1, 1), date(2032, 7, 1), "bench")
    frame = RecordFrame("FIN", uuid4(), b"", b"", "CRI-29", window)
    values = dict.fromkeys(names, "10k-50k")
    made = seal_record(subject_key, expiry_key, frame, values, record_id=uuid4(), version=FIRST_VERSION)
    record = SealedRecord(
        made.record_id,
        made.version,
        frame.category,
        frame.furnisher,
        frame.basis,
        window.start,
        window.end,
        window.how_counted,
        SHOWN,
        made.expiry_id,
        made.wrapped_key,
        made.key_check,
        made.sealed,
        datetime.now(UTC),
    )
    chosen = ChosenVersion(record, names, ())
    started = time.process_time()
    for _ in range(_ROUNDS):
        open_record(chosen, subject_key, expiry_key, "bench")
    return OpeningFigures((time.process_time() - started) / _ROUNDS * 1e6, _FIELDS)
