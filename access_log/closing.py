"""Closing a log, and opening another in its place (FORMAT 5.3, 9; run by `creditvault log close`).

    1. the new log's keys exist, wherever `Signers` keeps them; its witnesses know it, if they are waited for
    2. its outside lock exists, and holds the empty tree
    3. of a sound log: one transaction appends its last entry, of type 9, and closes its head
                                             (durable: from here on the database refuses it every change)
    4. its last checkpoint is signed and raised
    5. in one transaction: the new log's head, and its entry 0, of type 9, whose document holds the closed
       log's newest checkpoint               (durable: from here on the new log is the one that is open)
    6. the closed log's outside lock is ended: a database from before the closing cannot raise it any more
    7. the new log starts as every log does, which signs and raises its entry 0
    8. opening and receipt of entry 0 are kept, so that anyone can follow from one log to the other

Of a log that lacks entries which were raised or published, or is another one than was, nothing more can be
signed: then 3 and 4 fall away, its head is closed in the transaction of 5, and the document holds the
checkpoint of the outside lock, or of who published a newer one.

Whatever stops it, run again it goes on: what was done is seen in the heads and the locks. Before 3 (or 5) the
old log is open and nothing has happened; between 3 and 5 none is open.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import comparing, key_changes, losses, stored, writes
from access_log.checkpoint import Checkpoint, open_note
from access_log.entry import EntryType
from access_log.errors import (
    AccessLogError,
    FormatError,
    LogStateError,
    LogUnavailableError,
    OutsideLockError,
)
from access_log.lock import Raised
from access_log.log import SYSTEM_STREAM, Event, Log
from access_log.losses import Operator
from access_log.merkle import EMPTY_ROOT
from access_log.note import split_note
from access_log.payload import Payload
from access_log.raising import Raising
from access_log.receipt import write_receipt
from access_log.sequence import Head
from access_log.signing_keys import sign_note
from access_log.stored_log import StoredLog
from access_log.succession import CLOSED, MAX_REASON, OPENED, Opened, write_succession

_DOCUMENT: Final = text("SELECT document FROM access_log.document WHERE log = :log AND index = 0")
_PAYLOAD: Final = text("SELECT expiry_id, sealed FROM access_log.payload WHERE log = :log AND index = 0")
_KEEP: Final = text(
    "INSERT INTO access_log.succession (log, opening, receipt) VALUES (:log, :opening, :receipt)"
    " ON CONFLICT DO NOTHING"
)
_KEPT: Final = text("SELECT EXISTS (SELECT FROM access_log.succession WHERE log = :log)")
_SUCCESSION: Final = text(
    "SELECT s.opening, s.receipt, d.document FROM access_log.succession s"
    " JOIN access_log.document d ON d.log = s.log AND d.index = 0 ORDER BY s.log"
)


@dataclass(frozen=True, slots=True)
class Closed:
    """A log that was closed, and the one in its place.

    Attributes:
        says: What entry 0 of the new log commits to.
        resumed: Whether it had been begun before.
    """

    says: Opened
    resumed: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator asks for.

    Attributes:
        actor: Who does it.
        reason: Why, for everyone to read; None to say nothing.
        as_it_stands: Whether a log that is not sound is closed, too.
    """

    actor: Operator
    reason: str | None = None
    as_it_stands: bool = False


