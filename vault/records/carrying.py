"""The rolling month: records with no end yet are wrapped anew under a later month, before theirs is over.

What is shown for an unknown time hangs on a month some way ahead (`Catalogue.rolling_month`). A job moves
what lasts longer than its month: the same record key, wrapped under the person's key and a later month's
(FORMAT 5). Fields and key check stay, so a query under way opens either row; a row that changed meanwhile is
left to the next look. It may be killed and repeated.

The other way about, what is shown no more before its time (a version that was corrected, a record annulled or
repaired) does not hang on its own month for years: it is wrapped under the rolling month, if that is earlier.
Until then a leak of it can be traced and a dispute about it decided. Older copies of its row open until the
month it hung on ends, or backups have aged out (FORMAT, decisions).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.catalogue import Catalogue
from vault.catalogue.display import NEVER
from vault.catalogue.months import month_id
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.crypto.errors import CryptoError, UnsealError
from vault.crypto.journal import Purpose, for_job
from vault.records.keys import VaultKeys

_AT_ONCE: Final = 256
_DUE = text(
    "SELECT r.subject_id, r.record_id, r.version, r.expiry_id, r.wrapped_key, r.key_check, r.display_until,"
    " s.wrapped_key AS subject_key"
    " FROM vault.record r JOIN vault.subject s ON s.subject_id = r.subject_id"
    # What was corrected, annulled or repaired is never shown again: it ends with the month it hangs on. The
    # index record_to_carry holds just what these lines say, whatever else ends in the next half year.
    " WHERE r.expiry_id < :before AND NOT r.superseded AND r.state NOT IN ('annulled', 'repaired')"
    " AND (r.display_until IS NULL"
    " OR extract(year FROM r.display_until) * 100 + extract(month FROM r.display_until) > r.expiry_id)"
    " AND (r.display_until IS NULL OR r.display_until >= :today)"
    " AND r.record_id <> ALL(CAST(:stuck AS uuid[])) LIMIT :most"
)
_SHOWN_NO_MORE = text(
    "SELECT r.subject_id, r.record_id, r.version, r.expiry_id, r.wrapped_key, r.key_check,"
    " s.wrapped_key AS subject_key"
    " FROM vault.record r JOIN vault.subject s ON s.subject_id = r.subject_id"
    # The index record_shown_no_more holds just these.
    " WHERE (r.superseded OR r.state IN ('annulled', 'repaired')) AND r.expiry_id > :rolling"
    " AND r.record_id <> ALL(CAST(:stuck AS uuid[])) LIMIT :most"
)
_MOVE = text(
    "UPDATE vault.record r SET expiry_id = t.expiry_id, wrapped_key = t.wrapped"
    " FROM unnest(CAST(:subjects AS uuid[]), CAST(:records AS uuid[]), CAST(:versions AS integer[]),"
    " CAST(:before AS bytea[]), CAST(:expiries AS integer[]), CAST(:wrapped AS bytea[]))"
    " AS t (subject_id, record_id, version, before, expiry_id, wrapped)"
    " WHERE r.subject_id = t.subject_id AND r.record_id = t.record_id AND r.version = t.version"
    " AND r.wrapped_key = t.before"
)
_HANGING = text(
    "SELECT count(*) FROM vault.record r WHERE r.expiry_id = :month"
    " AND NOT r.superseded AND r.state NOT IN ('annulled', 'repaired')"
    " AND (r.display_until IS NULL OR r.display_until >= :today)"
)
_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Carried:
    """What a run did.

    Attributes:
        records: wrapped anew under a later month.
        stuck: that should have been and do not open: none of their months is destroyed.
        shortened: wrapped anew under an earlier month.
    """

    records: int
    stuck: int
    shortened: int = 0


async def hanging(connection: AsyncConnection, month: int, today: date) -> int:
    """How many record versions hang on a month that may be shown today or later."""
    number: int = (await connection.execute(_HANGING, {"month": month, "today": today})).scalar_one()
    return number


async def carry_forward(engine: AsyncEngine, keys: VaultKeys, catalogue: Catalogue, today: date) -> Carried:
    """Wraps anew whatever lasts longer than the month it hangs on, if that is near; and what is over early.

    Args:
        engine: the database.
        keys: the vault's keys.
        catalogue: says how far ahead, and when.
        today: the legal date.

    Raises:
        ProviderError: the key provider does not answer; what was moved stays moved.
    """
    rolling = catalogue.rolling_month(today)
    asked = {"before": catalogue.carried_before(today), "today": today}
    carried, stuck = await _rewrap(engine, keys, _DUE, asked, lambda row: _target(row.display_until, rolling))
    shortened, closed = await _rewrap(engine, keys, _SHOWN_NO_MORE, {"rolling": rolling}, lambda _: rolling)
    if stuck or closed:
        _events.critical("records_not_carried", count=len(stuck) + len(closed))
    return Carried(carried, len(stuck), shortened)


async def _rewrap(
    engine: AsyncEngine,
    keys: VaultKeys,
    found: TextClause,
    asked: Mapping[str, object],
    target: Callable[[Row[Any]], int],
) -> tuple[int, set[UUID]]:
    """Wraps what a statement finds under the month each is to hang on; how many, and what does not open."""
    carried = 0
    stuck: set[UUID] = set()
    job = for_job(f"carry.{uuid4()}")
    while True:
        async with engine.connect() as connection:
            given = {**asked, "stuck": list(stuck), "most": _AT_ONCE}
            rows = (await connection.execute(found, given)).all()
        if not rows:
            return carried, stuck
        persons = await _persons(keys, rows, job)
        targets = [target(row) for row in rows]
        before = await keys.expiry.load({row.expiry_id for row in rows})
        later = await keys.expiry.keys(set(targets))
        moved = []
        for row, month in zip(rows, targets, strict=True):
            new = _rewrapped(row, persons, before, later[month])
            if new is None:
                stuck.add(row.record_id)
            else:
                moved.append((row, month, new))
        carried += await _move(engine, moved)


def _target(until: date | None, rolling: int) -> int:
    return rolling if until is None or until == NEVER else month_id(until)


async def _persons(keys: VaultKeys, rows: Sequence[Row[Any]], job: Purpose) -> dict[UUID, SubjectKey]:
    """The keys of the rows' persons; absent are those that do not open."""
    wrapped = {row.subject_id: row.subject_key for row in rows}
    try:
        return {
            key.subject: key for key in await keys.subject_keys(list(wrapped.items()), [job] * len(wrapped))
        }
    except UnsealError:
        # A batch stands or falls as one: each by itself shows which row is bad.
        found: dict[UUID, SubjectKey] = {}
        for one in wrapped.items():
            try:
                (key,) = await keys.subject_keys([one], [job])
            except UnsealError:
                continue
            found[key.subject] = key
        return found


def _rewrapped(
    row: Row[Any], persons: Mapping[UUID, SubjectKey], before: Mapping[int, ExpiryKey], later: ExpiryKey
) -> bytes | None:
    """The record key under the later month; None where the row does not open."""
    person, month = persons.get(row.subject_id), before.get(row.expiry_id)
    if person is None or month is None:
        return None
    try:
        key = RecordKey.unwrap(
            person,
            row.record_id,
            row.version,
            expiry_key=month,
            wrapped=row.wrapped_key,
            key_check=row.key_check,
        )
    except CryptoError:
        return None
    return key.wrap(later)


async def _move(engine: AsyncEngine, moved: Sequence[tuple[Row[Any], int, bytes]]) -> int:
    if not moved:
        return 0
    async with engine.begin() as connection:
        done = await connection.execute(
            _MOVE,
            {
                "subjects": [row.subject_id for row, _, _ in moved],
                "records": [row.record_id for row, _, _ in moved],
                "versions": [row.version for row, _, _ in moved],
                "before": [row.wrapped_key for row, _, _ in moved],
                "expiries": [target for _, target, _ in moved],
                "wrapped": [new for _, _, new in moved],
            },
        )
        return done.rowcount
