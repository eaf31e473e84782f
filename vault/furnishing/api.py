"""`/v1/records` and `/v1/catalogue`. Thin: parse, hand to the room that knows, write down what it said."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from access_log.log import Log
from consent.oauth.protection import Presented, Protection
from consent.oauth.rar import RecordSubmission
from vault.api import PROBLEMS, encoder, verify
from vault.asked import JSON
from vault.asked import media_type as media_type_of
from vault.furnishing.published import Document, PublishedCatalogue
from vault.problems import FORBIDDEN, MEDIA_TYPE, NOT_FOUND, TOO_LARGE, problem_response
from vault.records.enrol import Enrolled, Furnisher, Passed, RowResult
from vault.records.furnishing import FurnisherRefusedError, FurnishingGuard, own_quality
from vault.records.intake import MOST_AT_ONCE, Intake, TooManyRowsError
from vault.records.readers import read_ndjson, read_one
from vault.records.submission import Rejected
from vault.records.submission_schema import DIALECT
from vault.records.submission_schema import MEDIA_TYPE as SCHEMA
from vault.schemas import SUBMISSION_EXAMPLE, CatalogueOut, QualityOut, SubmissionsOut

NDJSON = "application/x-ndjson"
_MAY_NOT = "This body may not furnish records now. Ask the registrar."
_MONTHS = 24
# Long enough to spare a furnisher's batch a request for each row, short enough for a new pack to be seen.
_CACHED = "public, max-age=300"


class _SchemaResponse(Response):
    """How the description of the API names a schema's media type."""

    media_type = SCHEMA


def records_router(log: Log, intake: Intake, protection: Protection) -> APIRouter:
    """`POST /v1/records` and `GET /v1/records/quality`."""
    router = APIRouter(prefix="/v1", tags=["records"])

    @router.post(
        "/records",
        response_model=None,
        responses={
            200: {"model": SubmissionsOut, "description": "Every line has its result"},
            **{status: PROBLEMS[status] for status in (400, 401, 403, 413, 415, 503)},
        },
        summary="Hand in one record, or a batch",
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "One submission as JSON, or one on each line as NDJSON.",
                "content": {
                    JSON: {"schema": {"type": "object"}, "example": SUBMISSION_EXAMPLE},
                    NDJSON: {"schema": {"type": "string"}},
                },
            },
            "security": [{"dpop": []}],
        },
    )
    async def records(
        request: Request,
        presented: Annotated[Presented, Depends(_whoever_asks(protection))],
        all_or_nothing: bool = False,  # noqa: FBT001, FBT002 -- a query parameter
    ) -> Response:
        """Good lines are kept and bad ones named; the same line again is no second record.

        With `all_or_nothing=true` none is kept where one is bad; a batch then has at most 4,096 lines.
        """
        details = presented.details
        if not isinstance(details, RecordSubmission):
            return problem_response(FORBIDDEN, "This token is for no submission of records.")
        media_type = media_type_of(request)
        if media_type not in (JSON, NDJSON):
            return problem_response(MEDIA_TYPE, "Send application/json, or a batch as application/x-ndjson.")
        raw = await request.body()
        rows = read_ndjson(BytesIO(raw)) if media_type == NDJSON else [read_one(raw)]
        guard = FurnishingGuard(presented)
        furnisher = Furnisher(presented.body_id, str(presented.body_id), "furnisher")
        categories = frozenset(details.categories)
        try:
            if all_or_nothing:
                results = await intake.take_in_together(rows, furnisher, categories=categories, guard=guard)
            else:
                taken = intake.take_in(rows, furnisher, categories=categories, guard=guard)
                results = [result async for result in taken]
        except FurnisherRefusedError:
            return problem_response(FORBIDDEN, _MAY_NOT)
        except TooManyRowsError:
            return problem_response(
                TOO_LARGE, f"Send at most {MOST_AT_ONCE} lines that are to be kept all or not at all."
            )
        return Response(
            encoder.encode(_submissions(results)), media_type=JSON, headers=protection.fresh_nonce()
        )

    @router.get(
        "/records/quality",
        response_model=None,
        responses={
            200: {"model": QualityOut, "description": "Counts, the newest month first"},
            **{status: PROBLEMS[status] for status in (401, 403, 503)},
        },
        summary="How well the body that asks has furnished",
        openapi_extra={"security": [{"dpop": []}]},
    )
    async def quality(request: Request) -> Response:
        """Late, corrected and rejected records of the last 24 months; the token is one for submissions."""
        presented = verify(protection, request)
        if not isinstance(presented.details, RecordSubmission):
            return problem_response(FORBIDDEN, "This token is for no submission of records.")
        try:
            months = await own_quality(log, presented, _MONTHS)
        except FurnisherRefusedError:
            return problem_response(FORBIDDEN, _MAY_NOT)
        content = encoder.encode({"months": [asdict(one) for one in months]})
        return Response(content, media_type=JSON, headers=protection.fresh_nonce())

    return router


