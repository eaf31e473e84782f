"""Flags: patterns of queries that inspectors should look at. They never hold a query up.

A flag is an entry of type 9 of the system stream, and what it says stands sealed there: entries that belong
together would otherwise be linked by whoever reads the database. The register holds where flags are.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import Payload
from access_log.streams import StreamEntry, entries_between
from vault.records.companions import RULE as COMPANION
from vault.records.tables import flag
from vault.records.watch import WINDOW, Flag, Measures, Seen, Watch

RAISED: Final = "flag raised"
_QUERIES: Final = (EntryType.QUERY_PERMITTED, EntryType.QUERY_REFUSED)
_AT_ONCE: Final = 500
_A_RUN: Final = 20_000
_WATCHED = text("SELECT size FROM vault.watched WHERE log = :log")
_ADVANCE = text(
    "INSERT INTO vault.watched (log, size) VALUES (:log, :size)"
    " ON CONFLICT (log) DO UPDATE SET size = greatest(watched.size, excluded.size)"
)


@dataclass(frozen=True, slots=True)
class RaisedFlag:
    """A flag as it stands in the log.

    Attributes:
        index: of its entry.
        flag: what it says; None once its content is gone.
    """

    index: int
    raised_at: datetime
    flag: Flag | None


async def raise_flags(log: Log, flags: Sequence[Flag]) -> None:
    """Puts flags into the log and the register of flags.

    Raises:
        AccessLogError: the log cannot append; none stands.
    """
    async with log.writing() as writing:
        await _write(writing, log.number, flags)


async def list_flags(
    connection: AsyncConnection, log: Log, *, after: int | None = None, most: int
) -> list[RaisedFlag]:
    """Flags in the order they were raised in, behind the one at the index `after`, at most so many.

    Raises:
        CryptoError: a payload was altered or moved.
    """
    query = select(flag).order_by(flag.c.flag_index, flag.c.log).limit(most)
    if after is not None:
        query = query.where(flag.c.flag_index > after)
    found = []
    logs = {each.number: each for each in (*log.earlier, log)}
    for number, index, raised_at in (await connection.execute(query)).all():
        entries = await entries_between(connection, logs[number], index, index + 1)
        found.append(RaisedFlag(index, raised_at, _read(entries)))
    return found


class Watching:
    """Goes through the log's new entries, run after run; remembers the queries of ten minutes.

    Args:
        log: the log.
        measures: from when on something strikes one.
    """

    def __init__(self, log: Log, measures: Measures) -> None:
        self._log = log
        self._measures = measures
        self._watch: Watch | None = None
        self._size = 0

    async def run(self) -> int:
        """Watches what was added since the last run; returns how many flags it raised.

        The flags of some entries and the note that these were watched stand or fall together.

        Raises:
            AccessLogError: the log cannot append; the next run watches.
            CryptoError: a payload was altered or moved.
        """
        log, raised = self._log, 0
        watch = self._watch or await self._warm_up()
        self._watch = None  # what fails half-way is begun anew from what the database notes
        raised_to = (await asyncio.to_thread(log.outside.read)).size
        end = min(raised_to, self._size + _A_RUN)
        while self._size < end:
            beyond = min(self._size + _AT_ONCE, end)
            async with log.engine.connect() as connection:
                seen = await self._seen(connection, self._size, beyond)
            found = [each for one in seen for each in watch.see(one)]
            if found:
                async with log.writing() as writing:
                    await _write(writing, log.number, found)
                    await writing.connection.execute(_ADVANCE, {"log": log.number, "size": beyond})
            else:
                async with log.engine.begin() as connection:
                    await connection.execute(_ADVANCE, {"log": log.number, "size": beyond})
            self._size, raised = beyond, raised + len(found)
        self._watch = watch
        return raised

    async def _warm_up(self) -> Watch:
        """Remembers the ten minutes before what was watched last; their flags were raised then."""
        log, watch = self._log, Watch(self._measures)
        async with log.engine.begin() as connection:
            watched = (await connection.execute(_WATCHED, {"log": log.number})).scalar_one_or_none()
            if watched is None:  # what was asked before anybody watched is history
                watched = (await asyncio.to_thread(log.outside.read)).size
                await connection.execute(_ADVANCE, {"log": log.number, "size": watched})
            self._size = watched
            for last in await entries_between(connection, log, max(0, watched - 1), watched):
                since = last.entry.time - int(WINDOW.total_seconds() * 1000)
                first = await reading.first_since(connection, log.number, log.archive, watched, since)
                for one in await self._seen(connection, max(first, watched - _A_RUN), watched):
                    watch.see(one)
        return watch

    async def _seen(self, connection: AsyncConnection, first: int, end: int) -> list[Seen]:
        stated = [
            (one, one.payload.values())
            for one in await entries_between(connection, self._log, first, end)
            if one.entry.type in _QUERIES and one.payload is not None
        ]
        # A companion says of the same query that it opened records of another identity, too.
        return [
            Seen.of(one.index, one.entry.time, values)
            for one, values in stated
            if values["reason"] != COMPANION
        ]


async def _write(writing: Writing, log: int, flags: Sequence[Flag]) -> None:
    for one in flags:
        index = writing.head.size + len(writing.events)
        writing.add(Event(SYSTEM_STREAM, _payload(one)))
        await writing.connection.execute(
            flag.insert(), {"log": log, "flag_index": index, "raised_at": writing.now}
        )


def _payload(one: Flag) -> Payload:
    return Payload.create(
        EntryType.OPERATOR,
        {
            "event": RAISED,
            "actor": "creditvault",
            "actor_role": "vault",
            "body": one.body,
            "object": {
                "kind": one.kind,
                "officer": one.officer,
                "entries": list(one.entries),
                "count": one.count,
            },
        },
    )


def _read(entries: Sequence[StreamEntry]) -> Flag | None:
    payload = entries[0].payload if entries else None
    if payload is None:
        return None
    values: dict[str, Any] = dict(payload.values())
    about = values["object"]
    return Flag(about["kind"], values["body"], about["officer"], tuple(about["entries"]), about["count"])
