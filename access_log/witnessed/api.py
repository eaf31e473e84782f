"""The newest witnessed checkpoint and new receipts, over HTTP, for anyone (FORMAT 7, 8)."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import reading, stored
from access_log.encoding import from_decimal
from access_log.errors import FormatError, LogStateError
from access_log.policy import Policy
from access_log.receipt import write_receipt
from access_log.stored_log import StoredLog
from access_log.witnessed.newest import newest_witnessed

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


def witnessed_router(log: StoredLog, policy: Policy | None, prefix: str = "/log") -> APIRouter:
    """`/log/witnessed` and `/log/proof/`.

    Args:
        log: the open log, or a closed one.
        policy: whose cosignatures make a checkpoint witnessed; None if no witness is asked.
        prefix: what stands before them.
    """
    router = APIRouter(prefix=prefix, tags=["log"])

    @router.get(
        "/witnessed",
        response_class=PlainTextResponse,
        responses=_ABSENT,
        summary="The newest checkpoint that witnesses cosigned",
    )
    async def witnessed() -> Response:
        """The checkpoint with the cosignatures of the vault's policy; it may be behind `/log/checkpoint`."""
        async with log.engine.connect() as connection:
            found = await newest_witnessed(log, connection, policy)
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
        async with log.engine.connect() as connection:
            raised = await log.provable(connection)
            if raised is None or at >= raised.size:
                raise HTTPException(HTTPStatus.NOT_FOUND)
            found = await newest_witnessed(log, connection, policy)
            if found is not None and at < found.checkpoint.size:
                return _text(await _receipt(log, connection, at, found.checkpoint.size, found.note), _MINUTES)
            return _text(await _receipt(log, connection, at, raised.size, raised.note), _SHORT)

    return router


async def _receipt(log: StoredLog, connection: AsyncConnection, index: int, size: int, note: str) -> str:
    """The receipt of an entry against a checkpoint of this size that covers it.

    Raises:
        HTTPException: the entry, or what proves it, is gone from the database.
    """
    try:
        found = await reading.entries(connection, log.number, log.archive, index, index + 1)
        proof = await stored.proof(connection, log.number, index, size)
    except LogStateError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None
    if not found:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return write_receipt(found[0][1], index, proof, note)


def _index(path: str) -> int:
    try:
        return from_decimal(path, "the index")
    except FormatError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


def _text(content: str, cache: str) -> Response:
    headers = {"Cache-Control": cache, "Access-Control-Allow-Origin": "*"}
    return Response(content, media_type=_TEXT, headers=headers)
