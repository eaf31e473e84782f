"""The log's own view of the vault's keys: payloads are sealed until their retention ends."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from vault.crypto.errors import UnsealError
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
        self._sealer = PayloadSealer(keys.system(LOG_PAYLOAD), origin)

    async def at(self, time_ms: int) -> tuple[int, Callable[[int, Sequence[bytes]], list[bytes]]]:
        """Loads or makes the expiry key for entries of this time; see `Sealer.at`."""
        month = self._month(time_ms)
        key = (await self._keys.expiry.keys([month]))[month]
        return month, self._sealer.until(key).seal_from

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes | None:
        """Opens the payload of the entry at `index`; None once the key of its month was destroyed.

        Raises:
            UnsealError: it was altered or moved, or names a month that never had a key.
            ProviderError: the key provider does not answer.
        """
        expiry = self._keys.expiry
        key = (await expiry.load([expiry_id])).get(expiry_id)
        if key is not None:
            return self._sealer.until(key).open(index, sealed)
        if not expiry.ended(expiry_id):
            raise UnsealError("a log payload names a month that never had a key")
        return None

    def _month(self, time_ms: int) -> int:
        """The month in which retention ends: of the log's UTC months and the zone's, the later one.

        Verifiers count in UTC (FORMAT 4.7 of the log): west of it, they would miss a payload whose month has
        ended there for hours longer.
        """
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        months = (each.year * 100 + each.month for each in (moment, moment.astimezone(self._zone)))
        return max(months) + self._retention
