"""The log's own view of the vault's keys: payloads are sealed until their retention ends."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from vault.crypto.payloads import PayloadSealer
from vault.records.keys import LOG_PAYLOAD, VaultKeys


class LogSealer:
    """Seals the log's payloads until their retention ends.

    Args:
        keys: the keys.
        origin: the log's origin.
        retention_years: how long payloads live (SZ 45, ZJ 20).
        zone: in which expiry months are counted.
    """

    def __init__(self, keys: VaultKeys, origin: str, retention_years: int, zone: ZoneInfo) -> None:
        self._keys = keys
        self._zone = zone
        self._retention = retention_years * 100
        self._sealer = PayloadSealer(
            keys.system(LOG_PAYLOAD), lambda month: keys.expiry.key(month).key, origin
        )

    async def at(self, time_ms: int) -> tuple[int, Callable[[int, bytes], bytes]]:
        """Loads or makes the expiry key for entries of this time; see `Sealer.at`."""
        moment = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(self._zone)
        month = moment.year * 100 + moment.month + self._retention
        await self._keys.expiry.keys([month])
        return month, self._sealer.until(month).seal

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        """Opens the payload of the entry at `index`.

        Raises:
            UnsealError: it was altered or moved.
        """
        await self._keys.expiry.load([expiry_id])
        return self._sealer.until(expiry_id).open(index, sealed)
