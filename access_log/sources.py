"""Where a published log is read from: a directory or a web address (FORMAT 6).

A source only fetches; nothing it returns is believed before it is verified.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from access_log.errors import SourceError
from access_log.web import Website

_WITHOUT_WAITING: Final = getattr(os, "O_NONBLOCK", 0)
"""A pipe in the place of a file must not stop the audit."""


class Source(Protocol):
    """A read-only log."""

    def read(self, path: str, limit: int) -> bytes | None:
        """Fetch one file of the log.

        Args:
            path: Relative to the log's root, as FORMAT 6 names it.
            limit: The bytes the file may have. At most one byte more is read, which shows it is longer.

        Returns:
            The bytes; None if the source says that there is no such file.

        Raises:
            SourceError: The source cannot be read; whether the file exists is unknown.
        """


@dataclass(frozen=True, slots=True)
class Directory:
    """A log published into a directory."""

    root: Path

    def read(self, path: str, limit: int) -> bytes | None:
        """Read a file below the root."""
        file = self.root / path
        try:
            with open(file, "rb", opener=_open) as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise SourceError(f"{file} is no file: this is no published log")
                return stream.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceError(f"{file} cannot be read ({error.strerror}): make it readable") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _WITHOUT_WAITING)


def source_of(place: str, *, plain: bool = False) -> Source:
    """The source a user names: a web address, or the path of a directory.

    Args:
        place: What the user wrote.
        plain: Allow http to other machines.

    Raises:
        SourceError: There is no such directory, or it is no address of a log.
    """
    if "://" in place:
        return Website(place, plain=plain)
    root = Path(place)
    try:
        is_directory = root.is_dir()
    except (OSError, ValueError):  # It can be too long for a path, or hold a zero.
        is_directory = False
    if not is_directory:
        raise SourceError(f"{place} is no directory: name the one that holds 'checkpoint' and 'tile'")
    return Directory(root)
