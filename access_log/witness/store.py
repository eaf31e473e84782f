"""What a witness remembers: the logs it watches, their keys, and the last tree of each that it cosigned.

A witness belongs to another organization and must run without PostgreSQL, so its memory is one SQLite
file. `BEGIN IMMEDIATE` takes the only write lock before the state is read, across threads and processes:
the check of the old size, the new state and its cosignature are one step. With a write-ahead log and
`synchronous=FULL` the commit is on disk before the cosignature leaves.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from access_log.errors import WitnessStateError, WitnessUnavailableError
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import VerifierKey
from access_log.witness.protocol import Cosigned, Refusal, Submission, follow, lines_by, origin_hash

_VERSION: Final = 1
_PATIENCE: Final = 10.0
_CLOCK_BACK: Final = 60
_TABLES: Final = """
CREATE TABLE log_key (
    origin TEXT NOT NULL,
    key TEXT NOT NULL PRIMARY KEY
) STRICT;
CREATE TABLE cosigned (
    origin_hash TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    time INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A log as the witness knows it: the keys it trusts now, and what it cosigned last."""

    origin: str
    keys: tuple[VerifierKey, ...]
    last: Cosigned | None


class Store:
    """An open witness database. Blocking, and safe to use from several threads and processes.

    Args:
        path: of a database `create` made.

    Raises:
        WitnessStateError: it is missing, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        if not path.is_file():
            raise WitnessStateError(
                f"the witness database {path} is missing. With an older copy the witness could cosign two "
                "histories: if it is lost, make a new witness with a new key"
            )
        self._connection = _connect(path)
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error:
            raise WitnessStateError(f"{path} is no witness database: name the right folder") from None
        if version != _VERSION:
            raise WitnessStateError(f"{path} is a witness database of version {version}, not {_VERSION}")

    @classmethod
    def create(cls, path: Path) -> "Store":
        """Makes the database of a new witness.

        Raises:
            WitnessStateError: the file is there already, or cannot be made.
        """
        if path.exists():
            raise WitnessStateError(f"{path} is there already: a witness is never made over another")
        try:
            path.touch(0o600, exist_ok=False)
        except OSError as error:
            raise WitnessStateError(f"{path} cannot be made ({error.strerror})") from None
        connection = _connect(path)
        with _errors(path):
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
        connection.close()
        return cls(path)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def trust(self, key: VerifierKey) -> None:
        """Trusts a log's key for the origin that is its name; harmless when repeated."""
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO log_key VALUES (?, ?)", (key.name, str(key)))

    def distrust(self, key: VerifierKey) -> bool:
        """Trusts a key no more; whether it was trusted. What was cosigned stays remembered."""
        with self._writing() as connection:
            return connection.execute("DELETE FROM log_key WHERE key = ?", (str(key),)).rowcount > 0

    def keys_of(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys trusted for an origin; none for a log the witness does not know."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT key FROM log_key WHERE origin = ? ORDER BY rowid", (origin,)
            ).fetchall()
        return tuple(VerifierKey.parse(row[0]) for row in rows)

    def watched(self) -> list[Watched]:
        """Every log the witness knows or knew, by origin."""
        with self._reading() as connection:
            rows = connection.execute("SELECT origin, key FROM log_key ORDER BY rowid").fetchall()
            last = {
                origin: Cosigned(size, root, time)
                for origin, size, root, time in connection.execute(
                    "SELECT origin, size, root, time FROM cosigned"
                )
            }
        return [
            Watched(
                origin,
                tuple(VerifierKey.parse(key) for each, key in rows if each == origin),
                last.get(origin),
            )
            for origin in sorted({*last, *(row[0] for row in rows)})
        ]

    def checkpoint(self, origin: str) -> str | None:
        """The last cosigned note of a log, by the hash of its origin; None if there is none."""
        with self._reading() as connection:
            row = connection.execute("SELECT note FROM cosigned WHERE origin_hash = ?", (origin,)).fetchone()
        return None if row is None else str(row[0])

    def cosign(
        self, submission: Submission, keys: Sequence[CosigningKey], clock: Callable[[], int]
    ) -> Refusal | str:
        """Checks that a checkpoint follows the last one, remembers it, and only then hands out cosignatures.

        Args:
            submission: an admitted submission.
            keys: the witness's own.
            clock: POSIX seconds. Read under the lock: a cosignature says that no larger tree was seen then.

        Returns:
            The signature lines, once the new state is durable; or why not.

        Raises:
            WitnessUnavailableError: the file cannot be written now, or the clock went back.
        """
        with self._writing() as connection:
            new = submission.checkpoint
            row = connection.execute(
                "SELECT size, root, time FROM cosigned WHERE origin = ?", (new.origin,)
            ).fetchone()
            last = None if row is None else Cosigned(*row)
            refusal = follow(submission, last)
            if refusal is not None:
                return refusal
            time = _time(clock(), last)
            lines = "".join(key.line(new, time) for key in keys)
            logs = lines_by(submission.note, self._trusted(connection, new.origin))
            connection.execute(
                "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin_hash)"
                " DO UPDATE SET size = excluded.size, root = excluded.root, time = excluded.time,"
                " note = excluded.note",
                (
                    origin_hash(new.origin),
                    new.origin,
                    new.size,
                    new.root,
                    time,
                    f"{new.text()}\n{logs}{lines}",
                ),
            )
        # Durable from here: whatever becomes of this process, no smaller or other tree is cosigned again.
        return lines

    def _trusted(self, connection: sqlite3.Connection, origin: str) -> list[VerifierKey]:
        rows = connection.execute("SELECT key FROM log_key WHERE origin = ? ORDER BY rowid", (origin,))
        return [VerifierKey.parse(row[0]) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _errors(self._path):
            yield self._connection


def _time(now: int, last: Cosigned | None) -> int:
    """The time to state: never before that of the last cosignature, which said that nothing larger was seen.

    Raises:
        WitnessUnavailableError: the clock is over a minute behind it.
    """
    if last is None or now >= last.time:
        return now
    if last.time - now > _CLOCK_BACK:
        raise WitnessUnavailableError("the clock is behind the last cosignature: set it right")
    return last.time


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # No transaction but those that are begun here, by name.
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise WitnessStateError(f"the witness database {path} cannot be opened ({error})") from None
    if mode != "wal":
        raise WitnessStateError(f"{path} lies where SQLite keeps no write-ahead log: put it on a local disk")
    return connection


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise WitnessUnavailableError(f"the witness database {path} cannot be used now ({error})") from error
