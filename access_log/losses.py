"""Documents of operator entries, and the losses they declare (FORMAT 9).

What mends a log writes down what it did: the document is stored as text, its SHA-256 stands in the sealed
payload of an entry of type 9. A document that declares lost payloads explains to every later examination why
they are absent; without one an absent payload is a finding.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import Entry, EntryType
from access_log.errors import FormatError
from access_log.payload import Payload
from access_log.sequence import Event

REIMPORTED: Final = "log.reimported"
REBUILT: Final = "log.rebuilt"
ERASED: Final = "person.erased"
_LOST, _ERASED = "lost_payloads", "erased_payloads"
DOCUMENTED: Final = frozenset({REIMPORTED, REBUILT, ERASED})
"""Events of type 9 whose document is kept here."""

_ADD = text("INSERT INTO access_log.document (log, index, document) VALUES (:log, :index, :document)")
_DOCUMENTS = text("SELECT document FROM access_log.document WHERE log = :log ORDER BY index")
_READ = text(
    "SELECT d.index, d.document, e.entry, p.expiry_id, p.sealed FROM access_log.document d"
    " LEFT JOIN access_log.entry e ON e.log = d.log AND e.index = d.index"
    " LEFT JOIN access_log.payload p ON p.log = d.log AND p.index = d.index"
    " WHERE d.log = :log ORDER BY d.index"
)


class Opener(Protocol):
    """Opens sealed payloads, as a log's sealer does."""

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes | None:
        """Returns the plaintext, None once its key was destroyed; raises when it was altered or moved."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Sets of indexes as half-open ranges, in order and apart from each other."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> "Ranges":
        """Joins ranges that touch or overlap."""
        joined: list[tuple[int, int]] = []
        for first, end in sorted(ranges):
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((first, end))
        return cls(tuple(joined))

    @classmethod
    def of_indexes(cls, indexes: Iterable[int]) -> "Ranges":
        """Ranges of single indexes."""
        return cls.of((index, index + 1) for index in indexes)

    def __contains__(self, index: int) -> bool:
        return any(first <= index < end for first, end in self.ranges)

    def __len__(self) -> int:
        return sum(end - first for first, end in self.ranges)


NONE: Final = Ranges()


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as it stands beside its entry.

    Attributes:
        index: Of its entry.
        fault: Why it is not the document of that entry, in plain words; None where it is.
        lost: Entries whose payloads it declares lost or erased.
        unread: Whether the entry's payload is gone, so that nothing can be said of the document.
    """

    index: int
    fault: str | None
    lost: Ranges = NONE
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Operator:
    """Who mends a log, as its entry names them: for instance `operator:zhang.wei`, `operator`."""

    name: str
    role: str


def operator_event(
    stream: bytes, event: str, actor: Operator, content: Mapping[str, object]
) -> tuple[Event, str]:
    """An entry of type 9, and the document it commits to.

    Args:
        stream: The system stream.
        event: For instance `log.reimported`.
        actor: Who does it.
        content: The document's further members.
    """
    members = {"event": event, "actor": actor.name, "actor_role": actor.role, **content}
    document = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    payload = Payload.create(
        EntryType.OPERATOR,
        {"event": event, "actor": actor.name, "actor_role": actor.role, "document": _digest(document)},
    )
    return Event(stream, payload), document


async def keep(connection: AsyncConnection, log: int, index: int, document: str) -> None:
    """Stores a document beside the entry that commits to it, in the same transaction."""
    await connection.execute(_ADD, {"log": log, "index": index, "document": document})


async def read_kept(
    connection: AsyncConnection, log: int, sealer: Opener, altered: tuple[type[Exception], ...]
) -> list[Kept]:
    """Every document, held against its entry: only what the log commits to counts.

    Args:
        connection: Where the log is.
        log: Its number.
        sealer: Opens its payloads.
        altered: What the sealer raises for a payload that was altered or moved.
    """
    unreadable: tuple[type[Exception], ...] = (FormatError, *altered)
    found: list[Kept] = []
    for index, document, raw, expiry_id, sealed in await connection.execute(_READ, {"log": log}):
        if raw is None:
            found.append(Kept(index, "a document is kept for it, and there is no such entry"))
        elif sealed is None:
            found.append(Kept(index, None, unread=True))
        else:
            try:
                opened = await sealer.open(index, expiry_id, sealed)
                payload = None if opened is None else Payload.decode(opened)
                entry = Entry.decode(raw)
            except unreadable:
                payload = None
            if payload is None:
                found.append(Kept(index, None, unread=True))
            else:
                found.append(_held_against(index, document, entry, payload))
    return found


def _held_against(index: int, document: str, entry: Entry, payload: Payload) -> Kept:
    values = payload.values()
    committed = payload.type is entry.type and payload.commitment(entry.label) == entry.commitment
    if not committed or entry.type is not EntryType.OPERATOR or values.get("document") != _digest(document):
        return Kept(index, "the document kept for it is not the one it commits to")
    try:
        content = json.loads(document)
        gone = (*_listed(content, _LOST).ranges, *_listed(content, _ERASED).ranges)
        return Kept(index, None, Ranges.of(gone))
    except (ValueError, RecursionError):
        return Kept(index, "the document kept for it cannot be read")


def _listed(content: Any, name: str) -> Ranges:  # noqa: ANN401 -- whatever JSON holds
    ranges = content.get(name, ()) if isinstance(content, dict) else None
    if not isinstance(ranges, list | tuple) or not all(map(_is_range, ranges)):
        raise ValueError("no list of ranges")
    return Ranges.of((first, end) for first, end in ranges)


def _is_range(value: Any) -> bool:  # noqa: ANN401 -- whatever JSON holds
    return (
        isinstance(value, list) and [type(each) for each in value] == [int, int] and 0 <= value[0] < value[1]
    )


async def declared_lost(connection: AsyncConnection, log: int) -> Ranges:
    """Every entry whose payload a document declares lost, whether or not the log bears the document out."""
    found: list[tuple[int, int]] = []
    for document in await connection.scalars(_DOCUMENTS, {"log": log}):
        with suppress(ValueError, RecursionError):  # `fsck` names one that cannot be read.
            found.extend(_listed(json.loads(document), _LOST).ranges)
    return Ranges.of(found)


def all_lost(kept: Sequence[Kept]) -> Ranges:
    """Every entry whose payload is declared lost."""
    return Ranges.of(each for one in kept for each in one.lost.ranges)


def _digest(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()