async def close(old: Log, new: Log, order: Order) -> Closed:
    """Closes a log and opens another in its place; the steps are numbered above.

    Args:
        old: The log that is open, or was closed for the new one before.
        new: The log to be opened. Its number follows that of the old one.
        order: Who asks for it, and how.

    Raises:
        LogStateError: The log is not sound and may not be closed as it stands, or was closed for another.
        OutsideLockError: The outside lock is missing, or not this log's, or that of the new one is another's.
        LogUnavailableError: Database, lock or witnesses cannot be used now; do it again.
        FormatError: The new origin or the reason is out of its bounds.
    """
    if order.reason is not None and len(order.reason) > MAX_REASON:
        raise FormatError(f"a reason has at most {MAX_REASON} characters")
    seen = await _seen(old, new)
    if not seen.opened:
        await new.signers.make(1)  # (1)
        finding = await _finding(old, closed=seen.closed)
        if finding is not None and not (order.as_it_stands or seen.closed):
            raise LogStateError(
                f"{finding}. If that cannot be done, close the log as it stands: add --as-it-stands"
            )
        await _make_lock(new)  # (1), (2)
        if finding is None and not seen.closed:
            await _append_last(old, new.origin, order)  # (3), (4)
        await _open(old, new, order, sound=finding is None)  # (4), (5)
    await complete(old, new)  # (6) to (8)
    return Closed(await says(new), resumed=seen.closed)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far it is: whether the old log is closed, and the new one opened."""

    closed: bool
    opened: bool


async def _seen(old: Log, new: Log) -> _Seen:
    async with old.transaction() as connection:
        logs = {one.number: one for one in await writes.logs(connection)}
    if old.number not in logs:
        raise LogStateError("the database holds no log: run `creditvault migrate`")
    successor = logs[old.number].successor
    if successor is not None and successor != new.origin:
        raise LogStateError(
            f"the log {old.origin} is closed already, for {successor}: name that with --new-origin"
        )
    if successor is None and any(one.origin == new.origin for one in logs.values()):
        raise LogStateError(f"{new.origin} is a log of this database already: choose another name")
    return _Seen(successor is not None, new.number in logs)


async def _finding(old: Log, *, closed: bool) -> str | None:
    """Why nothing more can be signed of the old log; None where it is sound."""
    try:
        if closed:
            await _raise_last(old)
        else:
            await old.start()
    except (OutsideLockError, LogStateError) as error:
        # Without the lock nobody knows what was raised: that has to come back first.
        await asyncio.to_thread(old.outside.read)
        return str(error)
    return None


async def _raise_last(old: Log) -> None:
    """Raises the last entry of a closed log whose closing was stopped before that (4)."""
    async with old.transaction() as connection:
        head = await writes.lock_head(connection, old.number)
        await _require_sound(connection, old, head, await asyncio.to_thread(old.outside.read))
    await Raising(old, old.witnesses).raise_to(head.frontier, head.time, await old.signing_keys(head.keys))


async def _require_sound(connection: AsyncConnection, old: Log, head: Head, held: Raised) -> None:
    await stored.check_head(connection, old.number, size=head.size, chain=head.chain, frontier=head.frontier)
    key_changes.require_known(held.note, old.origin, await old.verifier_keys_to(head.keys.epoch))
    comparing.require_not_behind(head, held)


async def _make_lock(new: Log) -> None:
    """Makes the new log's outside lock over the empty tree (1), (2)."""
    note = sign_note(Checkpoint(new.origin, 0, EMPTY_ROOT), await new.signers.of(1))
    first = Raised(0, EMPTY_ROOT, note)
    if new.witnesses is not None:
        try:
            await new.witnesses.require(first)
        except LogUnavailableError as error:
            key = (await new.signers.of(1))[0].verifier_key()
            raise LogUnavailableError(
                f"{error}. Nothing was closed: let the witnesses trust {new.origin} first, by its key {key}"
            ) from error
    if new.endings is not None and not new.endings.file.exists():
        await asyncio.to_thread(new.endings.file.create)
    if not new.outside.exists():
        await asyncio.to_thread(new.outside.create, first)
    held = await asyncio.to_thread(new.outside.read)
    checkpoint = open_note(held.note, [key.key for key in await new.signers.of(1)])
    if (checkpoint.origin, checkpoint.size, held.size) != (new.origin, 0, 0):
        raise OutsideLockError(
            f"the outside lock {new.outside.path} holds {held.size} entries of {checkpoint.origin}: move it "
            "away if that log is no more, or choose another name"
        )


async def _append_last(old: Log, successor: str, order: Order) -> None:
    """Appends the last entry and closes the head in one transaction; raises it (3), (4)."""
    members = {"v": 1, "event": CLOSED, "origin": old.origin, "successor": successor, "reason": order.reason}
    document = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    async with old.writing() as writing:
        index = writing.head.size + writing.add(_event(CLOSED, order.actor, document))
        await losses.keep(writing.connection, old.number, index, document)
        writing.successor = successor


