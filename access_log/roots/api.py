"""The log of roots over HTTP, and proofs of labels, for anyone (FORMAT 4.3, 4.4).

A label is something only its person and the vault can tell from any other: it travels in a body, never in an
address, so that no access log, cache or history keeps who asked for which. Nothing is kept of it here either.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from access_log.api import TILE_ANSWERS, TilePath, note_answer, tile_answer
from access_log.encoding import to_base64
from access_log.errors import FormatError, VerificationError
from access_log.roots import store
from access_log.roots.cosigning import UnknownCheckpointError, accept_cosignature
from access_log.roots.key_history import FILE
from access_log.roots.leaf import SIZE
from access_log.roots.log import RootsLog
from access_log.roots.proofs import LabelProofs

MOST_LABELS = 100
_PROBLEM: dict[str, dict[str, str]] = {"application/problem+json": {}}
_JSON = "application/json"
_RECORD = 2 + SIZE

LabelHex = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class LabelsIn(BaseModel):
    """Labels of one month."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [
        {"month": 202607, "labels": ["6b4824b86ec4f91402b0015a5d03674f7d65c1329de41b4c10df0bf5e25058ee"]}
    ]})  # fmt: skip

    month: int = Field(ge=197001, le=999912, description="yyyymm, UTC")
    labels: list[LabelHex] = Field(min_length=1, max_length=MOST_LABELS, description="32 bytes each, in hex")


class LabelsOut(BaseModel):
    """Proofs of these labels, all under one root."""

    root: str = Field(description="The root with the proof that the log of roots holds it (FORMAT 4.4)")
    proofs: list[str] = Field(description="For each label its proof (FORMAT 4.2), in base64, in their order")


def roots_router(roots: RootsLog, prefix: str = "/log") -> APIRouter:
    """The routes `/log/roots/…` and `/log/labels`, or those of a closed log under its own prefix."""
    router = APIRouter(prefix=prefix, tags=["log"])

    @router.get(
        "/roots/checkpoint", response_class=PlainTextResponse, summary="The newest checkpoint of the roots"
    )
    async def checkpoint() -> Response:
        """A C2SP signed note of the log of roots, with the cosignatures of auditors over this size."""
        async with roots.log.engine.connect() as connection:
            return note_answer(await roots.checkpoint(connection))

    @router.get(
        "/roots/key", response_class=PlainTextResponse, summary="The verifier keys of the log of roots"
    )
    async def key() -> Response:
        """`name+hash+key`, one a line; two until the tree after the one that old and new key signed.

        Take it once from a place you trust; here it is a convenience.
        """
        return note_answer("".join(f"{each}\n" for each in await roots.verifier_keys()))

    @router.get(
        f"/roots/{FILE}",
        response_class=Response,
        responses={HTTPStatus.OK.value: {"content": {_JSON: {"example": {"v": 1, "changes": []}}}}},
        summary="How the key of the log of roots was changed",
    )
    async def keys() -> Response:
        """From a key one trusts to the one it is signed with now (FORMAT 5.4)."""
        async with roots.log.engine.connect() as connection:
            history = await roots.key_history(connection)
        return Response(
            history,
            media_type=_JSON,
            headers={"Cache-Control": "public, max-age=60", "Access-Control-Allow-Origin": "*"},
        )

    @router.get(
        "/roots/tile/{path:path}",
        response_class=Response,
        responses=TILE_ANSWERS,
        summary="A tile or bundle of the log of roots",
    )
    async def tile(path: TilePath) -> Response:
        """As of the log itself; an entry has 86 bytes (FORMAT 4.3)."""
        async with roots.log.engine.connect() as connection:
            size = (await store.head(connection, roots.number)).size
        return await tile_answer(roots.log.engine, roots.number, size, path, _RECORD)

    for path, answer in (("checkpoint", checkpoint), ("key", key), (FILE, keys), ("tile/{path:path}", tile)):
        router.add_api_route(f"/roots/{path}", answer, methods=["HEAD"], include_in_schema=False)
    _add_cosignature(router, roots)
    _add_labels(router, roots)
    return router


def _add_cosignature(router: APIRouter, roots: RootsLog) -> None:
    @router.post(
        "/roots/cosignature",
        status_code=HTTPStatus.NO_CONTENT,
        responses={
            HTTPStatus.BAD_REQUEST.value: {
                "description": "It is no signed note, or no line of an auditor known here verifies",
                "content": _PROBLEM,
            },
            HTTPStatus.CONFLICT.value: {"description": "It is of another tree", "content": _PROBLEM},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}
        },
        summary="An auditor delivers its cosignature",
    )
    async def cosignature(request: Request) -> Response:
        """The checkpoint it cosigned, with its signature line (FORMAT 4.5)."""
        try:
            await accept_cosignature(roots, await request.body())
        except (FormatError, VerificationError):
            raise HTTPException(HTTPStatus.BAD_REQUEST) from None
        except UnknownCheckpointError:
            raise HTTPException(HTTPStatus.CONFLICT) from None
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_labels(router: APIRouter, roots: RootsLog) -> None:
    proofs = LabelProofs(roots)

    @router.post(
        "/labels",
        responses={
            HTTPStatus.NOT_FOUND.value: {
                "description": "The month has no root yet, or no auditor has cosigned one",
                "content": _PROBLEM,
            }
        },
        summary="Proofs that labels are in a month of the log, or absent from it",
    )
    async def labels(asked: LabelsIn, response: Response) -> LabelsOut:
        """Whoever holds a month key checks with these that no entry of its stream is missing (FORMAT 4.4)."""
        found = await proofs.prove(asked.month, [bytes.fromhex(each) for each in asked.labels])
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, headers={"Cache-Control": "no-store"})
        response.headers["Cache-Control"] = "no-store"
        return LabelsOut(root=found.statement, proofs=[to_base64(proof) for proof in found.proofs])
