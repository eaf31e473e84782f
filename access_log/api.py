"""The log over HTTP, for anyone: checkpoint, tiles and entry bundles as C2SP tlog-tiles lays them out.

What is served is public by design: it names nobody. Nothing past the raised checkpoint is ever served. What
is immutable may be kept by every cache for good; what is not there may be there in a moment, so its absence,
or a gap, is kept by none. Pages of any origin may read it all.
"""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import reading, stored
from access_log.archive import Archive
from access_log.audit import RECORD
from access_log.encoding import HASH_SIZE
from access_log.errors import FormatError, LogStateError
from access_log.rotate import key_history
from access_log.stored_log import StoredLog
from access_log.tiles import WIDTH, Tile, encode_bundle, parse_tile_path

_IMMUTABLE = "public, max-age=31536000, immutable"
_SHORT = "public, max-age=2"
_ANYBODY = {"Access-Control-Allow-Origin": "*"}
_NOT_KEPT = {"Cache-Control": "no-store", **_ANYBODY}
_NOTE = "text/plain; charset=utf-8"
_JSON = "application/json"
_BYTES = "application/octet-stream"
TILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    HTTPStatus.OK.value: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}},
    HTTPStatus.NOT_FOUND.value: {
        "description": "The tree has no such tile yet, or it is no tile's path",
        "content": {"application/problem+json": {}},
    },
}
TilePath = Annotated[str, Path(description="C2SP tile index: `x001/x234/067`, partial: `067.p/12`")]


def log_router(log: StoredLog, prefix: str = "/log") -> APIRouter:
    """The routes under `/log/`, or those of a closed log under its own prefix."""
    router = APIRouter(prefix=prefix, tags=["log"])

    @router.get("/checkpoint", response_class=PlainTextResponse, summary="The newest released checkpoint")
    async def checkpoint() -> Response:
        """A C2SP signed note: origin, size, root, signatures."""
        return note_answer((await log.newest()).note)

    @router.get("/key", response_class=PlainTextResponse, summary="The log's verifier keys")
    async def key() -> Response:
        """`name+hash+key`, one a line. Take them once from a place you trust; here they are a convenience."""
        return note_answer("".join(f"{key}\n" for key in await log.verifier_keys()))

    @router.get(
        "/keys",
        response_class=Response,
        summary="How the log came from its first keys to these",
        responses={HTTPStatus.OK: {"content": {_JSON: {}}}},
    )
    async def keys() -> Response:
        """A key history (FORMAT 5.2): it leads from keys one trusts to those in force."""
        return Response(
            await key_history(log), media_type=_JSON, headers={"Cache-Control": _SHORT, **_ANYBODY}
        )

    @router.get(
        "/tile/{path:path}",
        response_class=Response,
        responses=TILE_ANSWERS,
        summary="A tile of the Merkle tree, or a bundle of entries",
    )
    async def tile(path: TilePath) -> Response:
        """`<level>/<n>[.p/<w>]`: up to 256 hashes; `entries/<n>[.p/<w>]`: up to 256 entries."""
        size = (await log.newest()).size
        return await tile_answer(log.engine, log.number, size, path, RECORD, archive=log.archive)

    for path, answer in (
        ("/checkpoint", checkpoint),
        ("/key", key),
        ("/keys", keys),
        ("/tile/{path:path}", tile),
    ):
        router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    return router


def note_answer(note: str) -> Response:
    """A checkpoint or key: text that caches keep for a moment only."""
    return Response(note, media_type=_NOTE, headers={"Cache-Control": _SHORT, **_ANYBODY})


async def tile_answer(
    engine: AsyncEngine, log: int, size: int, path: str, record: int, *, archive: Archive | None = None
) -> Response:
    """A tile or bundle of a log.

    Args:
        engine: The database.
        log: The log's number.
        size: Of the tree that may be shown.
        path: What stands behind `tile/`.
        record: Bytes of one entry in a bundle, its length included.
        archive: Where entries stand whose partition is gone.

    Raises:
        HTTPException: 404, the tree has no such tile.
    """
    asked = _asked(path, size)
    try:
        async with engine.connect() as connection:
            content = (
                await _bundle(connection, log, archive, asked)
                if asked.level is None
                else b"".join(await stored.hashes(connection, log, asked.level, asked.n, asked.width))
            )
    except LogStateError:
        raise _not_found() from None
    whole = len(content) == asked.width * (HASH_SIZE if asked.level is not None else record)
    return Response(
        content,
        media_type=_BYTES,
        headers={"Cache-Control": _IMMUTABLE, **_ANYBODY} if whole else _NOT_KEPT,
    )


def _not_found() -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, headers=_NOT_KEPT)


async def _bundle(connection: AsyncConnection, log: int, archive: Archive | None, asked: Tile) -> bytes:
    first = asked.n * WIDTH
    found = await reading.entries(connection, log, archive, first, first + asked.width)
    # A missing entry ends the bundle: the verifier names the gap instead of losing its place.
    return encode_bundle([raw for at, (position, raw) in enumerate(found) if position == first + at])


def _asked(path: str, size: int) -> Tile:
    """The tile a path names, within what the tree of `size` has at that level."""
    try:
        asked = parse_tile_path("tile/" + path)
    except FormatError:
        raise _not_found() from None
    if asked.n * WIDTH + asked.width > size >> (8 * (asked.level or 0)):
        raise _not_found()
    return asked
