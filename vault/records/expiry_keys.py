"""Expiry keys: one for each month, the half of what opens a record or a log payload that a month destroys.

Name at the provider: `expiry-<yyyymm>` wraps the expiry key of that month and nothing else, so that its
destruction takes this one month and no other (`month_ends`).

A key must not live on in a server that runs for years. So a process holds the key of a month only while that
month lasts somewhere on earth: once it is over, the key is fetched for each use, and what was held is let go,
by the next use or within the hour (`let_go_in_time`). The shortest grace before a destruction is days longer
than that. Nobody has to be told, and a process that was stopped or cut off meanwhile is no exception.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.envelopes import ExpiryKey, expiry_key_aad
from vault.crypto.errors import CryptoError, ProviderRefusedError, UnsealError
from vault.crypto.journal import MONTH
from vault.crypto.provider import KeyProvider

_LAST_ZONE: Final = timedelta(hours=12)
"""A month ends last where clocks are twelve hours behind UTC."""
_EACH: Final = 3600
_READ = text("SELECT expiry_id, wrapped FROM vault.expiry_key WHERE expiry_id = ANY(:ids)")
_ADD = text(
    "INSERT INTO vault.expiry_key (expiry_id, wrapped) VALUES (:expiry_id, :wrapped) ON CONFLICT DO NOTHING"
)
_events = structlog.get_logger()


def key_name(month: int) -> str:
    """The name of the provider's key that wraps the expiry key of a month (yyyymm) and nothing else."""
    return f"expiry-{month}"


def oldest_held(now: datetime) -> int:
    """The oldest month (yyyymm) that is not over yet everywhere on earth: no process holds older ones."""
    moment = now.astimezone(UTC) - _LAST_ZONE
    return moment.year * 100 + moment.month


def _now() -> datetime:
    return datetime.now(UTC)


class ExpiryKeys:
    """The expiry keys this process has needed so far, each held while its month lasts.

    Args:
        engine: The application role's database.
        provider: Wraps them.
        clock: Gives the present (aware).
    """

    def __init__(
        self, engine: AsyncEngine, provider: KeyProvider, clock: Callable[[], datetime] = _now
    ) -> None:
        self._engine = engine
        self._provider = provider
        self._clock = clock
        self._held: dict[int, ExpiryKey] = {}
        self._ended: set[int] = set()

    def ended(self, month: int) -> bool:
        """Whether `load` found that a month had a key, and that it was destroyed."""
        return month in self._ended

    @property
    def held(self) -> frozenset[int]:
        """The months whose keys are in memory now."""
        return frozenset(self._held)

    async def keys(self, months: Iterable[int]) -> dict[int, ExpiryKey]:
        """The expiry keys of these months (yyyymm), made where there are none yet.

        Raises:
            UnsealError: A month is over and its key was destroyed, or a wrapped key was altered.
            ProviderError: The provider does not answer.
        """
        wanted = set(months)
        found = await self.load(wanted)
        if missing := wanted - found.keys() - self._ended:
            await self._make(missing)
            found |= await self.load(missing)
        if gone := wanted - found.keys():
            raise gone_error(min(gone))
        return found

    async def load(self, months: Iterable[int]) -> dict[int, ExpiryKey]:
        """The expiry keys of these months, as far as they exist; none is made.

        Raises:
            UnsealError: A wrapped key was altered.
            ProviderError: The provider does not answer.
        """
        self.let_go()
        wanted = set(months)
        found = {month: self._held[month] for month in wanted & self._held.keys()}
        if missing := wanted - found.keys():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_READ, {"ids": list(missing)})).all()
            last = oldest_held(self._clock())
            for month, wrapped in rows:
                key = None if wrapped is None else await self._unwrap(month, wrapped)
                if key is None:
                    self._ended.add(month)
                    continue
                found[month] = key
                if month >= last:
                    self._held[month] = key
        return found

    def let_go(self) -> None:
        """Forgets the keys of months that are over everywhere."""
        last = oldest_held(self._clock())
        for month in [month for month in self._held if month < last]:
            del self._held[month]

    async def let_go_in_time(self) -> None:
        """Lets go every hour, until it is cancelled: a server that nobody asks anything holds no key longer.

        The provider is asked for its health, too: that of a file then forgets what was destroyed in it.
        """
        while True:
            await asyncio.sleep(_EACH)
            self.let_go()
            try:
                await self._provider.health()
            except CryptoError as error:
                _events.warning("key_provider_unhealthy", reason=str(error))

    async def _unwrap(self, month: int, wrapped: bytes) -> ExpiryKey | None:
        """The key of a month; None where it was destroyed since: the row is one of a restored database."""
        try:
            key = await self._provider.unwrap(key_name(month), wrapped, expiry_key_aad(month), MONTH)
        except ProviderRefusedError:
            if await self._provider.versions(key_name(month)):
                raise
            return None
        return ExpiryKey(month, key)

    async def _make(self, months: Iterable[int]) -> None:
        async with self._engine.begin() as connection:
            for month in sorted(months):
                await self._provider.create(key_name(month))
                key = ExpiryKey.generate(month)
                wrapped = await self._provider.wrap(key_name(month), key.key, expiry_key_aad(month))
                # Another worker may have been first: its key is the one that counts. So is that a month's
                # key was destroyed: its row stays, and no second key is ever made for it.
                await connection.execute(_ADD, {"expiry_id": month, "wrapped": wrapped})


def gone_error(month: int) -> UnsealError:
    """What does not open because its month's key is gone."""
    return UnsealError(f"the expiry key of {month} is gone: the month has ended, and it was destroyed")
