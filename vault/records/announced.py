"""Later versions of those keys of the system that every process is to use from one moment on.

    announced ──── LEAD ────► in use ────► former, once a later one is in use

A version is announced in the database before it is used, so that by then every process knows it, and whoever
fetched a key set lately has it. Nothing is done at the moment itself: a process goes by its clock. One that
has not heard of a version goes on with the one before, whose work stays good.

An announcement:
    1. the version's secret is made, wrapped by the root key     (durable; nobody uses it)
    2. under the head lock, in one transaction: its entry of type 7, and from when it is in use

Whatever stops it between the two, the next announcement takes that same version.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import JSON, Payload
from consent.journal import Actor
from vault.records.tables import announced_key, system_key

LEAD: Final = timedelta(minutes=10)
"""From the announcement to the first use: longer than processes take to look, and caches to forget."""
FIRST: Final = 1


@dataclass(frozen=True, slots=True)
class Announced:
    """One version of a key, as the database knows it.

    Attributes:
        version: from 1.
        in_use_from: since when it is used; None for the first.
    """

    version: int
    in_use_from: datetime | None


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """One version of a key, as a process holds it."""

    version: int
    in_use_from: datetime | None
    secret: bytes


Version = TypeVar("Version", Announced, HeldVersion)


def newest_in_use(versions: Sequence[Version], now: datetime) -> Version:
    """The version that is used now, of all that were ever announced, oldest first."""
    return [one for one in versions if one.in_use_from is None or one.in_use_from <= now][-1]


async def read(connection: AsyncConnection, name: str) -> list[Announced]:
    """Every version of a key, oldest first."""
    rows = await connection.execute(
        select(announced_key.c.version, announced_key.c.in_use_from)
        .where(announced_key.c.name == name)
        .order_by(announced_key.c.version)
    )
    return [Announced(FIRST, None), *(Announced(*row) for row in rows)]


async def made_at(connection: AsyncConnection, name: str) -> dict[int, datetime]:
    """When each version's secret was made."""
    rows = await connection.execute(
        select(system_key.c.version, system_key.c.created_at).where(system_key.c.name == name)
    )
    return {row.version: row.created_at for row in rows}


class AnnouncedKeys:
    """The versions of these keys that this process knows, for as long as it lives.

    Args:
        engine: of the application role.
        names: of the keys.
        secret: makes one version of a key available, 32 bytes.
    """

    def __init__(
        self, engine: AsyncEngine, names: Sequence[str], secret: Callable[[str, int], Awaitable[bytes]]
    ) -> None:
        self._engine = engine
        self._secret = secret
        self._held: dict[str, tuple[HeldVersion, ...]] = dict.fromkeys(names, ())
        self._renewing = asyncio.Lock()

    async def renew(self) -> Mapping[str, Sequence[int]]:
        """Takes over what was announced; returns the versions that are new here, of each key that has any.

        Raises:
            KeysMissingError: a version that was announced is missing.
            UnsealError, ProviderError: its secret cannot be unwrapped.
            SQLAlchemyError: the database cannot be used now.
        """
        new: dict[str, Sequence[int]] = {}
        async with self._renewing:
            for name, held in self._held.items():
                async with self._engine.connect() as connection:
                    announced = await read(connection, name)
                more = [
                    HeldVersion(one.version, one.in_use_from, await self._secret(name, one.version))
                    for one in announced[len(held) :]
                ]
                if more:
                    self._held[name] = (*held, *more)
                    new[name] = [one.version for one in more]
        return new

    def versions(self, name: str) -> Sequence[HeldVersion]:
        """Every version of a key that was announced before the last look, oldest first."""
        return self._held[name]

    def in_use(self, name: str) -> HeldVersion:
        """The version of a key that is used now."""
        return newest_in_use(self._held[name], datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Announcement:
    """A version that is announced, or in use already.

    Attributes:
        entry: index of the entry that says so; None where it was announced before.
    """

    name: str
    version: int
    in_use_from: datetime | None
    entry: int | None


async def announce(
    log: Log,
    make: Callable[[int], Awaitable[Mapping[str, JSON]]],
    name: str,
    actor: Actor,
    *,
    another: bool = False,
) -> Announcement:
    """Announces the next version of a key, unless one is announced already that is not in use yet.

    Args:
        log: the open log.
        make: makes a version's secret, harmless where it is there, and returns what its entry says of it
            beside name, version and time.
        name: of the key.
        actor: who changes it.
        another: whether the next one is announced even where the one before is not in use yet.

    Raises:
        ProviderError: the provider does not answer; do it again.
        AccessLogError: the log cannot append; do it again.
    """
    async with log.engine.connect() as connection:
        known = (await read(connection, name))[-1]
    if not another and known.in_use_from is not None and known.in_use_from > datetime.now(UTC):
        return Announcement(name, known.version, known.in_use_from, None)
    version = known.version + 1
    content = await make(version)  # (1)
    async with log.writing() as writing:  # (2)
        # Another process may have been first: one announcement is enough for both.
        newest = (await read(writing.connection, name))[-1]
        if newest != known:
            return Announcement(name, newest.version, newest.in_use_from, None)
        # No version is used before the one it follows.
        in_use_from = max(writing.now + LEAD, known.in_use_from or writing.now)
        await writing.connection.execute(
            announced_key.insert(),
            {
                "name": name,
                "version": version,
                "announced_at": writing.now,
                "in_use_from": in_use_from,
            },
        )
        payload = Payload.create(
            EntryType.KEY,
            {
                "event": "key.announced",
                "actor": actor.name,
                "actor_role": actor.role,
                "object": {
                    "key": name,
                    "version": version,
                    "in_use_from": in_use_from.isoformat(),
                    **content,
                },
            },
        )
        position = writing.add(Event(SYSTEM_STREAM, payload))
    return Announcement(name, version, in_use_from, writing.indexes[position])
