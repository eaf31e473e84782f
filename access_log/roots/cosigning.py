"""Take an auditor's cosignature of the log of roots in (FORMAT 4.5)."""

from typing import Final

from access_log import stored
from access_log.checkpoint import Checkpoint, VerifierKey
from access_log.errors import AccessLogError, VerificationError
from access_log.note import split_note, verify_note
from access_log.roots import store
from access_log.roots.log import RootsLog
from access_log.verifier_keys import COSIGNATURE_TYPES

_MOST_LINES: Final = 16


class UnknownCheckpointError(AccessLogError):
    """A cosignature is over a tree that this log of roots does not have."""


async def accept_cosignature(roots: RootsLog, note: bytes) -> None:
    """Keep the lines of configured auditors on a checkpoint of ours.

    Raises:
        FormatError: it is no signed note, or its text no checkpoint.
        VerificationError: a configured auditor's line does not verify, or there is none.
        UnknownCheckpointError: the checkpoint is not one of this log of roots.
    """
    text, lines = split_note(note)
    if len(lines) > _MOST_LINES:
        raise VerificationError("there are more lines than a log of roots has auditors")
    checkpoint = Checkpoint.parse(text)
    _, signatures = verify_note(note, [key for key in roots.auditors if key.type in COSIGNATURE_TYPES])
    cosigners: dict[tuple[str, bytes], VerifierKey] = {
        (each.key.name, each.key.id): each.key for each in signatures
    }
    async with roots.log.engine.begin() as connection:
        head = await store.head(connection, roots.number)
        ours = (
            await stored.root_at(connection, roots.number, checkpoint.size)
            if checkpoint.size <= head.size
            else None
        )
        if checkpoint.origin != roots.origin or checkpoint.root != ours:
            raise UnknownCheckpointError("the cosigned checkpoint is not one of this log of roots")
        for line in lines:
            signer = cosigners.get((line.name, line.key_id))
            if signer is not None:
                await store.add_cosignature(
                    connection, roots.number, store.Cosignature(str(signer), checkpoint.size, str(line))
                )
