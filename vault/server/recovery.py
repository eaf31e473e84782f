"""A halted log started again when somebody asks whether it runs, so that no write has to be risked for it.

A worker stops appending when a raise failed. Its next write would start it again (`Log.writing`); but a
balancer sends none to a worker that says it is not ready. So asking is what starts it, the way every start
goes, and not more often than the database and the outside lock can bear.
"""

import time
from collections.abc import Callable
from typing import Final

from access_log.log import Log

PAUSE: Final = 1.0
"""Seconds between two tries."""


class Recovery:
    """Starts one worker's log again.

    Args:
        log: the log of this worker.
        clock: seconds, from any beginning, that never go back.
    """

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._next = clock()

    async def running(self) -> bool:
        """Whether the log appends now; one that is halted is tried again, at most once a second.

        Raises:
            AccessLogError: why it cannot start.
        """
        if not self._log.running and self._clock() >= self._next:
            # Set before the try, so that others who ask meanwhile do not start a second one.
            self._next = self._clock() + PAUSE
            await self._log.start()
        return self._log.running
