"""The keys of a process that goes on, kept up with what others announced or changed."""

import asyncio
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.records.keys import VaultKeys

PAUSE: Final = 15.0
"""Seconds between two looks: a small part of the time by which a key is announced ahead."""
_events = structlog.get_logger()


async def watch(keys: VaultKeys) -> None:
    """Looks again and again until cancelled; what keeps it from that goes to the operator's log."""
    while True:
        await asyncio.sleep(PAUSE)
        try:
            # A keyring whose passphrase was changed is taken over while that can be done (FORMAT 9.6).
            await keys.provider.health()
            new = await keys.announced.renew()
        except (SQLAlchemyError, CryptoError, VaultError) as error:
            _events.warning("announced_keys_not_renewed", reason=type(error).__name__)
            continue
        for name, versions in new.items():
            _events.info("key_announced", name=name, versions=list(versions))
