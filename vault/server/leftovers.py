"""What a killed PostgreSQL, or a killed process that held it, leaves behind, so that the next one stumbles.

The embedded server takes any process with the id it remembers for itself, a zombie or a stranger too, and
counts processes that are gone among its holders, so that it never stops.
"""

import json
import time
from pathlib import Path

import psutil

_SECONDS = 10.0
_STEP = 0.05


def clear(folder: Path) -> None:
    """Removes the process id of a dead server, and forgets holders that are gone.

    Args:
        folder: the server's data folder. Nobody else may start the server meanwhile.
    """
    identity = folder / "postmaster.pid"
    if identity.exists() and not _serves(_first_line(identity), folder):
        _wait_for_children(folder)
        identity.unlink(missing_ok=True)
    holders = folder / ".handle_pids.json"
    if holders.exists():
        holders.write_text(json.dumps([pid for pid in _holders(holders) if _lives(pid)]))


def _holders(file: Path) -> list[int]:
    try:
        found: list[int] = json.loads(file.read_text())
    except ValueError:  # written by halves
        return []
    return found


def _serves(pid: int | None, folder: Path) -> bool:
    """Whether this process is the server of this folder."""
    if pid is None or not _lives(pid):
        return False
    try:
        return str(folder) in psutil.Process(pid).cmdline()
    except psutil.Error:  # it has gone meanwhile, or belongs to somebody whose processes we may not see
        return False


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for_children(folder: Path) -> None:
    """A killed server's children end by themselves; until then a second server could harm the data."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and any(
        process.info["name"] == "postgres" and process.info["cwd"] == str(folder)
        for process in psutil.process_iter(["name", "cwd"])
    ):
        time.sleep(_STEP)


def _first_line(file: Path) -> int | None:
    try:
        return int(file.read_text().partition("\n")[0])
    except ValueError:
        return None
