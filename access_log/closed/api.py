"""Which logs were closed, where they are served, and how the next one was opened, over HTTP (FORMAT 5.3)."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from access_log.closed.log import ClosedLog, closed_path
from access_log.closing import succession
from access_log.stored_log import StoredLog

_SHORT = {"Cache-Control": "public, max-age=2", "Access-Control-Allow-Origin": "*"}
_JSON = "application/json"


class ClosedOut(BaseModel):
    """A log that was closed."""

    origin: str = Field(description="Its name")
    path: str = Field(
        description="Below it stands what `/log` had: checkpoint, key, keys, tile, proof, roots"
    )
    size: int = Field(description="Entries its last checkpoint covers")
    held: int = Field(description="Entries the vault still had when it was closed")
    successor: str = Field(description="The log opened in its place")


class ClosedLogsOut(BaseModel):
    """Every log that was closed, the oldest first."""

    closed: list[ClosedOut]


def succession_router(log: StoredLog, closed: Sequence[ClosedLog]) -> APIRouter:
    """`/log/closed` and `/log/succession`.

    Args:
        log: the open log.
        closed: those before it, the oldest first.
    """
    router = APIRouter(prefix="/log", tags=["log"])
    listed = ClosedLogsOut(
        closed=[
            ClosedOut(
                origin=each.origin,
                path=closed_path(each.origin),
                size=each.says.size,
                held=each.says.held,
                successor=each.says.origin,
            )
            for each in closed
        ]
    )

    @router.get("/closed", summary="The logs that were closed before this one")
    async def closed_logs(response: Response) -> ClosedLogsOut:
        """Each is served below its path, for good."""
        response.headers.update(_SHORT)
        return listed

    @router.get(
        "/succession",
        response_class=Response,
        responses={HTTPStatus.OK: {"content": {_JSON: {}}}},
        summary="How each log was opened in the place of the one before",
    )
    async def opened() -> Response:
        """Entry 0 of each later log, with the checkpoint of the closed one it holds (FORMAT 5.3)."""
        return Response(await succession(log), media_type=_JSON, headers=_SHORT)

    return router
