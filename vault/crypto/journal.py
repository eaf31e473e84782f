"""The keyring's journal: for what each key was unwrapped or used again, one line each, never rewritten.

    1 <ms since the epoch> <unwrap|cached> <key name> <handle> <purpose>

The handle is the first 16 bytes, in hex, of the SHA-256 of what the wrap is bound to (associated data): it
tells keys apart, also after they were wrapped anew, and says nothing of them. The purpose is `entry:<index>`,
`job:<id>`, `start` (a key of the system), `month` (an expiry key, which a process holds for all entries it
serves: alone it opens nothing) or `-` where nobody stated one. A journal names no person.

Lines are handed to the operating system in one write before any key is: a process that is killed loses none.
They are not synced, which would cost every query its time: a power cut may take the last seconds' lines with
it, and what they stood for shows as an entry without an unwrap. There is a file for each month, beside the
keyring, named `<keyring>.journal-<yyyymm>`, for its owner alone.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from vault.crypto.errors import ProviderUnavailableError

Purpose = str
UNNAMED: Final[Purpose] = "-"
START: Final[Purpose] = "start"
MONTH: Final[Purpose] = "month"

_VERSION: Final = "1"
_PRIVATE: Final = 0o600
_LONGEST: Final = 400
_PURPOSE: Final = r"-|start|month|entry:(?:0|[1-9][0-9]{0,18})|job:[A-Za-z0-9._-]{1,100}"
_LINE: Final = re.compile(
    rf"1 ([0-9]{{1,15}}) (unwrap|cached) ([a-z0-9][a-z0-9._/-]{{0,99}}) ([0-9a-f]{{32}}) ({_PURPOSE})",
    re.ASCII,
)
_STATED: Final = re.compile(rf"([0-9a-f]{{32}}) ({_PURPOSE})", re.ASCII)
_NAME: Final = re.compile(r"\.journal-[0-9]{6}", re.ASCII)


def for_entry(index: int) -> Purpose:
    """An answer that the entry at this index of the log speaks of."""
    return f"entry:{index}"


def for_job(name: str) -> Purpose:
    """Work that has no entry yet: the enrolment of a chunk, for instance."""
    return f"job:{name}"


def handle(aad: bytes) -> str:
    """What a journal calls the key that was wrapped with this associated data."""
    return hashlib.sha256(aad).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Use:
    """One line of a journal.

    Attributes:
        time: Milliseconds since the epoch, by the clock of the host.
        cached: Whether the key was unwrapped before and used again.
        name: The provider's key it was wrapped by.
        handle: Which key it was.
        purpose: What for.
    """

    time: int
    cached: bool
    name: str
    handle: str
    purpose: Purpose

    @property
    def entry(self) -> int | None:
        """The entry it was used for; None where it was for none."""
        return int(self.purpose.removeprefix("entry:")) if self.purpose.startswith("entry:") else None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is none: where it stands."""

    file: str
    number: int


class Journal:
    """The journal of one keyring. Each process appends through its own object.

    Args:
        keyring: The keyring's file.
    """

    def __init__(self, keyring: Path) -> None:
        self._keyring = keyring
        self._month = ""
        self._descriptor: int | None = None

    @classmethod
    def of(cls, keyring: Path) -> Self:
        """The journal of a keyring, which may be named by a link."""
        return cls(Path(os.path.realpath(keyring)))

    def write(self, name: str, uses: Sequence[tuple[bytes, Purpose]], *, cached: bool = False) -> None:
        """Append a line for each (associated data, purpose), all in one write.

        Raises:
            ProviderUnavailableError: It cannot be written now; no key may be handed out.
        """
        if not uses:
            return
        now = time.time()
        kind = "cached" if cached else "unwrap"
        head = f"{_VERSION} {int(now * 1000)} {kind} {name}"
        lines = "".join([f"{head} {handle(aad)} {purpose}\n" for aad, purpose in uses]).encode()
        try:
            descriptor = self._opened(time.strftime("%Y%m", time.gmtime(now)))
            if os.write(descriptor, lines) != len(lines):
                raise OSError("a line was cut")  # noqa: TRY301 -- a full disk, told like every other failure
        except OSError as error:
            raise ProviderUnavailableError(
                f"the journal beside the keyring {self._keyring} cannot be written to "
                f"({error.strerror or error}): no key is used without a line there; make room"
            ) from error

    def files(self) -> list[Path]:
        """Its files, the oldest month first.

        Raises:
            ProviderUnavailableError: The keyring's folder cannot be read.
        """
        try:
            found = list(self._keyring.parent.iterdir())
        except OSError as error:
            raise ProviderUnavailableError(
                f"the folder {self._keyring.parent} cannot be read: {error.strerror}"
            ) from error
        begin = len(self._keyring.name)
        return sorted(
            path
            for path in found
            if path.name.startswith(self._keyring.name) and _NAME.fullmatch(path.name, begin)
        )

    def read(self) -> Iterator[Use | BadLine]:
        """Every line of every file, in order.

        Raises:
            ProviderUnavailableError: A file cannot be read.
        """
        for path in self.files():
            try:
                with path.open("rb") as file:
                    number = 0
                    while line := file.readline(_LONGEST):
                        number += 1
                        yield _parsed(line) or BadLine(path.name, number)
            except OSError as error:
                raise ProviderUnavailableError(
                    f"the journal {path} cannot be read: {error.strerror}"
                ) from error

    def _opened(self, month: str) -> int:
        if self._descriptor is not None and self._month == month:
            return self._descriptor
        path = self._keyring.with_name(f"{self._keyring.name}.journal-{month}")
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        if os.geteuid() == 0:
            # When root acts on a service's file, the service must still be able to use it.
            # A keyring elsewhere than in a file has the owner of the folder.
            status = (self._keyring if self._keyring.exists() else self._keyring.parent).stat()
            os.fchown(descriptor, status.st_uid, status.st_gid)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")  # A power cut tore the last line: it stays alone.
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._month = descriptor, month
        return descriptor


def stated(text: str) -> tuple[str, Purpose] | None:
    """Handle and purpose of a use, as a journal and a key server's record write them; None if it is none."""
    match = _STATED.fullmatch(text)
    return (match[1], match[2]) if match else None


def _parsed(line: bytes) -> Use | None:
    if not line.endswith(b"\n") or not line.isascii():
        return None
    match = _LINE.fullmatch(line[:-1].decode("ascii"))
    return Use(int(match[1]), match[2] == "cached", match[3], match[4], match[5]) if match else None
