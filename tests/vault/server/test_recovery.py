"""A log that was halted runs again once it is asked about, and is not tried more often than once a second."""

import pytest

from access_log.errors import OutsideLockError
from access_log.log import Log
from tests.access_log.logs import append, heartbeat, verified
from vault.server.recovery import PAUSE, Recovery


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


async def halted(log: Log) -> None:
    """A raise that fails, because the lock is away while a batch commits; then the lock is back."""
    away = log.outside.path.with_suffix(".away")

    async def act() -> None:
        async with log.writing() as writing:
            writing.add(heartbeat())
            log.outside.path.rename(away)

    with pytest.raises(OutsideLockError):
        await act()
    away.rename(log.outside.path)
    assert not log.running


async def test_a_running_log_is_left_alone(log: Log) -> None:
    assert await Recovery(log, Hands()).running()


async def test_a_halted_log_runs_again_once_it_can(log: Log) -> None:
    await append(log, 3)
    await halted(log)
    assert await Recovery(log, Hands()).running()
    assert log.outside.read().size == 4  # what was committed and not raised is raised by the start
    verified(log, await append(log))


async def test_it_is_tried_once_a_second(log: Log) -> None:
    clock = Hands()
    recovery = Recovery(log, clock)
    await halted(log)
    away = log.outside.path.rename(log.outside.path.with_suffix(".away"))
    with pytest.raises(OutsideLockError, match="is missing"):
        await recovery.running()
    away.rename(log.outside.path)
    clock.at += PAUSE / 2
    assert not await recovery.running()
    clock.at += PAUSE / 2
    assert await recovery.running()
