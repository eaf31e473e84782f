"""Signing a tree and raising the outside lock to it: what stands between a commit and any answer."""

import asyncio
from collections.abc import Sequence
from typing import Final

from access_log import stored
from access_log.checkpoint import Checkpoint
from access_log.errors import LogStateError
from access_log.failing import database_errors
from access_log.lent import LogKey, Witnesses
from access_log.lock import Raised
from access_log.merkle import EMPTY_ROOT, Frontier
from access_log.signing_keys import sign_note
from access_log.stored_log import StoredLog

_ROOTS_REMEMBERED: Final = 64


class Raising:
    """What one worker signs and raises, and what it knows to be raised and witnessed.

    Args:
        log: whose trees they are.
        witnesses: asked about each checkpoint before anything is released; None if nothing waits for them.
    """

    def __init__(self, log: StoredLog, witnesses: Witnesses | None) -> None:
        self._log = log
        self.witnesses = witnesses
        self._roots: dict[int, bytes] = {0: EMPTY_ROOT}  # sizes of this tree whose roots we have seen
        self._witnessed = 0  # the size up to which this worker knows the log to be witnessed

    def forget(self) -> None:
        """Forgets the roots it has seen: what is compared from now on is compared with the database."""
        self._roots = {0: EMPTY_ROOT}

    def remember(self, frontier: Frontier) -> None:
        """Takes a tree that stands in the database for one that was seen."""
        self._roots[frontier.size] = frontier.root()
        if len(self._roots) > _ROOTS_REMEMBERED:
            del self._roots[next(iter(self._roots))]

    async def raise_to(self, frontier: Frontier, time: int, keys: Sequence[LogKey]) -> str:
        """Signs the frontier's checkpoint and raises the outside lock to it; returns the note.

        Args:
            frontier: Of the tree, which is durable.
            time: Of the newest entry, in ms: what a signature of type 0x06 states, in seconds.
            keys: Those in force for this tree, as read under the head lock.

        Raises:
            OutsideLockError: the log is not the one that was raised.
            LogStateError: entries or tiles are missing.
            LogUnavailableError: the lock cannot be used now, or the witnesses did not cosign.
        """
        log = self._log
        new = Raised(
            frontier.size,
            frontier.root(),
            note := sign_note(Checkpoint(log.origin, frontier.size, frontier.root()), keys, time // 1000),
        )
        while (
            unproven := await asyncio.to_thread(log.outside.raise_to, new, self._roots.copy())
        ) is not None:
            # Another worker raised meanwhile. Its tree and ours are one when the stored entries give
            # both roots.
            async with database_errors(), log.engine.connect() as connection:
                ours = await stored.root_at(connection, log.number, frontier.size)
                theirs = await stored.frontier_at(connection, log.number, unproven.held.size)
            _require_same(ours, new.root)
            self.remember(theirs)
            if theirs.size >= new.size and theirs.root() == unproven.held.root:
                break  # A larger tree that holds ours was raised: so is ours, however fast others go on.
        if self.witnesses is not None:
            note = await self.witnesses.require(new)
            self._witnessed = max(self._witnessed, new.size)
        self.remember(frontier)
        return note

    async def require_witnessed(self, raised: Raised, index: int) -> None:
        """Has a checkpoint witnessed that another worker raised, before the entry is shown to anybody.

        Raises:
            LogUnavailableError: the witnesses did not cosign.
            OutsideLockError: the log is not the one that was witnessed.
        """
        if self.witnesses is not None and self._witnessed <= index:
            # Perhaps they did not cosign for that worker: then nothing was released.
            await self.witnesses.require(raised)
            self._witnessed = max(self._witnessed, raised.size)


def _require_same(stored_root: bytes, signed_root: bytes) -> None:
    if stored_root != signed_root:
        raise LogStateError("the stored entries do not give the root that was signed")
