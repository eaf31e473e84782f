"""How well a body furnishes: counts by month, without anything of a person.

They are written in the transaction of the rows they count, so a row that stands is counted once, and one that
was lost with a crash is not.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vault.records.submission import Notice, Submission
from vault.records.tables import furnishing_count

_AGES: Final = ((7, "0-7"), (30, "8-30"), (90, "31-90"), (365, "91-365"))
_OLDER: Final = "366+"
_UNDATED: Final = "undated"
AGES: Final = (*(name for _, name in _AGES), _OLDER, _UNDATED)
"""Days between a record's document, or else its notice, and the day it was handed in."""

_ADD = text(
    "INSERT INTO vault.furnishing_count (body_id, month, measure, key, records)"
    " SELECT :body_id, :month, t.measure, t.key, t.records FROM unnest(CAST(:measures AS text[]),"
    " CAST(:keys AS text[]), CAST(:records AS bigint[])) AS t (measure, key, records)"
    " ON CONFLICT (body_id, month, measure, key)"
    " DO UPDATE SET records = furnishing_count.records + excluded.records"
)


class Measure(StrEnum):
    """What is counted, and by what."""

    ENROLLED = "enrolled"
    """First versions, by category."""
    LATE = "late"
    """Versions, by the days since their document (`AGES`)."""
    CORRECTED = "corrected"
    """Later versions, by the reason for which they supersede."""
    REJECTED = "rejected"
    """Rows turned away, each time they were handed in, by the rule they broke."""


Counts = Counter[tuple[Measure, str]]


@dataclass(frozen=True, slots=True)
class QualityMonth:
    """The counts of one body in one month of the pack's time zone.

    Attributes:
        month: yyyymm.
        enrolled: first versions by category.
        late: versions by `AGES`.
        corrected: later versions by reason.
        rejected: rows by rule.
    """

    month: int
    enrolled: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    corrected: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


def of_version(submission: Submission, today: date) -> Iterable[tuple[Measure, str]]:
    """What one version that is enrolled counts as."""
    supersedes = submission.supersedes
    if supersedes is None:
        yield Measure.ENROLLED, submission.category
    else:
        yield Measure.CORRECTED, supersedes.reason
    yield Measure.LATE, _age(submission, today)


async def count(connection: AsyncConnection, body_id: UUID, today: date, counts: Counts) -> None:
    """Adds to the counts of a body's month, in a transaction that holds the head lock."""
    if not counts:
        return
    await connection.execute(
        _ADD,
        {
            "body_id": body_id,
            "month": today.year * 100 + today.month,
            "measures": [measure.value for measure, _ in counts],
            "keys": [key for _, key in counts],
            "records": list(counts.values()),
        },
    )


async def months_of(connection: AsyncConnection, body_id: UUID, most: int) -> list[QualityMonth]:
    """The counts of a body's months, the newest first, at most so many; months without any are absent."""
    table = furnishing_count.c
    newest = (
        select(table.month)
        .where(table.body_id == body_id)
        .distinct()
        .order_by(table.month.desc())
        .limit(most)
    )
    rows = await connection.execute(
        select(table.month, table.measure, table.key, table.records)
        .where(table.body_id == body_id, table.month.in_(newest))
        .order_by(table.month.desc(), table.measure, table.key)
    )
    found: dict[int, QualityMonth] = {}
    for month, measure, key, records in rows:
        counted: dict[str, int] = getattr(found.setdefault(month, QualityMonth(month)), measure)
        counted[key] = records
    return list(found.values())


async def totals(connection: AsyncConnection) -> dict[Measure, int]:
    """Everything ever counted, of all bodies together."""
    table = furnishing_count.c
    rows = await connection.execute(select(table.measure, func.sum(table.records)).group_by(table.measure))
    return {Measure(measure): int(records) for measure, records in rows}


def _age(submission: Submission, today: date) -> str:
    if submission.document is not None:
        since = submission.document.date
    elif isinstance(submission.notice, Notice):
        since = submission.notice.date
    else:
        return _UNDATED
    days = (today - since).days
    return next((name for most, name in _AGES if days <= most), _OLDER)
