"""Expiry keys: one for each month, the half of what opens a record or a log payload that a month destroys.

Name at the provider: `expiry-<yyyymm>` wraps the expiry key of that month and nothing else, so that its
destruction takes this one month and no other.
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.envelopes import ExpiryKey, expiry_key_aad
from vault.crypto.errors import UnsealError
from vault.crypto.journal import MONTH
from vault.crypto.provider import KeyProvider

_READ = text("SELECT expiry_id, wrapped FROM vault.expiry_key WHERE expiry_id = ANY(:ids)")
_ADD = text(
    "INSERT INTO vault.expiry_key (expiry_id, wrapped) VALUES (:expiry_id, :wrapped) ON CONFLICT DO NOTHING"
)


class ExpiryKeys:
    """The expiry keys this process has needed so far, held for as long as it lives."""

    def __init__(self, engine: AsyncEngine, provider: KeyProvider) -> None:
        self._engine = engine
        self._provider = provider
        self._held: dict[int, ExpiryKey] = {}

    async def keys(self, months: Iterable[int]) -> dict[int, ExpiryKey]:
        """The expiry keys of these months (yyyymm), made where there are none yet.

        Raises:
            ProviderError: the provider does not answer, or a month's key was destroyed.
        """
        wanted = set(months)
        await self.load(wanted)
        if missing := wanted - self._held.keys():
            await self._make(missing)
            await self._load(missing)
        return {month: self._held[month] for month in wanted}

    async def load(self, months: Iterable[int]) -> None:
        """Has the expiry keys of these months ready for `key`, as far as they still exist.

        Raises:
            ProviderError: the provider does not answer, or a month's key was destroyed.
            UnsealError: a wrapped key was altered.
        """
        if missing := set(months) - self._held.keys():
            await self._load(missing)

    def key(self, month: int) -> ExpiryKey:
        """An expiry key that was loaded before.

        Raises:
            UnsealError: there is none: the month has ended and its key was destroyed.
        """
        try:
            return self._held[month]
        except KeyError:
            raise UnsealError(f"the expiry key of {month} is gone") from None

    async def _load(self, months: Iterable[int]) -> None:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_READ, {"ids": list(months)})).all()
        for month, wrapped in rows:
            key = await self._provider.unwrap(_name(month), wrapped, expiry_key_aad(month), MONTH)
            self._held[month] = ExpiryKey(month, key)

    async def _make(self, months: Iterable[int]) -> None:
        async with self._engine.begin() as connection:
            for month in sorted(months):
                await self._provider.create(_name(month))
                key = ExpiryKey.generate(month)
                wrapped = await self._provider.wrap(_name(month), key.key, expiry_key_aad(month))
                # Another worker may have been first: its key is the one that counts.
                await connection.execute(_ADD, {"expiry_id": month, "wrapped": wrapped})


def _name(month: int) -> str:
    return f"expiry-{month}"
