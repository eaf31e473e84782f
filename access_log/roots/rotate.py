"""A change of the key of a log of roots (FORMAT 5.4): the writer's side.

    1. the new key exists, wherever `RootsSigners` keeps it
    2. in one transaction under the head lock: an entry of type 7 that commits to the new key, the document
    3. the next root covers the entry: old and new key sign its checkpoint, and the change is complete, in
       the transaction that appends it

Whatever stops it between 2 and 3, whoever appends roots next does 3.
"""

from dataclasses import dataclass
from hashlib import sha256

from access_log.entry import EntryType
from access_log.errors import LogStateError
from access_log.key_history import write_document
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from access_log.roots import key_changes
from access_log.roots.key_changes import FIRST
from access_log.roots.key_history import CHANGED
from access_log.roots.log import RootsLog
from access_log.verifier_keys import VerifierKey


@dataclass(frozen=True, slots=True)
class RootsChange:
    """A change of the key of a log of roots that is complete.

    Attributes:
        epoch: The number of the new key.
        key: The new key.
        index: Of the entry that names it.
        size: Of the tree of roots that old and new key signed.
        resumed: Whether it had been begun before.
    """

    epoch: int
    key: VerifierKey
    index: int
    size: int
    resumed: bool


async def change_roots_key(log: Log, roots: RootsLog, actor: str, actor_role: str) -> RootsChange:
    """Has the log of roots signed with a new key from now on, in every process.

    A change that was begun and not completed is completed, and no other is begun.

    Args:
        log: The log.
        roots: Its log of roots.
        actor: Who does it, for inspectors.
        actor_role: In which role.

    Raises:
        LogStateError: There is no log, or it contradicts itself.
        LogUnavailableError: Database or outside lock cannot be used now; do it again.
        OutsideLockError: The log is not the one that was raised.
    """
    await log.start()
    async with log.engine.connect() as connection:
        seen = await key_changes.every(connection, roots.number)
    resumed = bool(seen) and seen[-1].size is None
    if not resumed:
        epoch = seen[-1].epoch + 1 if seen else FIRST + 1
        await roots.signers.make(epoch)  # (1)
        async with log.writing() as writing:  # (2)
            # Another process may have been first: one change is enough for both.
            if await key_changes.every(writing.connection, roots.number) == seen:
                retired, new = [(await roots.signers.of(each)).key for each in (epoch - 1, epoch)]
                document = write_document(roots.origin, epoch, [retired], [new], CHANGED)
                payload = Payload.create(
                    EntryType.KEY,
                    {
                        "event": CHANGED,
                        "actor": actor,
                        "actor_role": actor_role,
                        "document": sha256(document.encode()).hexdigest(),
                    },
                )
                index = writing.head.size + writing.add(Event(SYSTEM_STREAM, payload))
                change = key_changes.Change(epoch, index, document, None)
                await key_changes.begin(writing.connection, roots.number, change)
    await roots.catch_up()  # (3)
    async with log.engine.connect() as connection:
        done = (await key_changes.every(connection, roots.number))[-1]
    if done.size is None:
        raise LogStateError(f"entry {done.index} names a new key of the log of roots, and no root covers it")
    key = (await roots.signers.of(done.epoch)).key
    return RootsChange(done.epoch, key, done.index, done.size, resumed)
