"""The newest witnessed checkpoint and new receipts, over HTTP, for anyone (FORMAT 7, 8)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.checkpoint import Checkpoint
from access_log.encoding import from_decimal
from access_log.errors import FormatError, LogStateError, VerificationError
from access_log.log import Log
from access_log.policy import Policy, open_under_policy
from access_log.receipt import write_receipt
from access_log.verifier_keys import VerifierKey
from access_log.witness import remembered

_SHORT = "public, max-age=2"
_MINUTES = "public, max-age=300"
_TEXT = "text/plain; charset=utf-8"
_ABSENT: dict[int | str, dict[str, Any]] = {
    HTTPStatus.NOT_FOUND: {
        "description": "There is none, or not yet",
        "content": {"application/problem+json": {}},
    }
}
EntryIndex = Annotated[str, Path(description="Where the entry stands in the log, from 0")]


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkpoint, and the note it stands in."""

    size: int
    note: str


def witnessed_router(log: Log, policy: Policy | None) -> APIRouter:
    """`/log/witnessed` and `/log/proof/`.

    Args:
        log: the open log.
        policy: whose cosignatures make a checkpoint witnessed; None if no witness is asked.
    """
    router = APIRouter(prefix="/log", tags=["log"])

    @router.get(
        "/witnessed",
        response_class=PlainTextResponse,
        responses=_ABSENT,
        summary="The newest checkpoint that witnesses cosigned",
    )
    async def witnessed() -> Response:
        """The checkpoint with the cosignatures of the vault's policy; it may be behind `/log/checkpoint`."""
        async with log.engine.connect() as connection:
            found = await _witnessed(log, connection, policy)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _text(found.note, _SHORT)

    @router.get(
        "/proof/{index}",
        response_class=PlainTextResponse,
        responses=_ABSENT,
        summary="A new receipt of an entry",
    )
    async def proof(index: EntryIndex) -> Response:
        """Against the newest witnessed checkpoint; while none covers the entry, the newest logged one."""
        at = _index(index)
        raised = await asyncio.to_thread(log.outside.read)
        if at >= raised.size:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        async with log.engine.connect() as connection:
            found = await _witnessed(log, connection, policy)
            if found is not None and at < found.size:
                return _text(await _receipt(log, connection, at, found), _MINUTES)
            return _text(await _receipt(log, connection, at, Noted(raised.size, raised.note)), _SHORT)

    return router


async def _witnessed(log: Log, connection: AsyncConnection, policy: Policy | None) -> Noted | None:
    """The newest checkpoint that the policy's quorum cosigned, verified again; None if there is none."""
    note = None if policy is None else await remembered.newest_witnessed(connection, log.number)
    if policy is None or note is None:
        return None
    # The database's word is not enough, and the policy may have changed since.
    checkpoint = await asyncio.to_thread(_opened, note, policy, await log.every_verifier_key())
    return (
        Noted(checkpoint.size, note) if checkpoint is not None and checkpoint.origin == log.origin else None
    )


def _opened(note: str, policy: Policy, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    try:
        return open_under_policy(note, policy, keys)[0]
    except (FormatError, VerificationError):
        return None


async def _receipt(log: Log, connection: AsyncConnection, index: int, noted: Noted) -> str:
    """The receipt of an entry against a checkpoint that covers it.

    Raises:
        HTTPException: the entry, or what proves it, is gone from the database.
    """
    try:
        found = await reading.entries(connection, log.number, log.archive, index, index + 1)
        proof = await stored.proof(connection, log.number, index, noted.size)
    except LogStateError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None
    if not found:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return write_receipt(found[0][1], index, proof, noted.note)


def _index(path: str) -> int:
    try:
        return from_decimal(path, "the index")
    except FormatError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


def _text(content: str, cache: str) -> Response:
    headers = {"Cache-Control": cache, "Access-Control-Allow-Origin": "*"}
    return Response(content, media_type=_TEXT, headers=headers)
