"""The end of a month: its expiry key is destroyed, and whatever hangs on it is unreadable, in backups too.

For each month that is over in the pack's time zone, and some days of grace with it:

    1  what lasts longer is wrapped under a later month            (carrying, holding)
    2  under the log's head lock: nothing that may still be shown hangs on the month; its wrapped key is
       removed, and the entry `expiry-key.ended` says so           one transaction; from here nobody opens it
    3  the records that hung on it, ciphertexts nothing opens, are removed
    4  the provider destroys the key that wrapped the month's
    5  the entry `expiry-key.destroyed` says so, and from when on no backup holds it either

**Why two entries.** An entry before the destruction alone would call a key destroyed that still stands if the
process is killed in between; one after it alone would leave a key destroyed of which the log knows nothing.
Killed after 2, 3 or 4, the next run goes on at 3: each step may be repeated. What was decided under the lock
stays true, because from 2 on nothing can be wrapped under the month any more.

A database that was restored from before step 2 still has the row and not the provider's key: it opens nothing
of the month, and the next run writes it down once more. A keyring that was restored from before step 4 has
the key again: the next run destroys it once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import JSON, Payload
from access_log.stored_log import StoredLog
from vault.catalogue import Catalogue
from vault.catalogue.months import month_id
from vault.crypto.errors import ProviderRefusedError
from vault.crypto.provider import DelayedDestroy
from vault.records import carrying, holding
from vault.records.carrying import Carried
from vault.records.expiry_keys import key_name
from vault.records.holding import Holding
from vault.records.keys import VaultKeys

ENDED: Final = "expiry-key.ended"
DESTROYED: Final = "expiry-key.destroyed"
_AT_ONCE: Final = 1000
_KEPT: Final = text(
    "SELECT expiry_id FROM vault.expiry_key WHERE wrapped IS NOT NULL AND expiry_id < :before ORDER BY 1"
)
_ENDED: Final = text(
    "SELECT expiry_id, destroyed_at FROM vault.expiry_key WHERE ended_at IS NOT NULL ORDER BY 1"
)
_OF_MONTH: Final = text(
    "SELECT (SELECT count(*) FROM vault.record WHERE expiry_id = :month) AS records,"
    " (SELECT count(*) FROM access_log.payload WHERE expiry_id = :month) AS payloads"
)
_END: Final = text(
    "UPDATE vault.expiry_key SET wrapped = NULL, ended_at = :now"
    " WHERE expiry_id = :month AND wrapped IS NOT NULL"
)
_REMOVE: Final = text(
    "WITH removed AS (DELETE FROM vault.record WHERE (subject_id, record_id, version) IN"
    " (SELECT subject_id, record_id, version FROM vault.record WHERE expiry_id = :month LIMIT :most)"
    " RETURNING 1), counted AS (SELECT count(*) AS number FROM removed)"
    " UPDATE vault.expiry_key SET records = records + counted.number FROM counted"
    " WHERE expiry_id = :month AND ended_at IS NOT NULL RETURNING counted.number"
)
_DESTROYED: Final = text(
    "UPDATE vault.expiry_key SET destroyed_at = :now, final_on = :final_on"
    " WHERE expiry_id = :month AND ended_at IS NOT NULL"
    " AND destroyed_at IS NOT DISTINCT FROM CAST(:before AS timestamptz) RETURNING records"
)
_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DueMonth:
    """A month that is to end.

    Attributes:
        month: yyyymm.
        records: record versions that hang on it.
        lasting: what keeps its key: those of them that may still be shown, and payloads under a legal hold.
        payloads: of the log, whose retention ends with it.
    """

    month: int
    records: int
    lasting: int
    payloads: int


@dataclass(frozen=True, slots=True)
class DestroyedMonth:
    """A month whose key is destroyed.

    Attributes:
        month: yyyymm.
        records: record versions that were removed with it.
        final_on: the day from which on no backup opens it any more; None where the provider keeps its key.
    """

    month: int
    records: int
    final_on: date | None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did.

    Attributes:
        carried: records with a longer life, wrapped under later months.
        destroyed: months whose key was destroyed.
        held_up: months that are due and keep their key, because of what lasts on them.
    """

    carried: Carried
    destroyed: tuple[DestroyedMonth, ...]
    held_up: tuple[DueMonth, ...]


def first_kept(today: date, grace_days: int) -> int:
    """The first month (yyyymm) that is not due: it is not over, or has been for no longer than the grace."""
    return month_id(today - timedelta(days=grace_days))


