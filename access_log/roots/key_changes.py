"""Changes of the keys of a log of roots as the database keeps them (FORMAT 5.4).

    begun      its entry stands in the log; trees of roots that do not cover it are signed as before
    complete   a tree of roots covers the entry: old and new keys signed it, and later ones the new alone

It is completed in the transaction that appends the first root to cover the entry, whoever appends it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.errors import LogStateError
from access_log.key_changes import published_opening
from access_log.payload import Payload
from access_log.roots.key_history import RootsKeyChange
from access_log.roots.leaf import PrefixRoot
from access_log.roots.statement import write_statement
from access_log.signing_keys import SigningKey
from access_log.stored_log import StoredLog

FIRST: Final = 1

_READ = text(
    "SELECT epoch, index, document, size FROM access_log.root_key_change WHERE log = :log ORDER BY epoch"
)
_BEGIN = text(
    "INSERT INTO access_log.root_key_change (log, epoch, index, document)"
    " VALUES (:log, :epoch, :index, :document)"
)
_PAYLOAD = text("SELECT expiry_id, sealed FROM access_log.payload WHERE log = :log AND index = :index")
_COMPLETE = text(
    "UPDATE access_log.root_key_change SET size = :size, published = :published"
    " WHERE log = :log AND epoch = :epoch"
)
_PUBLISHED = text(
    "SELECT published FROM access_log.root_key_change WHERE log = :log AND size IS NOT NULL ORDER BY epoch"
)


class RootsSigners(Protocol):
    """Has the keys of a log of roots, which it does not keep."""

    async def of(self, epoch: int) -> SigningKey:
        """The key of one epoch.

        Raises whatever its keeper raises where there is none or it cannot be had now.
        """

    async def make(self, epoch: int) -> None:
        """Makes the key of an epoch and keeps it; harmless when it is there."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that stands in the log.

    Attributes:
        epoch: The number of the new key, from 2.
        index: Of the entry that names it.
        document: What the entry commits to.
        size: Of the tree of roots that old and new key signed; None until there is one.
    """

    epoch: int
    index: int
    document: str
    size: int | None


async def every(connection: AsyncConnection, log: int) -> list[Change]:
    """Every change there was, oldest first."""
    return [Change(*row) for row in await connection.execute(_READ, {"log": log})]


def epochs_at(changes: Sequence[Change], size: int) -> list[int]:
    """Whose keys sign a tree of this size: those of its time, and the newest, which vouches for all.

    Args:
        changes: Every change there was.
        size: Of the tree.
    """
    complete = [change for change in changes if change.size is not None]
    newest = complete[-1].epoch if complete else FIRST
    begun = [FIRST, *(change.epoch for change in complete if change.size is not None and change.size <= size)]
    before = [change.epoch - 1 for change in complete if change.size == size]
    return sorted({*before, begun[-1], newest})


async def begin(connection: AsyncConnection, log: int, change: Change) -> None:
    """Keeps a change; in the transaction of its entry."""
    await connection.execute(
        _BEGIN,
        {
            "log": log,
            "epoch": change.epoch,
            "index": change.index,
            "document": change.document,
        },
    )


async def complete(
    connection: AsyncConnection, log: StoredLog, change: Change, newest: PrefixRoot, signed: tuple[int, str]
) -> None:
    """Keeps for good what leads from the old key to the new; in the transaction of the root that covers it.

    Args:
        connection: Holds the lock of the head of the log of roots, whose leaves are written.
        log: Whose roots they are.
        change: The one.
        newest: The newest root, which covers the change's entry.
        signed: Size and note of the tree of roots that both keys signed.

    Raises:
        LogStateError: The entry or its payload is missing.
    """
    size, note = signed
    number, index = -log.number, change.index
    found = await reading.entries(connection, log.number, log.archive, index, index + 1)
    row = (await connection.execute(_PAYLOAD, {"log": log.number, "index": index})).one_or_none()
    opened = None if row is None else await log.sealer.open(index, row.expiry_id, row.sealed)
    if not found or opened is None:
        raise LogStateError(
            f"entry {index}, which names a new key of the log of roots, is missing or has no payload"
        )
    proof = await stored.proof(connection, number, size - 1, size)
    member = RootsKeyChange(
        write_statement(newest.encode(), size - 1, proof, note),
        found[0][1],
        index,
        await stored.proof(connection, log.number, index, newest.size),
        published_opening(Payload.decode(opened)),
        change.document,
    ).member()
    await connection.execute(
        _COMPLETE,
        {
            "log": number,
            "epoch": change.epoch,
            "size": size,
            "published": json.dumps(member, ensure_ascii=False, separators=(",", ":")),
        },
    )


async def completed(connection: AsyncConnection, log: int) -> list[object]:
    """What every complete change is published as, oldest first."""
    rows = await connection.execute(_PUBLISHED, {"log": log})
    return [json.loads(row.published) for row in rows]
