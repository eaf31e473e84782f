"""The steps by which a file is durable: its bytes whole, then its name."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PRIVATE_FOLDER = 0o700


def write_at(descriptor: int, content: bytes, at: int) -> None:
    """Write bytes at a place of an open file, all of them.

    Raises:
        OSError: They are not all written.
    """
    if os.pwrite(descriptor, content, at) != len(content):
        raise OSError(errno.EIO, "short write")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: They may not be.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def making(path: Path) -> Iterator[int]:
    """Make a private file that is not there yet: yields its descriptor, and gives it its name afterwards.

    It is written aside and linked into place, so a crash leaves a whole file or none. What is written
    must be synced before the block ends.

    Raises:
        FileExistsError: It is there already.
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        yield descriptor
        path.hardlink_to(aside)
    finally:
        os.close(descriptor)
        Path(aside).unlink()
    sync_folder(path.parent)
