"""Where a published log is read from: a directory or a web address (FORMAT 6).

A source only fetches; nothing it returns is believed before it is verified.
"""

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Final, Protocol

from access_log.errors import SourceError

TIMEOUT: Final = 30.0
"""Seconds a web server may stay silent."""

_ABSENT: Final = (404, 410)
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_PAUSES: Final = (0.5, 2.0)


class _PassingError(SourceError):
    """A failure that may be gone at the next try."""


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
            with file.open("rb") as stream:
                return stream.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceError(f"{file} cannot be read ({error.strerror}): make it readable") from None


@dataclass(frozen=True, slots=True)
class Website:
    """A log published at a web address.

    Attributes:
        url: The address of the log's root, http or https.
        timeout: Seconds the server may stay silent.
        pauses: Seconds before each further try after a failure that may pass.
    """

    url: str
    timeout: float = TIMEOUT
    pauses: tuple[float, ...] = _PAUSES

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise SourceError("the address of a log begins with http:// or https://")

    def read(self, path: str, limit: int) -> bytes | None:
        """Fetch a file below the address, with a few tries."""
        address = f"{self.url.rstrip('/')}/{path}"
        for pause in self.pauses:
            try:
                return self._fetch(address, limit)
            except _PassingError:
                time.sleep(pause)
        return self._fetch(address, limit)

    def _fetch(self, address: str, limit: int) -> bytes | None:
        try:
            # The scheme was checked above, and urllib follows redirects to http, https and ftp only.
            request = urllib.request.Request(address, headers={"Accept-Encoding": "identity"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310 - as above
                data: bytes = answer.read(limit + 1)
                _require_whole(address, answer.headers, len(data), limit)
                return data
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _ABSENT:
                    return None
                passing = error.code == _TOO_MANY or error.code >= _SERVER_ERROR
                kind = _PassingError if passing else SourceError
                raise kind(f"{address} answered {error.code}: try again, or ask who runs the log") from None
        except (OSError, HTTPException, ValueError):
            raise _PassingError(f"{address} cannot be reached: check the address and the network") from None


def _require_whole(address: str, headers: Message, size: int, limit: int) -> None:
    """Refuse an answer that was cut or encoded on its way: it must not pass for a log with a gap."""
    if headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(f"{address} came compressed, though it was not asked to: switch that off")
    if size < min(int(headers.get("Content-Length", "0")), limit + 1):
        raise _PassingError(f"{address} was cut on its way: try again")


def source_of(place: str) -> Source:
    """The source a user names: a web address, or the path of a directory.

    Raises:
        SourceError: There is no such directory.
    """
    if "://" in place:
        return Website(place)
    root = Path(place)
    if not root.is_dir():
        raise SourceError(f"{place} is no directory: name the one that holds 'checkpoint' and 'tile'")
    return Directory(root)
