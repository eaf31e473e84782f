"""Prove labels from crowns and the entries' index by label, with no month's tree in memory (FORMAT 4.4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.errors import LogStateError
from access_log.prefix_tree import finish, subtree_root
from access_log.roots import store
from access_log.roots.crown import REMEDY, Crown, bounds
from access_log.roots.leaf import PrefixRoot
from access_log.roots.log import RootsLog
from access_log.roots.statement import write_statement

CROWNS_KEPT: Final = 4
"""Months whose crowns stay in memory, each some 6 MB for a million labels."""

_LABELS: Final = text(
    # The bounds on the index let the planner leave out all partitions but the month's.
    "SELECT substring(entry from 43 for 32) || int8send(index) || substring(entry from 75 for 32)"
    " FROM access_log.entry WHERE log = :log AND index >= :first AND index < :end"
    ' AND substring("entry" from 43 for 32) BETWEEN :least AND :greatest'
)

# A plan made for any bounds at all would read the whole month.
_PLAN_FOR_THESE: Final = text("SET LOCAL plan_cache_mode = force_custom_plan")


@dataclass(frozen=True, slots=True)
class ProvedLabels:
    """The statement of a month's root, and for each label asked for its proof under this root."""

    statement: str
    proofs: list[bytes]


class LabelProofs:
    """What proves labels; one per worker process."""

    def __init__(self, roots: RootsLog) -> None:
        self._roots = roots
        self._crowns: OrderedDict[int, tuple[int, Crown]] = OrderedDict()

    async def prove(self, month: int, labels: Sequence[bytes]) -> ProvedLabels | None:
        """Prove that labels are in a month, or absent from it; None while no root of it can be shown.

        Args:
            month: As the number yyyymm.
            labels: 32 bytes each.

        Raises:
            LogStateError: entries or roots are missing, or are not those that were covered.
        """
        roots = self._roots
        async with roots.log.engine.connect() as connection:
            index = await store.crowned(connection, roots.number, month)
            crown = None if index is None else await self._crown(connection, month, index)
            if index is None or crown is None:
                return None
            root = await store.root(connection, roots.number, index)
            if crown.root != root.prefix_root:
                raise LogStateError(f"the crown of {month} is not that of its root: {REMEDY}")
            size, note = await roots.covering(connection, index)
            proof = await stored.proof(connection, roots.number, index, size)
            await connection.execute(_PLAN_FOR_THESE)
            proofs = [await self._prove(connection, root, crown, label) for label in labels]
        return ProvedLabels(write_statement(root.encode(), index, proof, note), proofs)

    async def _crown(self, connection: AsyncConnection, month: int, index: int) -> Crown | None:
        held = self._crowns.get(month)
        if held is not None and held[0] == index:
            self._crowns.move_to_end(month)
            return held[1]
        slots = await store.crown(connection, self._roots.number, month, index)
        if slots is None:
            return None
        crown = await asyncio.to_thread(Crown, slots)
        self._crowns[month] = index, crown
        while len(self._crowns) > CROWNS_KEPT:
            self._crowns.popitem(last=False)
        return crown

    async def _prove(
        self, connection: AsyncConnection, root: PrefixRoot, crown: Crown, label: bytes
    ) -> bytes:
        siblings, subtree = crown.descend(label)
        records = await self._records(connection, root, *bounds(label, len(siblings)))
        if subtree_root(records, len(siblings)) != subtree:
            raise LogStateError(
                f"the entries of {root.month} are not those that were covered: run `creditvault log fsck`"
            )
        return finish(siblings, records, label).encode()

    async def _records(
        self, connection: AsyncConnection, root: PrefixRoot, least: bytes, greatest: bytes
    ) -> list[bytes]:
        """The records of one small subtree, in the database or archived."""
        log, first, end = self._roots.log, root.first, root.size
        rows = await connection.execute(
            _LABELS,
            {"log": log.number, "first": first, "end": end, "least": least, "greatest": greatest},
        )
        records = set(rows.scalars())
        if log.archive is not None and await reading.archived(connection, log.number, first, end):
            found = await asyncio.to_thread(log.archive.between, least, greatest, first, end)
            records |= {entry[42:74] + index.to_bytes(8, "big") + entry[74:106] for index, entry in found}
        return sorted(records)
