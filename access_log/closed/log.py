"""A log that was closed: it is read and proved as ever, and written to no more (FORMAT 5.3)."""

import asyncio
from hashlib import sha256
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.checkpoint import Checkpoint
from access_log.errors import LogStateError, OutsideLockError
from access_log.lock import Raised
from access_log.note import split_note
from access_log.stored_log import StoredLog
from access_log.succession import Opened
from access_log.witness import remembered


def closed_folder(origin: str) -> str:
    """Where a closed log is published, below the one that is open: as it was at its root, for good."""
    return f"closed/{sha256(origin.encode()).hexdigest()}"


def closed_path(origin: str) -> str:
    """Where a closed log is served."""
    return f"/log/{closed_folder(origin)}"


_SIZE = text("SELECT size FROM access_log.head WHERE log = :log")


class ClosedLog(StoredLog):
    """A closed log of a database.

    Args:
        says: what entry 0 of the log opened in its place says of it.
        given: as of every stored log.
    """

    def __init__(self, *given: Any, says: Opened, **named: Any) -> None:  # noqa: ANN401 -- as the class above
        super().__init__(*given, **named)
        self.says = says
        self._covering: Raised | None = None

    async def require_kept(self) -> None:
        """Holds its outside lock against what the next log says of it, and ends the lock if it was not.

        Raises:
            OutsideLockError: the lock is missing, or is not as it was when the log was closed.
            LogUnavailableError: it cannot be read now.
        """
        held = await asyncio.to_thread(self.outside.read)
        ended = await asyncio.to_thread(self.outside.successor)
        end = Checkpoint.parse(split_note(self.says.checkpoint)[0])
        if held.size == end.size:
            same = held.root == end.root
        else:
            # A newer checkpoint than the lock's was known from elsewhere.
            same = held.size < end.size and not self.says.planned
        if not same or ended not in {None, self.says.origin}:
            raise OutsideLockError(
                f"the outside lock {self.outside.path} of the closed log {self.origin} is not as it was when "
                "the log was closed: put it back from its newest copy"
            )
        if ended is None:
            await asyncio.to_thread(self.outside.close, self.says.origin)

    async def newest(self) -> Raised:
        """Where the log ends, also where entries of it are missing here."""
        end = Checkpoint.parse(split_note(self.says.checkpoint)[0])
        return Raised(end.size, end.root, self.says.checkpoint)

    async def readable(self, connection: AsyncConnection) -> int:
        """Those up to its end, without those that are missing here."""
        held: int = (await connection.execute(_SIZE, {"log": self.number})).scalar_one()
        return min(held, (await self.newest()).size)

    async def provable(self, connection: AsyncConnection) -> Raised | None:
        """The newest signed checkpoint known here whose entries are all here; None if there is none."""
        if self._covering is None:
            self._covering = await self._find_covering(connection)
        return self._covering

    async def _find_covering(self, connection: AsyncConnection) -> Raised | None:
        size: int = (await connection.execute(_SIZE, {"log": self.number})).scalar_one()
        notes = [
            self.says.checkpoint,
            (await asyncio.to_thread(self.outside.read)).note,
            await remembered.newest_witnessed(connection, self.number),
        ]
        for note in filter(None, notes):
            signed = Checkpoint.parse(split_note(note)[0])
            if signed.size <= size and await self._begins_with(connection, signed):
                return Raised(signed.size, signed.root, note)
        return None

    async def _begins_with(self, connection: AsyncConnection, signed: Checkpoint) -> bool:
        try:
            return await stored.root_at(connection, self.number, signed.size) == signed.root
        except LogStateError:
            return False  # Entries that it covers are missing.
