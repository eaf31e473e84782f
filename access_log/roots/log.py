"""The writer of the log of roots: it follows the log, month by month (FORMAT 4.3).

    1. the outside lock says what was raised; nothing beyond it is covered
    2. the row of the head is locked
    3. the month's prefix tree is brought up to the log     (from memory, or from the entries after a start)
    4. a final root for each month that later entries have ended, an interim root for what is left
    5. leaves, tiles, head and signed checkpoint are committed together; only then can anyone read them

There is no outside lock of its own: every root follows from the published log, auditors derive each anew and
refuse a log of roots that does not begin with the one they cosigned, and people hold on to cosigned ones.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.checkpoint import Checkpoint, SigningKey, VerifierKey
from access_log.documents import write_object
from access_log.errors import LogStateError, VerificationError
from access_log.labels import month_of
from access_log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from access_log.prefix_tree import PrefixTree
from access_log.roots import key_changes, store
from access_log.roots.crown import slots_of
from access_log.roots.key_changes import RootsSigners, epochs_at
from access_log.roots.leaf import Kind, PrefixRoot, next_month, roots_origin
from access_log.signing_keys import sign_note
from access_log.stored_log import StoredLog

MOST_ENTRIES: Final = 131_072
"""Entries that one transaction covers, which bounds how long it lasts."""
_CHUNK: Final = 16_384


@dataclass
class _Month:
    """A month's tree, grown up to an index of the log."""

    month: int
    first: int
    size: int
    tree: PrefixTree = field(default_factory=PrefixTree)

    def take(self, entries: Sequence[tuple[int, bytes]]) -> int:
        """Add entries until one is of a later month; returns how many were added."""
        for added, (index, entry) in enumerate(entries):
            if month_of(int.from_bytes(entry[2:10], "big")) != self.month:
                return added
            self.tree.add(entry[42:74], index.to_bytes(8, "big") + entry[74:106])
            self.size = index + 1
        return len(entries)

    def root(self, kind: Kind, log_root: bytes) -> PrefixRoot:
        """The leaf that says where the month stands."""
        return PrefixRoot(kind, self.month, self.first, self.size, log_root, self.tree.root())


