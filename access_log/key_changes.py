"""Changes of the log's own keys as the database keeps them; the steps are numbered in `rotate`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.encoding import to_base64
from access_log.errors import LogStateError, OutsideLockError
from access_log.note import split_note
from access_log.payload import JSON, Party, Payload
from access_log.receipt import write_receipt
from access_log.verifier_keys import VerifierKey

_BEGIN = text(
    "WITH head AS (UPDATE access_log.head SET key_epoch = :epoch, key_changing = true WHERE log = :log)"
    " INSERT INTO access_log.key_change (log, epoch, index, document)"
    " VALUES (:log, :epoch, :index, :document)"
)
_CHANGE_TO = text("SELECT index, document FROM access_log.key_change WHERE log = :log AND epoch = :epoch")
_PAYLOAD = text("SELECT expiry_id, sealed FROM access_log.payload WHERE log = :log AND index = :index")
_COMPLETE = text(
    "WITH head AS (UPDATE access_log.head SET key_changing = false WHERE log = :log)"
    " UPDATE access_log.key_change SET opening = :opening, receipt = :receipt"
    " WHERE log = :log AND epoch = :epoch"
)
_COMPLETED = text(
    "SELECT receipt, opening, document FROM access_log.key_change"
    " WHERE log = :log AND receipt IS NOT NULL ORDER BY epoch"
)
_ED25519_SIGNATURE = 64
_PUBLIC = ("event", "document")
"""What everybody may open of the entry of a change; who made it is for inspectors."""


class PayloadOpener(Protocol):
    """Opens what a sealer sealed."""

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes | None:
        """Returns the plaintext, None once its key was destroyed; raises when it was altered or moved."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A change that stands in the log: the index of its entry, and its document."""

    index: int
    document: str


async def begin(connection: AsyncConnection, log: int, epoch: int, change: Begun) -> None:
    """Names the new keys in the head, beside the old; in the transaction of the change's entry."""
    await connection.execute(
        _BEGIN, {"log": log, "epoch": epoch, "index": change.index, "document": change.document}
    )


async def change_to(connection: AsyncConnection, log: int, epoch: int) -> Begun:
    """The change that led to an epoch.

    Raises:
        LogStateError: the head names an epoch that no change led to.
    """
    row = (await connection.execute(_CHANGE_TO, {"log": log, "epoch": epoch})).one_or_none()
    if row is None:
        raise LogStateError(f"the head names keys of epoch {epoch}, and no change of keys led to them")
    return Begun(row[0], row[1])


async def complete(
    connection: AsyncConnection, log: int, epoch: int, signed: tuple[int, str], opener: PayloadOpener
) -> None:
    """Keeps receipt and opening of a change for good, and retires the old keys.

    Args:
        connection: a transaction that holds the head lock.
        log: the log's number.
        epoch: of the new keys.
        signed: size and note of the checkpoint that old and new keys signed, raised already.
        opener: opens the entry's payload.

    Raises:
        LogStateError: the change, its entry or its payload is missing.
    """
    size, note = signed
    index = (await change_to(connection, log, epoch)).index
    found = await stored.entries(connection, log, index, index + 1)
    row = (await connection.execute(_PAYLOAD, {"log": log, "index": index})).one_or_none()
    if not found or row is None:
        raise LogStateError(f"entry {index}, which names the log's new keys, is missing or has no payload")
    proof = await stored.proof(connection, log, index, size)
    opened = await opener.open(index, row.expiry_id, row.sealed)
    if opened is None:
        raise LogStateError(f"the retention of entry {index}, which names the log's new keys, has ended")
    payload = Payload.decode(opened)
    await connection.execute(
        _COMPLETE,
        {
            "log": log,
            "epoch": epoch,
            "opening": json.dumps(published_opening(payload), ensure_ascii=False, separators=(",", ":")),
            "receipt": write_receipt(found[0][1], index, proof, note),
        },
    )


async def completed(connection: AsyncConnection, log: int) -> list[tuple[str, Mapping[str, object], str]]:
    """(receipt, opening, document) of every change that is complete, oldest first."""
    rows = await connection.execute(_COMPLETED, {"log": log})
    return [(row.receipt, json.loads(row.opening), row.document) for row in rows]


def require_known(note: str, origin: str, keys: Sequence[VerifierKey]) -> None:
    """Refuses a checkpoint that an Ed25519 key of the log signed which is not among these.

    A database restored from before a change knows the retired keys alone, and must not sign with them.

    Raises:
        OutsideLockError: the log has keys that are not known here; says what to do.
        FormatError: it is no signed note.
    """
    known = {key.id for key in keys}
    for line in split_note(note)[1]:
        ours = line.name == origin and len(line.signature) == _ED25519_SIGNATURE
        if ours and line.key_id not in known:
            raise OutsideLockError(
                "the outside lock holds a checkpoint by keys of the log that this database does not have: "
                "they were changed after its backup was made. Restore one made after the change"
            )


def published_opening(payload: Payload) -> dict[str, JSON]:
    """What anyone may see of an operator's entry: what happened, and the digest of its document."""
    opening = payload.opening(Party.INSPECTOR)
    attributes = opening["attributes"]
    assert isinstance(attributes, list)  # noqa: S101 -- an opening has a list of them
    return {**opening, "attributes": [*_withheld(attributes, payload.digests)]}


def _withheld(attributes: Sequence[JSON], digests: Sequence[bytes]) -> list[JSON]:
    return [
        attribute
        if isinstance(attribute, dict) and attribute.get("name") in _PUBLIC
        else {"d": to_base64(digest)}
        for attribute, digest in zip(attributes, digests, strict=True)
    ]
