"""A vault moved from one key provider to another, while queries go on; each step may be stopped and repeated.

Both are configured (`vault.crypto.succeeding`), and every process knows both.

    1  a newer version of `root`, then of `index`, in the new provider, taken into use as in a rotation
    2  what the former wrapped of persons and of the system is wrapped anew        (rewrapping)
    3  the blind indexes are made anew from the sealed numbers                     (reindexing)
    4  each month's expiry key is wrapped anew under a key of its own there
    5  looked at: nothing in the database needs the former, and what was moved opens

**Months.** The row of a month is locked while it is moved, so the end of a month (`month_ends`) comes before
or after, and never in between. The former keeps its keys of months, which open what backups from before the
move hold. A month that ends while both are configured is destroyed in both; one that ends later has, by the
day it is final, no backup left that the former's key opens. The former's keys go, in a step of its own, with
its last version of the root key (`rotating.destroy`).

**Backups** from before the move need the former, those from after it the new one, those in between both.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log.log import Log
from consent.journal import Actor
from vault.crypto.envelopes import RecordKey, expiry_key_aad
from vault.crypto.errors import ProviderUnavailableError
from vault.crypto.journal import for_job
from vault.crypto.provider import MAKERS
from vault.crypto.succeeding import SucceedingKeys
from vault.errors import VaultError
from vault.records import key_versions
from vault.records.expiry_keys import ExpiryKeys, key_name
from vault.records.keys import VaultKeys
from vault.records.rewrapping import Progress
from vault.records.rotating import KINDS, Rotation, take_into_use

_AT_ONCE: Final = 500
_FIRST: Final = UUID(int=0)

_TO_MOVE = text(
    "SELECT expiry_id FROM vault.expiry_key WHERE wrapped IS NOT NULL AND get_byte(wrapped, 0) <> :maker"
    " ORDER BY expiry_id"
)
_MONTH = text("SELECT wrapped FROM vault.expiry_key WHERE expiry_id = :month FOR UPDATE")
_MOVE_MONTH = text("UPDATE vault.expiry_key SET wrapped = :wrapped WHERE expiry_id = :month")
_UNFINISHED = text(
    "SELECT count(*) FROM vault.expiry_key WHERE ended_at IS NOT NULL AND destroyed_at IS NULL"
)
_WRAPS = (
    ("keys of persons", text("SELECT count(*) FROM vault.subject WHERE get_byte(wrapped_key, 0) <> :maker")),
    (
        "keys of the system",
        text("SELECT count(*) FROM vault.system_key WHERE get_byte(wrapped, 0) <> :maker"),
    ),
    (
        "months",
        text(
            "SELECT count(*) FROM vault.expiry_key"
            " WHERE wrapped IS NOT NULL AND get_byte(wrapped, 0) <> :maker"
        ),
    ),
    (
        "blind indexes",
        text(
            "SELECT count(*) FROM vault.identifier i JOIN vault.key_version v"
            " ON v.name = 'index' AND v.version = i.key_version WHERE v.provider <> :provider"
        ),
    ),
    ("months that have ended and are not destroyed yet", _UNFINISHED),
)
_PERSONS = text("SELECT count(*) FROM vault.subject")
_LOOKED_AT = text(
    "SELECT s.subject_id, s.wrapped_key AS subject_key, r.record_id, r.version, r.expiry_id, r.wrapped_key,"
    " r.key_check FROM (SELECT subject_id, wrapped_key FROM vault.subject WHERE subject_id > :after"
    " ORDER BY subject_id LIMIT :count) s LEFT JOIN vault.record r ON r.subject_id = s.subject_id"
    " ORDER BY s.subject_id"
)
_STRANGERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'creditvault keys=%' AND NOT application_name LIKE :knows"
)


class MoveError(VaultError):
    """The vault cannot be moved now; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at once everything was moved.

    Attributes:
        left: what still needs the former provider, by what it is.
        persons: whose key was opened by the new provider.
        records: record versions whose key opened with that and their month's, and passed its key check.
    """

    left: dict[str, int]
    persons: int
    records: int

    @property
    def former_may_go(self) -> bool:
        """Whether nothing in the database needs the former provider."""
        return not self.left


def both(keys: VaultKeys) -> SucceedingKeys:
    """The two providers.

    Raises:
        MoveError: one alone is configured.
    """
    if not isinstance(keys.provider, SucceedingKeys):
        raise MoveError(
            "one key provider alone is named: set CREDITVAULT_KEY_PROVIDER to the one to move to, and "
            "CREDITVAULT_FORMER_KEY_PROVIDER to the one that has the keys, for every process"
        )
    return keys.provider


async def require_known_everywhere(engine: AsyncEngine, provider: str) -> None:
    """Refuses to begin while a process is connected that does not know the new provider.

    It would seek by the former's index alone, and take whoever was moved for unknown.

    Raises:
        MoveError: there is one.
    """
    async with engine.connect() as connection:
        count = await connection.scalar(_STRANGERS, {"knows": f"creditvault keys={provider}%"})
    if count:
        raise MoveError(
            f"{count} connections are of processes that do not make keys in {provider}: restart every server "
            "and worker with the same settings as this command, then run it again"
        )


async def succeed(log: Log, keys: VaultKeys, name: str, actor: Actor) -> Rotation:
    """Step 1: has a version of a key in the new provider make all that is new; harmless when one does.

    Args:
        log: the open log.
        keys: the vault's keys.
        name: `ROOT` or `INDEX`.
        actor: who moves it.

    Raises:
        MoveError: one provider alone is configured.
        ProviderError: one of them does not answer; do it again.
        AccessLogError: the log cannot append; do it again.
    """
    provider = both(keys)
    new = MAKERS[provider.maker]
    async with log.engine.connect() as connection:
        in_use, lives_in = await key_versions.in_use(connection, name)
        known = [
            one.version
            for one in await key_versions.every(connection)
            if (one.name, one.provider) == (name, new)
        ]
    if lives_in == new:
        return Rotation(name, in_use, None)
    version = await provider.make_above(name, KINDS[name], in_use, known)
    return await take_into_use(log, keys, name, version, actor)


async def move_months(engine: AsyncEngine, keys: VaultKeys, progress: Progress) -> int:
    """Step 4: wraps the key of each month anew in the new provider; returns how many.

    Raises:
        UnsealError: a wrapped key was altered; those before are done.
        ProviderError: one of the providers does not answer; do it again.
    """
    provider = both(keys)
    async with engine.connect() as connection:
        months = list(await connection.scalars(_TO_MOVE, {"maker": provider.maker}))
    for done, month in enumerate(months, start=1):
        async with engine.begin() as connection:
            await _move_month(connection, provider, month)
        progress(done, len(months))
    return len(months)


async def _move_month(connection: AsyncConnection, provider: SucceedingKeys, month: int) -> None:
    wrapped = (await connection.execute(_MONTH, {"month": month})).scalar_one()
    if wrapped is None or wrapped[0] == provider.maker:
        return  # It ended, or another process moved it.
    name, aad = key_name(month), expiry_key_aad(month)
    (secret,) = await provider.former.open_to_rewrap(name, [(wrapped, aad)])
    if not await provider.new.versions(name):
        await provider.new.create(name)
    fresh = await provider.new.wrap(name, secret, aad)
    (again,) = await provider.new.open_to_rewrap(name, [(fresh, aad)])
    if not hmac.compare_digest(again, secret):
        raise ProviderUnavailableError(f"the new key provider does not open what it wrapped (key {name})")
    await connection.execute(_MOVE_MONTH, {"month": month, "wrapped": fresh})


async def look(engine: AsyncEngine, keys: VaultKeys, most: int | None, progress: Progress) -> Looked:
    """Step 5: counts what is left with the former, and opens what was moved.

    A record's key opens only with the very keys of its person and month that it was wrapped with, and is held
    against its key check: so both came through the move as they were.

    Args:
        engine: the application role's database.
        keys: the vault's keys.
        most: at how many persons to look, from a random one on; None for all.
        progress: told how many are behind it, of how many.

    Raises:
        UnsealError: a key does not open any more; the former provider must stay.
        ProviderError: a provider does not answer; do it again.
    """
    maker = both(keys).maker
    async with engine.connect() as connection:
        asked = {"maker": maker, "provider": MAKERS[maker]}
        counts = {what: int(await connection.scalar(counted, asked) or 0) for what, counted in _WRAPS}
        total = int(await connection.scalar(_PERSONS) or 0)
    wanted = total if most is None else min(most, total)
    # Its own, since the vault's hold what the former opened.
    months = ExpiryKeys(engine, keys.provider)
    persons = records = 0
    after: UUID = _FIRST if wanted == total else uuid4()
    while persons < wanted:
        count = min(_AT_ONCE, wanted - persons)
        async with engine.connect() as connection:
            rows = (await connection.execute(_LOOKED_AT, {"after": after, "count": count})).all()
        if not rows:
            if after == _FIRST:
                break
            after = _FIRST  # Round the end.
            continue
        found = await _open(keys, months, rows)
        persons, records = persons + found[0], records + found[1]
        after = rows[-1].subject_id
        progress(persons, wanted)
    return Looked({what: count for what, count in counts.items() if count}, persons, records)


async def _open(keys: VaultKeys, expiry: ExpiryKeys, rows: Sequence[Row[Any]]) -> tuple[int, int]:
    """Opens the keys of persons and of their records; how many of each."""
    wrapped = {row.subject_id: row.subject_key for row in rows}
    job = for_job(f"move.{uuid4()}")
    opened = await keys.subject_keys(list(wrapped.items()), [job] * len(wrapped))
    persons = {key.subject: key for key in opened}
    sealed = [row for row in rows if row.record_id is not None]
    months = await expiry.load({row.expiry_id for row in sealed})
    readable = [row for row in sealed if row.expiry_id in months]
    for row in readable:
        RecordKey.unwrap(
            persons[row.subject_id],
            row.record_id,
            row.version,
            expiry_key=months[row.expiry_id],
            wrapped=row.wrapped_key,
            key_check=row.key_check,
        )
    return len(persons), len(readable)