class RootsLog:
    """The log of roots of one log. One process appends at a time; whoever waits goes on from there.

    Args:
        log: whose labels it covers.
        signers: has the keys that sign its checkpoints; their name is the origin.
        auditors: keys of those who recompute the roots and cosign.
    """

    def __init__(self, log: StoredLog, signers: RootsSigners, auditors: Sequence[VerifierKey] = ()) -> None:
        self.log = log
        self.signers = signers
        self.auditors = tuple(auditors)
        self.number = -log.number
        self._grown: _Month | None = None  # as of the newest root this process appended

    @property
    def origin(self) -> str:
        """Its name."""
        return roots_origin(self.log.origin)

    async def create(self) -> None:
        """Makes the empty log of roots; harmless when repeated."""
        async with self.log.engine.begin() as connection:
            note = await self._signed(connection, 0, EMPTY_ROOT)
            await store.create_head(connection, self.number, self.origin, note)

    async def catch_up(self) -> int:
        """Covers every entry that was raised; returns how many roots were appended.

        Raises:
            LogStateError: entries or roots are missing, or are not those that were covered before.
            OutsideLockError, LogUnavailableError: the outside lock cannot be read.
            SQLAlchemyError: the database cannot be used now.
        """
        raised = await asyncio.to_thread(self.log.outside.read)
        appended = 0
        while added := await self._append(raised.size):
            appended += added
        return appended

    async def put_back(self, stated: Sequence[PrefixRoot]) -> int:
        """Appends roots that were published and are missing here; returns how many. All of them, or none.

        Each is held against the entries of the database: a signature alone makes no root.

        Args:
            stated: every root of the published log of roots, in order, as its signed tree has them.

        Raises:
            LogStateError: the database holds other roots than were published, or entries are missing.
            VerificationError: a published root does not follow from the entries; names it.
            SQLAlchemyError: the database cannot be used now.
        """
        raws = [root.encode() for root in stated]
        async with self.log.engine.connect() as connection, connection.begin():
            head = await store.head(connection, self.number, lock=True)
            both = min(head.size, len(stated))
            begun = Frontier.empty().extend([leaf_hash(raw) for raw in raws[:both]])
            if begun.root() != await stored.root_at(connection, self.number, both):
                raise LogStateError(
                    "the database holds other roots than were published: restore a backup from before that"
                )
            if both == len(stated):
                return 0
            month = await self._month_of(connection, stated[both - 1] if both else None)
            self._grown = None
            for number, root in enumerate(stated[both:], both):
                month = await self._held_against(connection, month, number, root)
            frontier = begun.extend([leaf_hash(raw) for raw in raws[both:]])
            await self._commit_to(connection, raws[both:], frontier, stated[-1])
        self._grown = month
        return len(stated) - both

    async def _held_against(
        self, connection: AsyncConnection, month: _Month, number: int, root: PrefixRoot
    ) -> _Month:
        """Grows a month's tree to a published root, which must follow; returns the month to go on with."""
        for first in range(month.size, root.size, _CHUNK):
            end = min(first + _CHUNK, root.size)
            entries = await reading.entries(connection, self.log.number, self.log.archive, first, end)
            if len(entries) != end - first:
                raise _changed(first)
            if await asyncio.to_thread(month.take, entries) != len(entries):
                raise _does_not_follow(number)
        if await self._root(connection, month, root.kind) != root:
            raise _does_not_follow(number)
        if root.kind is Kind.INTERIM:
            return month
        after = await reading.entries(connection, self.log.number, self.log.archive, root.size, root.size + 1)
        if not after or month_of(int.from_bytes(after[0][1][2:10], "big")) <= root.month:
            raise _does_not_follow(number)  # Nothing has ended the month.
        return _Month(next_month(root.month), root.size, root.size)

    async def _append(self, size: int) -> int:
        """Appends the roots of the next entries in one transaction."""
        async with self.log.engine.connect() as connection, connection.begin():
            head = await store.head(connection, self.number, lock=True)
            if head.origin != self.origin:
                raise LogStateError(f"the database holds the roots of {head.origin!r}, not {self.origin!r}")
            last = await store.root(connection, self.number, head.size - 1) if head.size else None
            start = last.size if last is not None else 0
            if start >= size:
                return 0
            month = await self._month_of(connection, last)
            self._grown = None  # If this fails, the tree in memory is of no use any more.
            roots, month = await self._derive(connection, month, start, min(start + MOST_ENTRIES, size))
            raws = [root.encode() for root in roots]
            frontier = head.frontier.extend([leaf_hash(raw) for raw in raws])
            await self._commit_to(connection, raws, frontier, roots[-1])
            # From here the roots are durable, and can be read.
        self._grown = month
        return len(roots)

    async def _month_of(self, connection: AsyncConnection, last: PrefixRoot | None) -> _Month:
        """The month to go on with, its tree as the last root states it."""
        if last is None:
            first = await reading.entries(connection, self.log.number, self.log.archive, 0, 1)
            if not first:
                raise LogStateError("entry 0 is missing from the database: run `creditvault log fsck`")
            return _Month(month_of(int.from_bytes(first[0][1][2:10], "big")), 0, 0)
        if last.kind is Kind.FINAL:
            return _Month(next_month(last.month), last.size, last.size)
        grown = self._grown
        if grown is not None and (grown.month, grown.size) == (last.month, last.size):
            return grown
        return await self._rebuilt(connection, last)

    async def _rebuilt(self, connection: AsyncConnection, root: PrefixRoot) -> _Month:
        """The tree of a root, from the entries."""
        month = _Month(root.month, root.first, root.first)
        for first in range(root.first, root.size, _CHUNK):
            end = min(first + _CHUNK, root.size)
            entries = await reading.entries(connection, self.log.number, self.log.archive, first, end)
            if len(entries) != end - first or await asyncio.to_thread(month.take, entries) != len(entries):
                raise _changed(first)
        if await asyncio.to_thread(month.tree.root) != root.prefix_root:
            raise _changed(root.first)
        return month

    async def _derive(
        self, connection: AsyncConnection, month: _Month, start: int, end: int
    ) -> tuple[list[PrefixRoot], _Month]:
        """The roots over entries start..end-1, the last of them interim."""
        roots: list[PrefixRoot] = []
        for first in range(start, end, _CHUNK):
            stop = min(first + _CHUNK, end)
            entries = await reading.entries(connection, self.log.number, self.log.archive, first, stop)
            if [index for index, _ in entries] != list(range(first, stop)):
                raise _changed(first)
            while (taken := await asyncio.to_thread(month.take, entries)) < len(entries):
                del entries[:taken]
                # A later entry has ended the month: the log's time never decreases.
                roots.append(await self._root(connection, month, Kind.FINAL))
                month = _Month(next_month(month.month), month.size, month.size)
        roots.append(await self._root(connection, month, Kind.INTERIM))
        return roots, month

    async def _root(self, connection: AsyncConnection, month: _Month, kind: Kind) -> PrefixRoot:
        log_root = await stored.root_at(connection, self.log.number, month.size)
        return await asyncio.to_thread(month.root, kind, log_root)

    # ── Crowns, from which labels are proved ─────────────────────────────────────────────────────

    async def crown(self) -> int:
        """Keeps the crown of each month's newest root, of those that auditors cosigned if there are any.

        Returns:
            How many crowns were made.

        Raises:
            LogStateError: entries or roots are missing, or are not those that were covered.
            SQLAlchemyError: the database cannot be used now.
        """
        async with self.log.engine.connect() as connection:
            head = await store.head(connection, self.number)
            size = head.size
            if self.auditors:
                size = max((each.size for each in await self._cosignatures(connection)), default=0)
            roots = await store.uncrowned(connection, self.number, size)
        for index, root in roots:
            await self._crown(index, root)
        return len(roots)

    async def _crown(self, index: int, root: PrefixRoot) -> None:
        async with self.log.engine.connect() as connection, connection.begin():
            grown = self._grown
            if grown is not None and (grown.month, grown.size) == (root.month, root.size):
                slots = await asyncio.to_thread(slots_of, grown.tree)
            else:
                slots = await self.slots(connection, root)
            await store.set_crown(connection, self.number, root.month, index, slots)

    async def slots(self, connection: AsyncConnection, root: PrefixRoot) -> bytes:
        """What is kept of a root's crown, derived from the entries.

        Raises:
            LogStateError: entries are missing, or are not those that the root covers.
        """
        return await asyncio.to_thread(slots_of, (await self._rebuilt(connection, root)).tree)

    # ── Keys (FORMAT 5.4) ────────────────────────────────────────────────────────────────────────

    async def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The verifier keys of the newest tree: one, or two while that is the one that both sign."""
        async with self.log.engine.connect() as connection:
            size = (await store.head(connection, self.number)).size
            return await self.keys_of(connection, size)

    async def keys_of(self, connection: AsyncConnection, size: int) -> tuple[VerifierKey, ...]:
        """The verifier keys that sign a tree of this size, oldest first."""
        return tuple([key.key for key in await self._keys(connection, size)])

    async def every_verifier_key(self, connection: AsyncConnection) -> tuple[VerifierKey, ...]:
        """The verifier keys of all epochs up to now, oldest first; also of one whose change is begun."""
        changes = await key_changes.every(connection, self.number)
        epochs = [key_changes.FIRST, *(each.epoch for each in changes)]
        return tuple([(await self._key(epoch)).key for epoch in epochs])

    async def key_history(self, connection: AsyncConnection) -> str:
        """The history of the keys, as it is published: every change that is complete."""
        return write_object({"changes": await key_changes.completed(connection, self.number)})

    async def _commit_to(
        self, connection: AsyncConnection, raws: Sequence[bytes], frontier: Frontier, newest: PrefixRoot
    ) -> None:
        """Appends the last leaves of a tree and signs it; completes a change of keys that it covers."""
        changes = await key_changes.every(connection, self.number)
        change = changes[-1] if changes and changes[-1].size is None else None
        if change is None or newest.size <= change.index:
            note = await self._signed(connection, frontier.size, frontier.root())
            await store.append(connection, self.number, raws, frontier, note)
            return
        checkpoint = Checkpoint(self.origin, frontier.size, frontier.root())
        note = sign_note(checkpoint, [await self._key(epoch) for epoch in (change.epoch - 1, change.epoch)])
        await store.append(connection, self.number, raws, frontier, note)
        await key_changes.complete(connection, self.log, change, newest, (frontier.size, note))

    async def _signed(self, connection: AsyncConnection, size: int, root: bytes) -> str:
        return sign_note(Checkpoint(self.origin, size, root), await self._keys(connection, size))

    async def _keys(self, connection: AsyncConnection, size: int) -> list[SigningKey]:
        changes = await key_changes.every(connection, self.number)
        return [await self._key(epoch) for epoch in epochs_at(changes, size)]

    async def _key(self, epoch: int) -> SigningKey:
        key = await self.signers.of(epoch)
        if key.name != self.origin:
            raise LogStateError("the key of the log of roots bears another name than its origin")
        return key

    # ── Checkpoints ──────────────────────────────────────────────────────────────────────────────

    async def checkpoint(self, connection: AsyncConnection) -> str:
        """The newest signed checkpoint, with the cosignatures that are over this size."""
        head = await store.head(connection, self.number)
        lines = [each.line for each in await self._cosignatures(connection) if each.size == head.size]
        return head.note + "".join(lines)

    async def covering(self, connection: AsyncConnection, index: int) -> tuple[int, str]:
        """The checkpoint to prove a root with: the newest that an auditor cosigned, else the newest.

        Returns:
            Its size, and the note with every cosignature over this size.
        """
        cosigned = [each for each in await self._cosignatures(connection) if each.size > index]
        if not cosigned:
            head = await store.head(connection, self.number)
            return head.size, head.note
        size = max(each.size for each in cosigned)
        root = await stored.root_at(connection, self.number, size)
        note = await self._signed(connection, size, root)
        return size, note + "".join(each.line for each in cosigned if each.size == size)

    async def _cosignatures(self, connection: AsyncConnection) -> list[store.Cosignature]:
        """Those of the auditors that are configured now."""
        known = {str(key) for key in self.auditors}
        return [each for each in await store.cosignatures(connection, self.number) if each.signer in known]


def _does_not_follow(number: int) -> VerificationError:
    return VerificationError(f"root {number} of the published log of roots does not follow from the entries")


def _changed(first: int) -> LogStateError:
    return LogStateError(
        f"the entries from {first} on are not those that were covered before: run `creditvault log fsck`"
    )
