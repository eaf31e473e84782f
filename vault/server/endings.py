"""The file of endings of a vault that is older than it, begun with what its registers say.

Afterwards nothing in the database tells such a vault from one whose file was lost, which must not be begun
anew by itself. So that it is owed is noted beside the outside lock before the schema is brought up, and is
true until the file is there: whoever is killed in between only has to run it again.
"""

import asyncio
import os
from pathlib import Path

from access_log.endings import ASSUMED, Ending, EndingsFile
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from access_log.syncing import making, sync_folder
from consent.endings import standing
from consent.journal import Actor
from vault.errors import VaultError
from vault.server.database import migrate, older_than_endings, revision
from vault.server.settings import Settings


class NotNotedError(VaultError):
    """The folder of the outside lock cannot be written to."""


def bring_up(settings: Settings, owner_url: str) -> tuple[str | None, str]:
    """Brings the schema to this release, as `migrate` does; returns the revisions before and after.

    Raises:
        SchemaError, DatabaseDownError: as of `migrate`.
        NotNotedError: that a file of endings will be owed cannot be noted; nothing was changed.
    """
    note = settings.endings_owed
    if older_than_endings(revision(owner_url)) and not note.exists():
        try:
            with making(note) as descriptor:
                os.fsync(descriptor)
        except OSError as error:
            raise NotNotedError(
                f"{note} cannot be made ({os.strerror(error.errno or 0)}): let this user write to its "
                "folder, then run it again"
            ) from error
    return migrate(owner_url)


async def begin_owed(settings: Settings, log: Log, file: EndingsFile, actor: Actor) -> None:
    """Begins the file where a note says that it is owed; harmless otherwise.

    Raises:
        OutsideLockError, LogUnavailableError: as of `begin`.
    """
    note = settings.endings_owed
    if not note.exists():
        return
    if not file.exists():
        await begin(log, file, actor)
    await asyncio.to_thread(_settle, note)


def _settle(note: Path) -> None:
    note.unlink()
    sync_folder(note.parent)


async def begin(log: Log, file: EndingsFile, actor: Actor) -> None:
    """Makes the file with every end that stands in the registers, and an entry that says so.

    The log starts first: a database that lacks entries is refused before anything is read from it.

    Args:
        log: not started, and open for nobody else in this process: it is given no file to start with.
        file: where there is none.
        actor: who has it begun.

    Raises:
        OutsideLockError: the file is there already, or the database is behind the outside lock.
        LogUnavailableError: database, lock or file cannot be used now.
    """
    log.endings = None
    async with log.writing() as writing:
        now = int(writing.now.timestamp() * 1000)
        known = [
            Ending(kind, now, writing.head.size, ASSUMED, of, subject)
            for kind, of, subject in await standing(writing.connection)
        ]
        payload = Payload.create(
            EntryType.OPERATOR,
            {"event": "endings.begun", "actor": actor.name, "actor_role": actor.role},
        )
        writing.add(Event(SYSTEM_STREAM, payload))
        # Under the head lock: nothing ends between what was read and what is kept.
        await asyncio.to_thread(file.create, known)
