"""The keys of access tokens in a process that serves, kept up with what was announced."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from joserfc.jwk import OKPKey
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.oauth.protection import Protection
from consent.oauth.token_keys import TokenKey, keys_of, read_keys, standing
from consent.oauth.tokens import IssuerKeys
from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.records.keys import TOKEN_SIGNING, VaultKeys

PAUSE: Final = 15.0
"""Seconds between two looks: a small part of the time by which a key is announced ahead."""
_events = structlog.get_logger()


class TokenKeys:
    """Makes the issuer's keys from what was announced.

    Args:
        engine: the application role's database.
        keys: the vault's keys, which hold the seeds.
    """

    def __init__(self, engine: AsyncEngine, keys: VaultKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._made: tuple[TokenKey, ...] = ()

    async def now(self) -> list[OKPKey]:
        """The keys that count now, the one that signs first.

        Raises:
            KeysMissingError: a version that was announced is missing.
            UnsealError, ProviderError: its seed cannot be unwrapped.
        """
        async with self._engine.connect() as connection:
            announced = await read_keys(connection)
        verify = standing(announced, datetime.now(UTC)).verify
        made = await keys_of(verify, partial(self._keys.system_version, TOKEN_SIGNING))
        self._made = verify
        return made

    async def renew(self, keys: IssuerKeys, protection: Protection) -> bool:
        """Goes on with the keys that count now; returns whether they are others than before."""
        before = self._made
        now = await self.now()
        if self._made == before:
            return False
        keys.take(now)
        protection.trust(keys.public)
        _events.info("token_keys_changed", versions=[key.version for key in self._made])
        return True

    async def watch(self, keys: IssuerKeys, protection: Protection) -> None:
        """Renews them again and again until cancelled; what keeps it from that goes to the operator's log."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self.renew(keys, protection)
            except (SQLAlchemyError, CryptoError, VaultError) as error:
                _events.warning("token_keys_not_renewed", reason=type(error).__name__)

    async def make(self, version: int) -> None:
        """Makes the seed of a version; harmless when it is there."""
        await self._keys.make_system_versions([TOKEN_SIGNING], version)
