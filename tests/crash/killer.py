"""The real server, but for one thing: it kills itself, -9, at a named step of its work.

    python killer.py <step> <nth> <armed file> serve --workers 1

Nothing of the product knows of this. Functions it calls and statements it sends are wrapped before it starts;
once the armed file is there, the nth pass of the step ends the process as a power cut would, without another
instruction.
"""

import asyncio
import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg

When = Literal["before", "after"]
_APPENDS = "INSERT INTO access_log.entry"


class Trigger:
    """Counts the passes of a step, from the moment it is armed."""

    def __init__(self, nth: int, armed: Path) -> None:
        self._left = nth
        self._armed = armed

    def last(self) -> bool:
        """Whether this pass is the one to die at."""
        if not self._armed.exists():
            return False
        self._left -= 1
        return self._left == 0

    def passed(self) -> None:
        """One more pass."""
        if self.last():
            die()


def die() -> None:
    """kill -9 of this very process."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Call:
    """Before a function does anything, or when it is done and its caller does not know yet."""

    when: When
    module: str
    path: str

    def wrap(self, trigger: Trigger) -> None:
        """Puts the trigger around the function."""
        owner: Any = importlib.import_module(self.module)
        *outer, name = self.path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        setattr(owner, name, _around(getattr(owner, name), self.when, trigger))


@dataclass(frozen=True)
class Statement:
    """Before a statement is sent to the database, or when it is done; named by a part of its text."""

    when: When
    part: str

    def wrap(self, trigger: Trigger) -> None:
        """Listens to every statement of every engine."""

        def sent(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if self.part in statement:
                trigger.passed()

        event.listen(Engine, f"{self.when}_cursor_execute", sent)


@dataclass(frozen=True)
class Commit:
    """Before or after the commit of a transaction that sent a statement; no other commit counts.

    The statement is named by a part of its text: by default, one that appends to the log.
    """

    when: When
    part: str = _APPENDS

    def wrap(self, trigger: Trigger) -> None:
        """Follows the transactions that send it."""
        appended: set[int] = set()
        commit = PGDialectAsync_psycopg.do_commit

        def sent(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
            if self.part in statement:
                appended.add(id(connection.connection))

        def do_commit(dialect: PGDialectAsync_psycopg, connection: Any) -> None:
            counts = id(connection) in appended
            appended.discard(id(connection))
            if counts and self.when == "before":
                trigger.passed()
            commit(dialect, connection)
            if counts and self.when == "after":
                trigger.passed()

        event.listen(Engine, "after_cursor_execute", sent)
        PGDialectAsync_psycopg.do_commit = do_commit  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class TornWrite:
    """In the middle of a write to the outside lock: its first half stands."""

    def wrap(self, trigger: Trigger) -> None:
        """Only the outside lock writes at an offset."""
        pwrite = os.pwrite

        def write_some(descriptor: int, content: bytes, offset: int) -> int:
            if trigger.last():
                pwrite(descriptor, content[: len(content) // 2], offset)
                die()
            return pwrite(descriptor, content, offset)

        os.pwrite = write_some  # type: ignore[assignment]


def _around(function: Callable[..., Any], when: When, trigger: Trigger) -> Callable[..., Any]:
    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapped(*arguments: object, **named: object) -> object:
            if when == "before":
                trigger.passed()
            result: object = await function(*arguments, **named)
            if when == "after":
                trigger.passed()
            return result

        return wrapped

    @functools.wraps(function)
    def wrapped_plain(*arguments: object, **named: object) -> object:
        if when == "before":
            trigger.passed()
        result: object = function(*arguments, **named)
        if when == "after":
            trigger.passed()
        return result

    return wrapped_plain


Step = Call | Statement | Commit | TornWrite

WRITING: dict[str, Step] = {
    "before-head-lock": Statement("before", "WITH locked AS MATERIALIZED"),
    "after-head-lock": Statement("after", "WITH locked AS MATERIALIZED"),
    "before-entries": Statement("before", _APPENDS),
    "after-entries": Statement("after", _APPENDS),
    "before-tiles": Statement("before", "INSERT INTO access_log.tile"),
    "after-tiles": Statement("after", "INSERT INTO access_log.tile"),
    "before-commit": Commit("before"),
    "after-commit": Commit("after"),
    "before-sign": Call("before", "access_log.signing_keys", "SigningKey.line"),
    "after-sign": Call("after", "access_log.signing_keys", "SigningKey.line"),
    "before-raise": Call("before", "access_log.lock", "OutsideLock.raise_to"),
    "before-lock-write": Call("before", "os", "pwrite"),
    "torn-lock-write": TornWrite(),
    "between-lock-write-and-sync": Call("before", "os", "fdatasync"),
    "after-lock-sync": Call("after", "os", "fdatasync"),
    "after-raise": Call("after", "access_log.lock", "OutsideLock.raise_to"),
}
"""Steps of everything that appends, in their order."""

WITNESSING: dict[str, Step] = {
    "before-witness": Call("before", "access_log.witness.witnessing", "Witnessing.require"),
    "before-cosignature": Call("before", "access_log.witness.client", "WitnessClient.add_checkpoint"),
    "after-cosignature": Call("after", "access_log.witness.client", "WitnessClient.add_checkpoint"),
    "after-witness": Call("after", "access_log.witness.witnessing", "Witnessing.require"),
}
"""Steps between the raise and the release, where answers wait for witnesses."""

QUERYING: dict[str, Step] = {
    "after-persons-found": Call("after", "vault.records.store", "find"),
    "after-state-read": Call("after", "consent.state", "read"),
    "after-proofs-recorded": Statement("after", "INSERT INTO consent.dpop_proof"),
    "after-decide": Call("after", "vault.records.disclose", "decide"),
    "before-charge": Statement("before", "INSERT INTO consent.authorization_use"),
    "after-charge": Statement("after", "INSERT INTO consent.authorization_use"),
    "before-keys": Call("before", "vault.records.keys", "VaultKeys.subject_keys"),
    "before-opening": Call("before", "vault.records.opening", "open_record"),
    "after-opening": Call("after", "vault.records.opening", "open_record"),
    "before-answer": Call("after", "vault.api", "_response"),
}
"""Steps of a batch of queries alone."""

INSPECTING: dict[str, Step] = {
    "after-inspector-read": Call("after", "consent.inspectors", "read"),
    "after-use-proof": Statement("after", "INSERT INTO consent.dpop_proof"),
    "before-inspection-answer": Call("before", "vault.inspection.api", "_response"),
}
"""Steps of one use of an inspection token alone."""

ASSISTING: dict[str, Step] = {
    "after-clerk-read": Call("after", "consent.inspectors", "read"),
    "after-assisted-count": Statement("after", "INSERT INTO consent.assisted"),
    "before-own-records-opened": Call("before", "vault.server.desk.api", "open_records"),
    "before-desk-answer": Call("before", "vault.server.desk.api", "_response"),
}
"""Steps of one use of a clerk's token alone."""

