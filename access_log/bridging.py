"""What a lost payload would have said: its entry's number, and the entry before it in its stream (FORMAT 3).

Both follow from labels, so that an examination can go on behind entries whose payloads were declared lost.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import labels, reading, writes
from access_log.audit import time_of
from access_log.merkle import leaf_hash
from access_log.payload import FIRST_PREVIOUS
from access_log.standings import finder, months_between
from access_log.stored_log import StoredLog

_WINDOW: Final = 64
_MOST: Final = 2000


class Bridge:
    """Looks entries up by stream, month and number; what it found it keeps for a while.

    Args:
        connection: sees one state of the database throughout.
        log: knows the keys of its streams.
    """

    def __init__(self, connection: AsyncConnection, log: StoredLog) -> None:
        self._connection = connection
        self._log = log
        self._find = finder(connection, log.number, log.archive)
        self._windows: dict[tuple[bytes, int, int], list[bytes | None]] = {}
        self._first_month: int | None = None

    async def last(self, stream: bytes, month: int) -> int:
        """The number of a stream's newest entry of a month; 0 where it has none."""
        seq = 0
        while await self._leaf(stream, month, seq + 1) is not None:
            seq += 1
        return seq

    async def before(self, stream: bytes, month: int, seq: int) -> bytes | None:
        """The leaf hash of the entry before this number, None where it is missing.

        For the stream's first entry in the log it is that of its newest in an earlier one, or zeros.
        """
        if seq > 1:
            return await self._leaf(stream, month, seq - 1)
        for earlier in reversed(months_between(await self._begin(), month)[:-1]):
            if last := await self.last(stream, earlier):
                return await self._leaf(stream, earlier, last)
        carried = await writes.before(self._connection, self._log.number, [stream])
        return carried.get(stream, FIRST_PREVIOUS)

    async def _leaf(self, stream: bytes, month: int, seq: int) -> bytes | None:
        n, at = divmod(seq - 1, _WINDOW)
        place = (stream, month, n)
        if place not in self._windows:
            if len(self._windows) >= _MOST:
                self._windows.clear()
            key = self._log.month_key(stream, month)
            sought = [labels.label(key, n * _WINDOW + 1 + each) for each in range(_WINDOW)]
            found = await self._find(sought)
            self._windows[place] = [
                leaf_hash(found[label][1]) if label in found else None for label in sought
            ]
        return self._windows[place][at]

    async def _begin(self) -> int:
        if self._first_month is None:
            (first,) = await reading.entries(self._connection, self._log.number, self._log.archive, 0, 1)
            self._first_month = labels.month_of(time_of(first[1]))
        return self._first_month
