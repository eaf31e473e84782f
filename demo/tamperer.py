"""Somebody with the owner's rights in the database, who can change anything there, and change it back.

What was there is written to a file first: where a demo is cut off in between, the next one restores it.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, text

from access_log.entry import EntryType

_LOG = 1
_TYPE = 1  # offset of the type in an entry (FORMAT 1)
_READ = text(
    "SELECT encode(e.entry, 'hex'), encode(p.sealed, 'hex') FROM access_log.entry e"
    " JOIN access_log.payload p USING (log, index) WHERE e.log = :log AND e.index = :index"
)
_DELETE_ENTRY = text("DELETE FROM access_log.entry WHERE log = :log AND index = :index")
_INSERT_ENTRY = text("INSERT INTO access_log.entry (log, index, entry) VALUES (:log, :index, :entry)")
_UPDATE_ENTRY = text("UPDATE access_log.entry SET entry = :entry WHERE log = :log AND index = :index")
_UPDATE_PAYLOAD = text("UPDATE access_log.payload SET sealed = :sealed WHERE log = :log AND index = :index")
# The triggers that refuse every change bind the application; their owner simply switches them off.
_TRIGGERS_OFF = text("ALTER TABLE access_log.entry DISABLE TRIGGER USER")
_TRIGGERS_ON = text("ALTER TABLE access_log.entry ENABLE TRIGGER USER")


@dataclass(frozen=True)
class _Original:
    """What stood in the database, in hex."""

    index: int
    entry: str
    sealed: str


class Tamperer:
    """Changes one thing at a time, for as long as a `with` block lasts.

    Args:
        owner_url: the database, as its owner.
        home: the demo's folder, where the undo file is kept.
    """

    def __init__(self, owner_url: str, home: Path) -> None:
        self._owner_url = owner_url
        self._undo = home / "tampered.json"

    def altered_entry(self, index: int) -> AbstractContextManager[None]:
        """Turns an entry into a sign of life of the log, as if nobody had asked anything."""
        return self._tampered(index, _forge_type)

    def deleted_entry(self, index: int) -> AbstractContextManager[None]:
        """Takes an entry away."""
        return self._tampered(index, _delete)

    def altered_payload(self, index: int) -> AbstractContextManager[None]:
        """Flips one bit of a sealed payload."""
        return self._tampered(index, _flip_payload)

    def restore(self) -> bool:
        """Puts back what the undo file remembers; returns whether there was anything."""
        if not self._undo.exists():
            return False
        original = _Original(**json.loads(self._undo.read_text()))
        with self._owner() as connection:
            _put_back(connection, original)
        self._undo.unlink()
        return True

    @contextmanager
    def _tampered(self, index: int, change: Callable[[Connection, _Original], None]) -> Iterator[None]:
        with self._owner() as connection:
            entry, sealed = connection.execute(_READ, {"log": _LOG, "index": index}).one()
        original = _Original(index, entry, sealed)
        _write_durably(self._undo, json.dumps(asdict(original)))
        try:
            with self._owner() as connection:
                change(connection, original)
            yield
        finally:
            self.restore()

    @contextmanager
    def _owner(self) -> Iterator[Connection]:
        engine = create_engine(self._owner_url)
        try:
            with engine.begin() as connection:
                connection.execute(_TRIGGERS_OFF)
                yield connection
                connection.execute(_TRIGGERS_ON)
        finally:
            engine.dispose()


def _forge_type(connection: Connection, original: _Original) -> None:
    forged = bytearray.fromhex(original.entry)
    forged[_TYPE] = EntryType.HEARTBEAT
    connection.execute(_UPDATE_ENTRY, {"log": _LOG, "index": original.index, "entry": bytes(forged)})


def _delete(connection: Connection, original: _Original) -> None:
    connection.execute(_DELETE_ENTRY, {"log": _LOG, "index": original.index})


def _flip_payload(connection: Connection, original: _Original) -> None:
    forged = bytearray.fromhex(original.sealed)
    forged[-1] ^= 1
    connection.execute(_UPDATE_PAYLOAD, {"log": _LOG, "index": original.index, "sealed": bytes(forged)})


def _put_back(connection: Connection, original: _Original) -> None:
    place = {"log": _LOG, "index": original.index}
    connection.execute(_DELETE_ENTRY, place)
    connection.execute(_INSERT_ENTRY, {**place, "entry": bytes.fromhex(original.entry)})
    connection.execute(_UPDATE_PAYLOAD, {**place, "sealed": bytes.fromhex(original.sealed)})


def _write_durably(path: Path, content: str) -> None:
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").replace(path)
