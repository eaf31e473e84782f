"""Files put into a folder so that a crash leaves each of them whole or absent (FORMAT 6, publishing).

In which order things become true:
1. `put` writes each file aside, under `.new/`, and syncs it; then it renames it to its place. So whoever
   reads a name reads a whole file, also after the power was cut.
2. `settle` syncs every folder in which a name was made, exchanged or found since the last `settle`. Only
   then may anything be put that promises the files before it: the rename of an earlier file could be lost,
   that of a later one kept.
3. What was left aside by a crash is thrown away by the next process that holds the folder.

Everything here blocks: call it in a thread from asynchronous code.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from access_log.errors import FolderError
from access_log.syncing import sync_folder

ASIDE: Final = ".new"
"""Where files are written before they have their name; copies of the folder leave it out."""

_LOCK: Final = ".lock"
_SYNCING: Final = 8
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755
_LOCK_MODE: Final = 0o600


class DurableFolder:
    """A folder that one process at a time adds files to. What it holds is public: anyone may read it.

    Args:
        root: The folder; it is made if there is none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._unsettled: set[Path] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder if there is none, and hold it against every other process.

        Raises:
            FolderError: Another process holds it, or it cannot be made or written to.
        """
        with self._failing():
            self._make(self.root)
            descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, _LOCK_MODE)
        try:
            with self._failing():
                self._hold(descriptor)
                shutil.rmtree(self.root / ASIDE, ignore_errors=True)
                self._make(self.root / ASIDE)
            yield
        finally:
            with self._failing():
                os.close(descriptor)

    def read(self, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file and one more, if it is longer; None if there is none.

        Its name is settled by the next `settle`: whoever put it there may have died before.

        Raises:
            FolderError: It cannot be read.
        """
        with self._failing():
            place = self.root / path
            try:
                with place.open("rb") as file:
                    content = file.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
            self._mark(place)
            return content

    def holds(self, path: str, content: bytes) -> bool:
        """Whether a file has exactly this content. It is settled as by `read`."""
        return self.read(path, len(content)) == content

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Put files into place, each whole; durable after the next `settle`.

        Raises:
            FolderError: A step failed. Of these files some may be in place, each of them whole.
        """
        if not files:
            return
        asides = [self.root / ASIDE / str(at) for at in range(len(files))]
        with self._failing():
            try:
                # Side by side, because a file system writes the journal of many syncs at once.
                with ThreadPoolExecutor(_SYNCING) as pool:
                    list(pool.map(_write_synced, asides, [content for _, content in files]))
                for aside, (path, _) in zip(asides, files, strict=True):
                    place = self.root / path
                    self._make(place.parent)
                    # Marked before the rename: one that took effect and then failed is synced too.
                    self._mark(place)
                    aside.replace(place)
            except BaseException:
                for aside in asides:
                    aside.unlink(missing_ok=True)
                raise

    def settle(self) -> None:
        """Make every name durable that was made since the last call.

        Raises:
            FolderError: A folder cannot be synced; the next call tries again.
        """
        with self._failing():
            for folder in sorted(self._unsettled):
                sync_folder(folder)
                self._unsettled.discard(folder)

    def remove(self, path: str) -> None:
        """Take a file or a folder of files away; what is gone already is no error.

        Raises:
            FolderError: It cannot be removed.
        """
        with self._failing():
            place = self.root / path
            if place.is_dir():
                for file in place.iterdir():
                    file.unlink(missing_ok=True)
                place.rmdir()
            else:
                place.unlink(missing_ok=True)

    def move(self, source: str, target: str) -> bool:
        """Give a file or a folder another name; durable after the next `settle`. False if there is none.

        Raises:
            FolderError: A step failed; it has one of the two names.
        """
        with self._failing():
            before, after = self.root / source, self.root / target
            if not before.exists():
                return False
            self._make(after.parent)
            self._mark(before)
            self._mark(after)
            before.rename(after)
            return True

    def _mark(self, place: Path) -> None:
        """Have the next `settle` make a file's name durable, and those of the folders that lead to it."""
        while place != self.root:
            place = place.parent
            self._unsettled.add(place)

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        self._unsettled.add(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(_FOLDER_MODE)  # Whatever the mask of the service: a web server reads it.

    def _hold(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(
                f"another process is adding to {self.root}: wait until it is done, or name another folder"
            ) from None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _failed(self.root, error) from error


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
    try:
        os.fchmod(descriptor, _FILE_MODE)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(root: Path, error: OSError) -> FolderError:
    place = error.filename or root
    why = os.strerror(error.errno or errno.EIO)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = "make room, then run it again: it goes on where it stopped"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        remedy = "give this user the right to write there, or name another folder"
    else:
        remedy = "mend it, then run it again: it goes on where it stopped"
    return FolderError(f"{place} cannot be used ({why}): {remedy}")