def _whoever_asks(protection: Protection) -> Callable[[Request], Awaitable[Presented]]:
    """As a dependency, it is answered before the query's parameters are looked at."""

    async def whoever_asks(request: Request) -> Presented:
        return verify(protection, request)

    return whoever_asks


def catalogue_router(published: PublishedCatalogue) -> APIRouter:
    """`GET /v1/catalogue` and the schema of each category, for anyone."""
    router = APIRouter(prefix="/v1", tags=["records"])

    @router.get(
        "/catalogue",
        response_model=None,
        responses={200: {"model": CatalogueOut}, 304: {"description": "It has not changed"}},
        summary="Which categories of records there are, by which law",
    )
    async def catalogue(request: Request) -> Response:
        """`digest` names exactly the rules that are applied; each category's schema states it, too."""
        return _cached(request, published.index, JSON)

    @router.get(
        "/catalogue/{category}",
        response_model=None,
        response_class=_SchemaResponse,
        responses={
            200: {
                "description": "JSON Schema, 2020-12",
                "content": {
                    SCHEMA: {"schema": {"type": "object"}, "example": {"$schema": DIALECT, "type": "object"}}
                },
            },
            304: {"description": "It has not changed"},
            404: {"description": "There is no such category", "content": {"application/problem+json": {}}},
        },
        summary="The JSON Schema of a submission of one category",
    )
    async def schema(request: Request, category: str) -> Response:
        """What no schema can say is in SUBMISSION.md: check digits, the order of dates, forbidden words."""
        document = published.schemas.get(category)
        if document is None:
            return problem_response(NOT_FOUND, "There is no such category: /v1/catalogue lists them.")
        return _cached(request, document, SCHEMA)

    return router


def _cached(request: Request, document: Document, media_type: str) -> Response:
    """The document, or 304 where the client has it (RFC 9110 §13.1.2)."""
    headers = {"ETag": document.tag, "Cache-Control": _CACHED}
    held = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if document.tag in held or held == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(document.body, media_type=media_type, headers=headers)


def _submissions(results: Sequence[RowResult]) -> dict[str, object]:
    rejected = [one for one in results if isinstance(one, Rejected)]
    enrolled = [one for one in results if isinstance(one, Enrolled)]
    return {
        "enrolled": sum(one.new for one in enrolled),
        "standing": sum(not one.new for one in enrolled),
        "passed": sum(isinstance(one, Passed) for one in results),
        "rejected": len(rejected),
        "rejects": [
            {"line": one.line, "column": one.column, "rule": one.rule, "remedy": one.remedy}
            for one in sorted(rejected, key=lambda one: one.line)
        ],
        "receipts": [
            {"line": one.line, "receipt": one.receipt} for one in enrolled if one.receipt is not None
        ],
    }
