"""The file of endings of a vault that is older than it, begun with what its registers say."""

import asyncio

from access_log.endings import ASSUMED, Ending, EndingsFile
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from consent.endings import standing
from consent.journal import Actor


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