ENROLLING: dict[str, Step] = {
    "after-sealing": Call("after", "vault.records.enrol", "Enrolment._seal"),
    "before-persons": Statement("before", "INSERT INTO vault.subject"),
    "after-persons": Statement("after", "INSERT INTO vault.subject"),
    "before-records": Statement("before", "INSERT INTO vault.record"),
    "after-records": Statement("after", "INSERT INTO vault.record"),
    "before-results": Call("after", "vault.records.enrol", "Enrolment.enrol"),
}
"""Steps of a chunk of records alone."""

SETTING_UP: dict[str, Step] = {
    "before-keyring": Call("before", "vault.crypto.keyring", "replace"),
    "after-keyring": Call("after", "vault.crypto.keyring", "replace"),
    "after-keys": Statement("after", "INSERT INTO vault.system_key"),
    "after-head": Statement("after", "INSERT INTO access_log.head"),
    "before-lock": Call("before", "access_log.lock", "OutsideLock.create"),
    "torn-lock": TornWrite(),
    "before-lock-is-placed": Call("before", "os", "link"),
    "after-lock-is-placed": Call("after", "os", "link"),
    "after-lock": Call("after", "access_log.lock", "OutsideLock.create"),
}
"""Steps of making a new vault, in their order."""

PUBLISHING: dict[str, Step] = {
    "before-aside-is-written": Call("before", "os", "fchmod"),
    "before-aside-is-synced": Call("before", "os", "fsync"),
    "after-sync": Call("after", "os", "fsync"),
    "before-name-is-made": Call("before", "os", "replace"),
    "after-name-is-made": Call("after", "os", "replace"),
    "before-settling": Call("before", "access_log.durable", "DurableFolder.settle"),
    "after-settling": Call("after", "access_log.durable", "DurableFolder.settle"),
}
"""Steps of publishing the log into a folder; most are passed once for each file or folder."""

CHANGING_KEYS: dict[str, Step] = {
    "before-seeds": Statement("before", "INSERT INTO vault.system_key"),
    "after-seeds": Statement("after", "INSERT INTO vault.system_key"),
    "after-change-begun": Statement("after", "INSERT INTO access_log.key_change"),
    "before-change-is-completed": Statement("before", "UPDATE access_log.key_change"),
    "after-change-is-completed": Statement("after", "UPDATE access_log.key_change"),
    "after-change": Call("after", "access_log.log", "Log.complete_key_change"),
    "before-roots-change-is-complete": Commit("before", "UPDATE access_log.root_key_change"),
}
"""Steps of a change of the log's keys, or of that of its roots, beside those of everything that appends."""

_MOVES = "UPDATE vault.subject"
ROTATING: dict[str, Step] = {
    "before-keyring": Call("before", "vault.crypto.keyring", "replace"),
    "before-keyring-is-placed": Call("before", "os", "replace"),
    "after-keyring": Call("after", "vault.crypto.keyring", "replace"),
    "after-version-in-use": Statement("after", "INSERT INTO vault.key_version"),
    "after-system-keys": Statement("after", "UPDATE vault.system_key"),
    "before-moving": Statement("before", _MOVES),
    "before-move-is-committed": Commit("before", _MOVES),
    "after-move-is-committed": Commit("after", _MOVES),
    "before-index-is-committed": Commit("before", "UPDATE vault.identifier"),
    "after-index-is-committed": Commit("after", "UPDATE vault.identifier"),
    "after-resealing": Statement("after", "UPDATE vault.record"),
    "before-emptied": Statement("before", "SET emptied_at"),
    "after-destroyed": Statement("after", "SET destroyed_at"),
    "before-destruction": Call("before", "vault.crypto.keyring", "FileKeyring.destroy"),
}
"""Steps of rotating a key, or a person's, and of destroying a version, beside those of what appends."""

