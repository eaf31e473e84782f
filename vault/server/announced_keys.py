"""Announced keys of the system in a process that goes on, kept up with what was announced."""

import asyncio
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from vault.crypto.errors import CryptoError
from vault.errors import VaultError
from vault.records.announced import AnnouncedKeys

PAUSE: Final = 15.0
"""Seconds between two looks: a small part of the time by which a key is announced ahead."""
_events = structlog.get_logger()


async def watch(announced: AnnouncedKeys) -> None:
    """Renews them again and again until cancelled; what keeps it from that goes to the operator's log."""
    while True:
        await asyncio.sleep(PAUSE)
        try:
            new = await announced.renew()
        except (SQLAlchemyError, CryptoError, VaultError) as error:
            _events.warning("announced_keys_not_renewed", reason=type(error).__name__)
            continue
        for name, versions in new.items():
            _events.info("key_announced", name=name, versions=list(versions))
