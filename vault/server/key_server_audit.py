"""What a key server wrote down of unwraps by itself: the audit log of OpenBao or HashiCorp Vault.

It stands on another host than the vault, so whoever holds the vault's server cannot shorten it. Of each
request it has the key's name, how many wraps were opened, and, in the header `X-Creditvault-Uses`, what for.
It has nothing of what was used again out of memory: that is in the journal alone.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from vault.crypto.held import CHECK
from vault.crypto.journal import UNNAMED, BadLine, Journal, Use, stated
from vault.crypto.openbao import USES_HEADER, transit_name
from vault.errors import VaultError

_LONGEST: Final = 4 * 1024 * 1024
_UNSTATED: Final = "unstated"


class AuditLogError(VaultError):
    """An audit log cannot be read, or is none."""


class KeyServerAudit:
    """The audit log of one vault's key server.

    Args:
        files: Its files, the oldest first.
        mount: Where the transit engine is.
        prefix: What the names of the vault's keys begin with.
    """

    def __init__(self, files: Sequence[Path], mount: str, prefix: str) -> None:
        self._files = files
        self._mount = mount
        self._prefix = prefix
        self._opened = self._stated = 0
        self.wrapped: Counter[str] = Counter()
        """Wraps made, by key; counted while it is read."""
        self.checked: Counter[str] = Counter()
        """Wraps opened to see that they open, by key."""

    def read(self) -> Iterator[Use | BadLine]:
        """Every unwrap of a key of the vault, in order.

        Raises:
            AuditLogError: A file cannot be read, nothing in it is of an audit log, or nothing says what for.
        """
        for path in self._files:
            known = False
            for number, line in _lines(path):
                entry = _parsed(line)
                if entry is None:
                    yield BadLine(path.name, number)
                    continue
                known = True
                if entry["type"] == "response" and not entry.get("error"):
                    yield from self._uses(entry, path.name, number)
            if self._opened and not self._stated:
                raise AuditLogError(
                    f"{path} has nothing of what keys were opened for: have the header recorded with `bao "
                    f"write sys/config/auditing/request-headers/{USES_HEADER} hmac=false` from now on"
                )
            if not known:
                raise AuditLogError(
                    f"{path} has no line of a key server's audit log: name the file its device writes"
                )

    def _uses(self, entry: dict[str, Any], file: str, number: int) -> Iterator[Use | BadLine]:
        request = entry["request"]
        operation, _, called = str(request.get("path")).removeprefix(f"{self._mount}/").partition("/")
        if operation not in ("encrypt", "decrypt") or not called.startswith(f"{self._prefix}-"):
            return
        name = self._name(called)
        data = request.get("data") or {}
        batch = data.get("batch_input")
        count = len(batch) if isinstance(batch, list) else 1
        if operation == "encrypt":
            self.wrapped[name] += count
            return
        time = int(datetime.fromisoformat(entry["time"]).timestamp() * 1000)
        uses = [stated(each) for each in _header(request)]
        self._opened += count
        self._stated += len(uses)
        if None in uses or len(uses) > count:
            yield BadLine(file, number)
            return
        for use in uses:
            if use is not None:
                self.checked[name] += use[1] == CHECK
                yield Use(time, False, name, *use)
        for _ in range(count - len(uses)):
            yield Use(time, False, name, _UNSTATED, UNNAMED)

    def _name(self, called: str) -> str:
        """The name of a key: rather transit's own than none."""
        name = called.removeprefix(f"{self._prefix}-").replace("_s", "/").replace("_u", "_")
        return name if transit_name(self._prefix, name) == called else called

    def more_checked_than_wrapped(self) -> list[str]:
        """Keys of which more wraps were opened as checks than were made: something else was opened."""
        return sorted(name for name, count in self.checked.items() if count > self.wrapped[name])


class WithAudit:
    """A journal and a key server's audit log read as one: unwraps by the server's record, as far as it goes.

    Args:
        journal: Knows what was used again out of memory, and what was before the audit log begins.
        audit: The server's record.
    """

    def __init__(self, journal: Journal, audit: KeyServerAudit) -> None:
        self._journal = journal
        self._audit = audit

    def read(self) -> Iterator[Use | BadLine]:
        """Every line of both that counts.

        Raises:
            AuditLogError, ProviderUnavailableError: One of them cannot be read.
        """
        begins: int | None = None
        for line in self._audit.read():
            if isinstance(line, Use):
                begins = line.time if begins is None else min(begins, line.time)
            yield line
        for line in self._journal.read():
            if isinstance(line, BadLine) or line.cached or begins is None or line.time < begins:
                yield line


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                yield number, line
    except OSError as error:
        raise AuditLogError(f"the audit log {path} cannot be read: {error.strerror}") from None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        if not isinstance(entry["request"], dict) or not isinstance(entry["type"], str):
            return None
        datetime.fromisoformat(entry["time"])
    except (ValueError, KeyError, TypeError):
        return None
    return dict(entry)


def _header(request: dict[str, Any]) -> Iterable[str]:
    values = (request.get("headers") or {}).get(USES_HEADER.lower()) or []
    # Where the server was told to hide it, it says nothing.
    clear = [str(value) for value in values if not str(value).startswith("hmac-")]
    return [use for value in clear for use in value.split(", ") if use]