MOVING: dict[str, Step] = {
    "after-key-in-new-provider": Call("after", "vault.crypto.openbao", "Transit.create"),
    "after-month-is-moved": Commit("after", "UPDATE vault.expiry_key SET wrapped = %"),
}
"""Steps of moving a vault to another key provider, beside those of rotating its keys."""

_TAKES_OUT = "INSERT INTO access_log.archived"
DROPPING: dict[str, Step] = {
    "before-range-is-recorded": Statement("before", _TAKES_OUT),
    "after-range-is-recorded": Statement("after", _TAKES_OUT),
    "before-detaching": Statement("before", "DETACH PARTITION"),
    "after-detaching": Statement("after", "DETACH PARTITION"),
    "after-dropping": Statement("after", "DROP TABLE access_log."),
    "before-drop-is-committed": Commit("before", _TAKES_OUT),
    "after-drop-is-committed": Commit("after", _TAKES_OUT),
}
"""Steps of taking a range of entries out of the database, in their order."""

CLOSING: dict[str, Step] = {
    "before-head-is-closed": Statement("before", "UPDATE access_log.head SET successor"),
    "after-head-is-closed": Statement("after", "UPDATE access_log.head SET successor"),
    "before-next-head": Statement("before", "INSERT INTO access_log.head"),
    "before-lock-is-ended": Call("before", "access_log.lock", "OutsideLock.close"),
    "after-lock-is-ended": Call("after", "access_log.lock", "OutsideLock.close"),
    "before-succession": Statement("before", "INSERT INTO access_log.succession"),
    "after-succession": Statement("after", "INSERT INTO access_log.succession"),
}
"""Steps of closing a log and opening the next, beside those of making and writing one."""

_ENDS_MONTH = "UPDATE vault.expiry_key SET wrapped = NULL"
ENDING_MONTHS: dict[str, Step] = {
    "before-month-ends": Statement("before", _ENDS_MONTH),
    "before-end-is-committed": Commit("before", _ENDS_MONTH),
    "after-end-is-committed": Commit("after", _ENDS_MONTH),
    "after-records-are-removed": Statement("after", "DELETE FROM vault.record"),
    "before-destruction": Call("before", "vault.crypto.keyring", "FileKeyring.destroy"),
    "after-destruction": Call("after", "vault.crypto.keyring", "FileKeyring.destroy"),
    "before-it-is-written-down": Statement("before", "UPDATE vault.expiry_key SET destroyed_at"),
    "after-it-is-written-down": Commit("after", "UPDATE vault.expiry_key SET destroyed_at"),
}
"""Steps of the end of a month, in their order."""

_ERASES = "INSERT INTO consent.erasure"
ERASING: dict[str, Step] = {
    "after-consents-are-ended": Commit("after", "INSERT INTO consent.consent_event"),
    "before-person-is-removed": Statement("before", "DELETE FROM vault.subject"),
    "before-erasure-is-kept": Call("before", "access_log.endings", "EndingsFile.keep"),
    "before-erasure-is-committed": Commit("before", _ERASES),
    "after-erasure-is-committed": Commit("after", _ERASES),
    "before-certificate": Call("after", "vault.rights.erasure", "erase"),
}
"""Steps of the erasure of a person, in their order."""

UPGRADING: dict[str, Step] = {
    "after-schema": Call("after", "vault.server.endings", "bring_up"),
    "before-first-endings": Call("before", "access_log.endings", "EndingsFile.create"),
    "after-first-endings": Call("after", "access_log.endings", "EndingsFile.create"),
}
"""Steps of bringing a vault from before the file of endings to this release, in their order."""

RECOVERING = (
    "after-head-lock",
    "before-sign",
    "before-raise",
    "before-lock-write",
    "torn-lock-write",
    "between-lock-write-and-sync",
    "after-lock-sync",
    "after-raise",
)
"""Steps of writing that a start passes too, when there is something to raise."""


def main() -> None:
    """Wraps, then serves as the command line does."""
    name, nth, armed, *rest = sys.argv[1:]
    steps = WRITING | WITNESSING | QUERYING | INSPECTING | ENROLLING | SETTING_UP | PUBLISHING | CHANGING_KEYS
    steps |= ASSISTING | DROPPING | CLOSING | ROTATING | ENDING_MONTHS | ERASING | MOVING | UPGRADING
    steps[name].wrap(Trigger(int(nth), Path(armed)))
    sys.argv = ["creditvault", *rest]
    from vault.server.cli import main as command_line  # noqa: PLC0415 -- after the wrapping

    command_line()


if __name__ == "__main__":
    main()
