"""The newest witnessed checkpoint published beside the log's files, as `witnessed` (FORMAT 6).

It stands there only once the folder's own checkpoint covers it, so that whoever reads it finds every file it
promises. What stands there is never exchanged for one of a smaller tree, or of another one.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.checkpoint import MAX_NOTE, Checkpoint, VerifierKey, open_note
from access_log.contradiction import Signed
from access_log.cosigned import WITNESSED
from access_log.durable import DurableFolder
from access_log.errors import AccessLogError, FolderError, LogStateError
from access_log.policy import Policy
from access_log.publishing import CHECKPOINT, says_as_much
from access_log.stored_log import StoredLog
from access_log.witnessed.newest import newest_witnessed


async def publish_witnessed(log: StoredLog, root: Path, policy: Policy) -> int | None:
    """Publish the newest witnessed checkpoint beside the log; the size that stands there now, or None.

    One that the folder's checkpoint does not cover yet is left for the next call.

    Args:
        log: The log. It need not be started.
        root: The folder the log is published into.
        policy: Whose cosignatures make a checkpoint witnessed.

    Raises:
        FolderError: The folder cannot be written to, another process publishes into it, or it holds what
            must not be replaced.
        SQLAlchemyError: The database cannot be read.
    """
    folder = DurableFolder(root)
    with folder.held():
        keys = await log.every_verifier_key()
        covering = await asyncio.to_thread(_standing, folder, CHECKPOINT, keys)
        standing = await asyncio.to_thread(_standing, folder, WITNESSED, keys)
        before = None if standing is None else standing.checkpoint.size
        async with log.engine.connect() as connection:
            newest = await newest_witnessed(log, connection, policy)
            if newest is None or covering is None or newest.checkpoint.size > covering.checkpoint.size:
                return before
            if standing is not None and (
                newest.checkpoint.size < standing.checkpoint.size
                or says_as_much(standing.note.encode(), newest.note.encode())
            ):
                return before
            await _require_begins(
                connection, log, newest.checkpoint, "the witnessed checkpoint that is stored"
            )
            if standing is not None:
                await _require_begins(connection, log, standing.checkpoint, str(root / WITNESSED))
        await asyncio.to_thread(folder.put, [(WITNESSED, newest.note.encode())])
        await asyncio.to_thread(folder.settle)
    return newest.checkpoint.size


def _standing(folder: DurableFolder, path: str, keys: Sequence[VerifierKey]) -> Signed | None:
    """A checkpoint in the folder, which must be this log's."""
    note = folder.read(path, MAX_NOTE)
    if note is None:
        return None
    try:
        return Signed(open_note(note, keys), note.decode())
    except AccessLogError as error:
        raise FolderError(
            f"{folder.root / path} is not this log's ({error}): name the folder this log was published into"
        ) from None


async def _require_begins(connection: AsyncConnection, log: StoredLog, shown: Checkpoint, what: str) -> None:
    try:
        same = await stored.root_at(connection, log.number, shown.size) == shown.root
    except LogStateError as error:
        raise FolderError(f"{error}: run `creditvault log fsck`; nothing was published") from None
    if not same:
        raise FolderError(
            f"{what} is of another tree than the log's first {shown.size} entries: one of them was altered "
            "since. Keep everything as it is, run `creditvault log fsck`, call an inspector"
        )
