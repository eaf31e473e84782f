"""Whether the database's own indexes over entries say what the table holds.

An entry that an index does not lead to is there and yet missing: from its person's view where it is the index
over labels, from everything where it is the primary key. Both are derived, and made anew by
`creditvault log rebuild`.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.findings import Findings
from access_log.losses import Ranges
from access_log.reading import archived

REBUILD: Final = "`creditvault log rebuild` makes it anew"

# No condition but the one on labels: any other would let the planner go by the primary key.
_BY_LABEL = text(
    "SELECT log, index FROM access_log.entry WHERE substring(entry from 43 for 32) = ANY(:labels)"
)
_SPAN: Final = 1 << 23
"""Rows counted in one statement, which has its timeout."""
_THROUGH_INDEXES = text("SET LOCAL enable_seqscan = off")
_PAST_INDEXES = text(
    "SELECT set_config(name, 'off', true)"
    " FROM unnest(ARRAY['enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan']) AS t (name)"
)
_COUNT = text("SELECT count(*) FROM access_log.entry WHERE log = :log AND index >= :first AND index < :end")
_WITHOUT = text(
    "SELECT count(*) FROM pg_inherits p WHERE p.inhparent = 'access_log.entry'::regclass AND NOT EXISTS"
    " (SELECT FROM pg_index i WHERE i.indrelid = p.inhrelid AND i.indexprs IS NOT NULL AND i.indisvalid)"
)


class IndexCheck:
    """Compares lookups through the indexes with what a walk over the entries met.

    Args:
        connection: sees one state of the database throughout.
        log: the log's number.
        findings: told of what an index does not say.
    """

    def __init__(self, connection: AsyncConnection, log: int, findings: Findings) -> None:
        self._connection = connection
        self._log = log
        self._findings = findings
        self._elsewhere = Ranges()
        self._usable = False
        self._met = 0

    async def begin(self) -> None:
        """Sees to it that lookups go through the indexes, and that there is one over labels."""
        ranges = await archived(self._connection, self._log)
        self._elsewhere = Ranges.of((each.first, each.end) for each in ranges)
        without: int = (await self._connection.execute(_WITHOUT)).scalar_one()
        self._usable = not without
        if without:
            self._findings.add(None, f"the index over labels is missing or invalid: {REBUILD}")
        else:
            await self._connection.execute(_THROUGH_INDEXES)

    async def compare(self, entries: Mapping[int, bytes]) -> None:
        """Looks every entry of the database up by its label, as its person's view does."""
        kept = {index: entry for index, entry in entries.items() if index not in self._elsewhere}
        self._met += len(kept)
        if not self._usable or not kept:
            return
        sought = [entry[42:74] for entry in kept.values()]
        rows = await self._connection.execute(_BY_LABEL, {"labels": sought})
        found = {row[1] for row in rows if row[0] == self._log}
        for index in kept:
            if index not in found:
                self._findings.add(index, f"the index over labels does not lead to it: {REBUILD}")

    async def close(self, end: int) -> None:
        """Counts the rows past every index: one that the primary key does not lead to was never met.

        What is read after it in the same transaction goes past the indexes too.
        """
        await self._connection.execute(_PAST_INDEXES)
        rows = 0
        for first in range(0, end, _SPAN):
            asked = {"log": self._log, "first": first, "end": min(first + _SPAN, end)}
            rows += (await self._connection.execute(_COUNT, asked)).scalar_one()
        if rows != self._met:
            self._findings.add(
                None, f"the primary key leads to {self._met} entries, the table holds {rows}: {REBUILD}"
            )
