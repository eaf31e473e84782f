"""Keeps several worker processes alive on one socket, and ends them in order.

A worker that dies is replaced. Each holds the reading end of a pipe as its standard input; whatever becomes
of the supervisor, the system then closes the other end, and the worker ends too.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping, Sequence

import structlog

_GRACE_SECONDS = 15.0
_PAUSE_SECONDS = 1.0
_LIVED_SECONDS = 5.0
_events = structlog.get_logger()


class Supervisor:
    """Workers of one command.

    Args:
        command: starts a worker.
        count: how many.
        descriptor: the socket every worker inherits.
        environment: of every worker.
    """

    def __init__(
        self, command: Sequence[str], count: int, *, descriptor: int, environment: Mapping[str, str]
    ) -> None:
        self._command = command
        self._count = count
        self._descriptor = descriptor
        self._environment = environment
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Keeps the workers alive until SIGTERM or SIGINT; returns when all have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._keep_one())

    async def _keep_one(self) -> None:
        while not self._stopping.is_set():
            worker = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                pass_fds=[self._descriptor],
                env=self._environment,
            )
            started = time.monotonic()
            if await self._ends_by_itself(worker):
                _events.error("worker_died", pid=worker.pid, exit_code=worker.returncode)
                # One that cannot even start is tried again, but not as fast as the processor allows.
                lived = time.monotonic() - started > _LIVED_SECONDS
                await self._stops_within(0.0 if lived else _PAUSE_SECONDS)
            else:
                await _end(worker)

    async def _ends_by_itself(self, worker: asyncio.subprocess.Process) -> bool:
        """Waits for the worker's end or for ours; whether the worker's came first."""
        ended, stopping = (asyncio.create_task(one) for one in (worker.wait(), self._stopping.wait()))
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        ended.cancel()
        await asyncio.gather(ended, stopping, return_exceptions=True)
        # One signal to the whole group ends the workers too, perhaps before we have seen it.
        return worker.returncode is not None and not await self._stops_within(0.1)

    async def _stops_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


async def _end(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.terminate()
    try:
        await asyncio.wait_for(worker.wait(), _GRACE_SECONDS)
    except TimeoutError:
        _events.error("worker_killed", pid=worker.pid)
        worker.kill()
        await worker.wait()
