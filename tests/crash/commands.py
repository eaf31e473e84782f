"""Commands as processes of their own, which run to their end or kill themselves at a named step."""

import signal
import subprocess
import sys

from tests.crash import killer
from tests.crash.forking import forked
from vault.server.settings import Settings

KILLER = (sys.executable, killer.__file__)


async def run(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs `creditvault` with these words."""
    return await forked(settings, sys.executable, "-m", "vault.server.cli", *command)


async def killed(settings: Settings, step: str, nth: int, *command: str) -> None:
    """Runs it until the nth pass of a step, which must come."""
    # Armed from its first instruction: the file that arms it is the killer's own.
    ran = await forked(settings, *KILLER, step, str(nth), killer.__file__, *command)
    assert ran.returncode == -signal.SIGKILL, f"{step} was never reached: {ran.stdout}{ran.stderr}"