class MonthEnds:
    """Ends months. Any number of processes may: what one did, the others leave.

    Args:
        log: the open log.
        keys: the vault's keys.
        catalogue: says what a day is, and how far ahead the rolling month lies.
        grace_days: after the end of a month, before its key is destroyed.
        backup_days: how long backups of database and keyring are kept.
        logs: every log of the database, whose payloads hang on the same keys.
        holding: tells which payloads a legal hold keeps.
        today: gives the legal date of an instant; the catalogue's, unless a test travels.
    """

    def __init__(
        self,
        log: Log,
        keys: VaultKeys,
        catalogue: Catalogue,
        *,
        grace_days: int,
        backup_days: int,
        logs: Sequence[StoredLog] = (),
        holding: Holding = holding.nothing_held,
        today: Callable[[datetime], date] | None = None,
    ) -> None:
        self._log = log
        self._keys = keys
        self._catalogue = catalogue
        self._grace_days = grace_days
        self._backups = timedelta(days=backup_days)
        self._logs = logs
        self._held = holding
        self._today = catalogue.today if today is None else today

    async def due(self) -> list[DueMonth]:
        """What the next run will end, if nothing that may still be shown hangs on it by then."""
        today = self._today(datetime.now(UTC))
        async with self._log.engine.connect() as connection:
            return [
                await self._look_at(connection, month, today) for month in await self._kept(connection, today)
            ]

    async def run(self) -> Ran:
        """Does steps 1 to 5 for every month that is due, and what an earlier run left undone.

        Raises:
            AccessLogError: the log cannot append now; the next run goes on.
            ProviderError: the key provider does not answer, or does not destroy; the next run goes on.
        """
        today = self._today(datetime.now(UTC))
        carried = await carrying.carry_forward(self._log.engine, self._keys, self._catalogue, today)  # 1
        async with self._log.engine.connect() as connection:
            held = await self._held(connection)
            kept = await self._kept(connection, today)
        before, rolling = self._catalogue.carried_before(today), self._catalogue.rolling_month(today)
        await holding.move_on(  # 1
            self._log.engine, self._keys, self._logs, held, before=before, month=rolling
        )
        held_up = [one for month in kept if (one := await self._end(month)) is not None]  # 2
        async with self._log.engine.connect() as connection:
            ended = (await connection.execute(_ENDED)).all()
        destroyed = []
        for month, before in ended:
            if before is None or await self._is_back(month):
                await self._remove(month)  # 3
                await self._destroy(month)  # 4
                done = await self._write_down(month, before)  # 5
                if done is not None:
                    destroyed.append(done)
        for one in held_up:
            _events.error("month_held_up", month=one.month, records=one.lasting)
        return Ran(carried, tuple(destroyed), tuple(held_up))

    async def _kept(self, connection: AsyncConnection, today: date) -> list[int]:
        found = await connection.execute(_KEPT, {"before": first_kept(today, self._grace_days)})
        return list(found.scalars())

    async def _look_at(self, connection: AsyncConnection, month: int, today: date) -> DueMonth:
        records, payloads = (await connection.execute(_OF_MONTH, {"month": month})).one()
        shown = await carrying.hanging(connection, month, today)
        held = await holding.hanging(connection, await self._held(connection), month)
        return DueMonth(month, records, shown + held, payloads)

    async def _end(self, month: int) -> DueMonth | None:
        """Step 2; returns the month where it is held up."""
        async with self._log.writing() as writing:
            # Two clocks must agree that it is over: what a wrong one destroys nobody brings back.
            today = min(self._today(datetime.now(UTC)), self._today(writing.now))
            if month >= first_kept(today, self._grace_days):
                return None
            found = await self._look_at(writing.connection, month, today)
            if found.lasting:
                return found
            # No record of this month comes after this transaction: who enrols seals for months that are not
            # over, and writes long before the grace is.
            ended = await writing.connection.execute(_END, {"month": month, "now": writing.now})
            if ended.rowcount:
                _add(writing, ENDED, {"month": month, "records": found.records, "payloads": found.payloads})
        return None

    async def _remove(self, month: int) -> None:
        """Step 3, in parts: queries read the same table meanwhile, and show nothing of it."""
        removed = 1
        while removed:
            async with self._log.engine.begin() as connection:
                removed = (await connection.execute(_REMOVE, {"month": month, "most": _AT_ONCE})).scalar_one()

    async def _destroy(self, month: int) -> None:
        """Step 4."""
        provider = self._keys.provider
        await provider.destroy(key_name(month))
        if provider.destroy_policy == "now" and await provider.versions(key_name(month)):
            raise ProviderRefusedError(
                f"the key provider was told to destroy {key_name(month)} and has it still"
            )

    async def _is_back(self, month: int) -> bool:
        """Whether a key that was destroyed stands there again, from an older copy of the keyring."""
        provider = self._keys.provider
        return provider.destroy_policy == "now" and bool(await provider.versions(key_name(month)))

    async def _write_down(self, month: int, before: datetime | None) -> DestroyedMonth | None:
        """Step 5; None where another process did it."""
        async with self._log.writing() as writing:
            final_on = self.final_on(self._today(writing.now))
            asked = {"month": month, "now": writing.now, "final_on": final_on, "before": before}
            row = (await writing.connection.execute(_DESTROYED, asked)).one_or_none()
            if row is None:
                return None
            stated = {"month": month, "records": row.records, "final_on": final_on and final_on.isoformat()}
            _add(writing, DESTROYED, stated)
        _events.info("month_destroyed", month=month, records=row.records)
        return DestroyedMonth(month, row.records, final_on)

    def final_on(self, day: date) -> date | None:
        """The day from which on no backup opens what is destroyed on `day`; None if the provider keeps it."""
        policy = self._keys.provider.destroy_policy
        if policy == "none":
            return None
        delay = policy.days if isinstance(policy, DelayedDestroy) else 0
        return day + self._backups + timedelta(days=delay)


def _add(writing: Writing, event: str, stated: dict[str, JSON]) -> None:
    payload = Payload.create(
        EntryType.KEY,
        {"event": event, "actor": "creditvault", "actor_role": "vault", "object": stated},
    )
    writing.add(Event(SYSTEM_STREAM, payload))
