"""A database held against what was raised, and against what others hold of its log (FORMAT 9)."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.checkpoint import Checkpoint
from access_log.errors import OutsideLockError
from access_log.lock import Raised
from access_log.sequence import Head

_BEHIND: Final = (
    "Restore a newer backup, or import what is missing from the published log: `creditvault log reimport`; "
    "a log never rolls back"
)


def require_not_behind(head: Head, held: Raised) -> None:
    """Refuses a database that lacks entries which were raised: under the head lock none is on its way.

    Raises:
        OutsideLockError: it does; says what to do.
    """
    if held.size > head.size:
        raise OutsideLockError(
            f"the database is behind the outside lock: it holds {head.size} entries, {held.size} were "
            f"raised. {_BEHIND}"
        )


async def require_begins(
    connection: AsyncConnection, log: int, head: Head, name: str, checkpoint: Checkpoint
) -> None:
    """Refuses a database that does not begin with the tree that others hold.

    Args:
        connection: A transaction that holds the head lock.
        log: The log's number.
        head: Its head.
        name: Who holds the checkpoint.
        checkpoint: Signed by the log.

    Raises:
        OutsideLockError: it does not; says what to do.
    """
    if checkpoint.size > head.size:
        raise OutsideLockError(
            f"the database is behind {name}: it holds {head.size} entries, {checkpoint.size} were "
            f"signed. {_BEHIND}"
        )
    if await stored.root_at(connection, log, checkpoint.size) != checkpoint.root:
        raise OutsideLockError(
            f"{name} holds another tree of size {checkpoint.size}, which the log's key signed: this database "
            "is not that log. Restore the right one; if it is, keep everything and call an inspector"
        )