async def _open(old: Log, new: Log, order: Order, *, sound: bool) -> None:
    """Makes the new log's head and its entry 0, and closes the old head if that was not done (5)."""
    newest = await _newest(old, sound=sound)
    async with old.transaction() as connection:
        head = await writes.lock_head(connection, old.number)
        if sound and (head.successor is None or head.size != newest.size):
            raise LogStateError("the log has changed meanwhile: run it again")
        if head.successor is None:
            await writes.close_head(connection, old.number, new.origin)
        await writes.create_head(connection, new.number, new.origin)
        # Its entries begin at 0 again: there may be no partition any more.
        await writes.make_partitions_ahead(connection, new.number)
        document = Opened(
            origin=new.origin,
            closed=old.origin,
            checkpoint=newest.note,
            planned=sound,
            held=head.size,
            reason=order.reason,
        ).write()
        index = await new.append_unstarted(connection, [_event(OPENED, order.actor, document)])
        if index:
            raise LogStateError(f"the log {new.origin} was opened meanwhile: run it again")
        await losses.keep(connection, new.number, 0, document)
        if not sound and old.endings is not None:
            # What was withdrawn or revoked in entries that are lost stays so (FORMAT 9.1).
            lost, endings = await old.endings.lost_behind(old, connection, head.size), old.endings
            await new.apply_unstarted(connection, lambda writing: endings.apply(writing, lost))
        # From here the new log stands, and nobody can write to it before it has started.


async def _newest(old: Log, *, sound: bool) -> Raised:
    """The newest checkpoint anybody is known to hold of the old log."""
    held = await asyncio.to_thread(old.outside.read)
    stated = Checkpoint.parse(split_note(held.note)[0])
    if (stated.origin, stated.size, stated.root) != (old.origin, held.size, held.root):
        raise OutsideLockError(
            "the note in the outside lock is of another tree than the lock itself: put back a copy of it"
        )
    if sound:
        return held
    keys = await old.every_verifier_key()
    found = [held]
    for one in old.references:
        with suppress(OutsideLockError):  # What the log did not sign is nothing to commit to.
            if (shown := await asyncio.to_thread(one.read_note, keys)) is not None:
                found.append(Raised(shown[0].size, shown[0].root, shown[1]))
    return max(found, key=lambda one: one.size)


def _event(event: str, actor: Operator, document: str) -> Event:
    payload = Payload.create(
        EntryType.OPERATOR,
        {
            "event": event,
            "actor": actor.name,
            "actor_role": actor.role,
            "document": sha256(document.encode()).hexdigest(),
        },
    )
    return Event(SYSTEM_STREAM, payload)


async def complete(old: Log, new: Log) -> None:
    """Does what is left once the new log is there; harmless when repeated (6) to (8)."""
    await asyncio.to_thread(old.outside.close, new.origin)  # (6)
    await new.start()  # (7)
    await keep_opening(new)  # (8)


async def keep_opening(new: Log) -> None:
    """Keeps opening and receipt of entry 0, if they are not kept yet; the log is started."""
    async with new.engine.connect() as connection:
        if (await connection.execute(_KEPT, {"log": new.number})).scalar_one():
            return
    raised = await asyncio.to_thread(new.outside.read)
    async with new.transaction() as connection:
        found = await stored.entries(connection, new.number, 0, 1)
        row = (await connection.execute(_PAYLOAD, {"log": new.number})).one_or_none()
        if not found or row is None:
            raise LogStateError(f"entry 0 of {new.origin} is missing or has no payload")
        opened = await new.sealer.open(0, row.expiry_id, row.sealed)
        if opened is None:
            raise LogStateError(f"the retention of entry 0 of {new.origin} has ended")
        opening = key_changes.published_opening(Payload.decode(opened))
        proof = await stored.proof(connection, new.number, 0, raised.size)
        await connection.execute(
            _KEEP,
            {
                "log": new.number,
                "opening": json.dumps(opening, ensure_ascii=False, separators=(",", ":")),
                "receipt": write_receipt(found[0][1], 0, proof, raised.note),
            },
        )


async def says(new: StoredLog) -> Opened:
    """What entry 0 of a log says of the one it was opened in the place of.

    Raises:
        LogStateError: The document is missing or damaged.
    """
    async with new.transaction() as connection:
        return await document_of(connection, new.number)


async def document_of(connection: AsyncConnection, log: int) -> Opened:
    """The document of entry 0 of a log that is not the first.

    Raises:
        LogStateError: It is missing or damaged.
    """
    document = (await connection.execute(_DOCUMENT, {"log": log})).scalar_one_or_none()
    try:
        return Opened.parse(document or "")
    except AccessLogError:
        raise LogStateError(
            f"what entry 0 of log {log} says of the log before it is missing from the database or damaged: "
            "restore access_log.document"
        ) from None


async def succession(log: StoredLog) -> str:
    """How the logs of the database were opened, one in the place of the other, as it is published."""
    async with log.engine.connect() as connection:
        rows = await connection.execute(_SUCCESSION)
        return write_succession([(row.receipt, json.loads(row.opening), row.document) for row in rows])
