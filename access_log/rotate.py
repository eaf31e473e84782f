"""A change of the log's own keys (FORMAT 5.2): the writer's side.

    1. the new keys exist, wherever `Signers` keeps them
    2. in one transaction under the head lock: an entry of type 7 that commits to the new keys, the document
       itself, and the head, which from now on names both epochs     (durable: both sign from here on)
    3. the checkpoint over the entry, signed by old and new keys, is raised
    4. in another transaction: the receipt against that checkpoint and the opening are kept, and the head
       names the new epoch alone                                     (durable: only the new keys sign)

Whatever stops it between 2 and 4 leaves a log that both sign; `Log.complete_key_change` does 3 and 4, at the
next start too. Which keys sign a tree follows from the head as read under its lock, never from a clock: a
tree without the entry is signed by the old keys, however late.
"""

from dataclasses import dataclass
from hashlib import sha256

from access_log import key_changes, writes
from access_log.entry import EntryType
from access_log.key_history import CHANGED, write_document, write_history
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.payload import Payload
from access_log.sequence import KeyState
from access_log.stored_log import StoredLog
from access_log.verifier_keys import VerifierKey


@dataclass(frozen=True, slots=True)
class Change:
    """A change of keys that is complete.

    Attributes:
        epoch: The number of the new keys.
        keys: The new keys.
        index: Of the entry that names them.
        resumed: Whether it had been begun before.
    """

    epoch: int
    keys: tuple[VerifierKey, ...]
    index: int
    resumed: bool


async def change_keys(log: Log, actor: str, actor_role: str) -> Change:
    """Have the log sign with new keys from now on, in every process.

    A change that was begun and not completed is completed, and no other is begun.

    Args:
        log: The log; it need not be started.
        actor: Who does it, for inspectors.
        actor_role: In which role.

    Raises:
        LogStateError: There is no log, or it contradicts itself.
        LogUnavailableError: Database or outside lock cannot be used now; do it again.
        OutsideLockError: The log is not the one that was raised.
    """
    async with log.engine.connect() as connection:
        seen = await writes.key_state(connection, log.number)
    resumed = seen.changing
    if resumed:
        await log.start()
    else:
        await log.signers.make(seen.epoch + 1)  # (1)
        async with log.writing() as writing:  # (2)
            # Another process may have been first: one change is enough for both.
            if writing.head.keys == seen:
                retired = tuple(key.key for key in await log.signers.of(seen.epoch))
                keys = tuple(key.key for key in await log.signers.of(seen.epoch + 1))
                document = write_document(log.origin, seen.epoch + 1, retired, keys)
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
                change = key_changes.Begun(index, document)
                await key_changes.begin(writing.connection, log.number, seen.epoch + 1, change)
                writing.keys = KeyState(seen.epoch + 1, changing=True)
        await log.complete_key_change()  # (3), (4)
    async with log.engine.connect() as connection:
        state = await writes.key_state(connection, log.number)
        begun = await key_changes.change_to(connection, log.number, state.epoch)
    keys = tuple(key.key for key in await log.signers.of(state.epoch))
    return Change(state.epoch, keys, begun.index, resumed)


async def key_history(log: StoredLog) -> str:
    """The log's key history (FORMAT 5.2), as it is published: every change that is complete."""
    async with log.engine.connect() as connection:
        return write_history(await key_changes.completed(connection, log.number))
