"""A log as it is stored: what it takes to read one, whoever appends to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import stored, writes
from access_log.archive import Archive
from access_log.errors import LogClosedError
from access_log.failing import database_errors
from access_log.lent import LogKey, Sealer, Signers
from access_log.lock import OutsideLock, Raised
from access_log.receipt import write_receipt
from access_log.sequence import KeyState, LabelMaker
from access_log.verifier_keys import VerifierKey


class StoredLog:
    """One log of a database. It reads; only `log.Log` appends.

    Args:
        engine: the application role's database.
        origin: name of the log and of its signing key, for instance `vault.example/log/2026`.
        master: 32-byte label master (version 1).
        sealer: seals payloads.
        signers: has the keys that sign checkpoints.
        outside: the outside lock.
        archive: where entries stand whose partition is gone.
        number: among the logs of the database, from 1.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        origin: str,
        master: bytes,
        sealer: Sealer,
        signers: Signers,
        outside: OutsideLock,
        archive: Archive | None = None,
        number: int = 1,
    ) -> None:
        self.engine = engine
        self.number = number
        self.origin = origin
        self.sealer = sealer
        self.signers = signers
        self.outside = outside
        self.archive = archive
        self.labels = LabelMaker(master, origin)

    async def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The verifier keys in force, as the database names them: of one epoch, or of two during a change.

        Raises:
            LogStateError: there is no log.
        """
        async with database_errors(), self.engine.connect() as connection:
            state = await writes.key_state(connection, self.number)
        return tuple([key.key for key in await self.signing_keys(state)])

    async def every_verifier_key(self) -> tuple[VerifierKey, ...]:
        """The verifier keys of all epochs up to now, oldest first.

        Raises:
            LogStateError: there is no log.
        """
        async with database_errors(), self.engine.connect() as connection:
            newest = (await writes.key_state(connection, self.number)).epoch
        return await self.verifier_keys_to(newest)

    async def verifier_keys_to(self, newest: int) -> tuple[VerifierKey, ...]:
        """The verifier keys of all epochs up to this one, oldest first."""
        return tuple([key.key for epoch in range(1, newest + 1) for key in await self.signers.of(epoch)])

    async def signing_keys(self, state: KeyState) -> tuple[LogKey, ...]:
        """The keys that sign in this state, oldest first."""
        return tuple([key for epoch in state.epochs for key in await self.signers.of(epoch)])

    async def newest(self) -> Raised:
        """The newest released checkpoint.

        Raises:
            OutsideLockError, LogUnavailableError: the outside lock cannot be read.
        """
        return await asyncio.to_thread(self.outside.read)

    async def readable(self, connection: AsyncConnection) -> int:  # noqa: ARG002 -- a closed log asks
        """How many of its entries may be shown: those that were released, and are here.

        Raises:
            OutsideLockError, LogUnavailableError: the outside lock cannot be read.
        """
        return (await self.newest()).size

    async def provable(self, connection: AsyncConnection) -> Raised | None:  # noqa: ARG002 -- a closed log asks
        """The newest checkpoint that entries can be proved against here.

        Raises:
            OutsideLockError, LogUnavailableError: the outside lock cannot be read.
        """
        return await self.newest()

    async def receipt(self, connection: AsyncConnection, index: int, entry: bytes) -> str:
        """A receipt of an entry against the newest checkpoint that it can be proved against here.

        Raises:
            LogClosedError: no checkpoint that is known here covers the entry.
            LogUnavailableError: the outside lock cannot be used now, or the witnesses did not cosign.
            OutsideLockError: the log is not the one that was raised.
            LogStateError: entries or tiles are missing, or are not those of the head.
        """
        covering = await self.provable(connection)
        if covering is None or covering.size <= index:
            raise LogClosedError(
                f"no checkpoint of the log {self.origin} that is known here covers the entry: look for one "
                "where the log was published"
            )
        proof = await stored.proof(connection, self.number, index, covering.size)
        return write_receipt(entry, index, proof, covering.note)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of its own, which ends with the block.

        Raises:
            LogUnavailableError: the database cannot be reached, or refuses to write now.
        """
        async with database_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    def month_key(self, stream_id: bytes, month: int) -> bytes:
        """The key of one stream for one month (yyyymm, UTC): what a person may be given (FORMAT 3)."""
        return self.labels.month_key(stream_id, month)
