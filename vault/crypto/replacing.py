"""Replacing a private file as one step that survives kill -9, one process at a time (FORMAT 9.3)."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PRIVATE = 0o600


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file: `<name>.lock`, which is never removed.

    Each call opens its own descriptor, so it keeps threads apart as it keeps processes apart, and the
    kernel releases it when its holder dies.

    Raises:
        OSError: The lock file cannot be opened.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, _PRIVATE)
    try:
        _keep_owner(descriptor, path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, owner_of: Path | None = None) -> None:
    """Put new content in place of a file, or make it, readable by its owner alone; durable on return.

    Args:
        path: the file.
        content: all that it is to hold.
        owner_of: the file whose owner gets it; its own, if there is one, where nothing is named.

    The caller holds `locked(path)`. Whoever reads sees the old content or the new one, whole. A crash
    before the rename leaves a `<name>.new`, which the next call removes.

    Raises:
        OSError: A step failed. The old content stands, or, if the last step failed, the new one.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        _keep_owner(descriptor, owner_of or path)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    # Only now may the change be acknowledged: before this the rename may be lost with the power.
    _sync_folder(path.parent)


def _keep_owner(descriptor: int, path: Path) -> None:
    """When root acts on a service's file, the service must still be able to use it."""
    if os.geteuid() == 0 and path.exists():
        status = path.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
