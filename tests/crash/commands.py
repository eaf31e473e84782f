"""Commands as processes of their own, which run to their end or kill themselves at a named step."""

import asyncio
import signal
import subprocess
import sys

from tests.crash import killer
from tests.flows.serving import ROOT, environment
from vault.server.settings import Settings

KILLER = (sys.executable, killer.__file__)


async def run(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs `creditvault` with these words."""
    return await _process(settings, sys.executable, "-m", "vault.server.cli", *command)


async def killed(settings: Settings, step: str, nth: int, *command: str) -> None:
    """Runs it until the nth pass of a step, which must come."""
    # Armed from its first instruction: the file that arms it is the killer's own.
    ran = await _process(settings, *KILLER, step, str(nth), killer.__file__, *command)
    assert ran.returncode == -signal.SIGKILL, f"{step} was never reached: {ran.stdout}{ran.stderr}"


async def _process(settings: Settings, *program: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        program,
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
