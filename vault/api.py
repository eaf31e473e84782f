"""`/v1/queries`. Thin: parse, hand to the room that knows, write down what it said."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.oauth.protection import Presented, Protection
from vault.asked import JSON, described, read_asked
from vault.problems import (
    FORBIDDEN,
    INVALID,
    KEY_REUSED,
    REFUSED,
    UNAUTHENTICATED,
    problem_response,
    too_fast,
)
from vault.records.covert_counts import published
from vault.records.disclose import Disclosure
from vault.records.query import (
    Answer,
    DisclosedRecord,
    KeyReused,
    Outcome,
    Query,
    Refused,
    TooFast,
    parse_identifier,
)
from vault.schemas import (
    CovertCountOut,
    CovertCountsOut,
    QueryIn,
    QueryOut,
)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (400, "The request is not well formed"),
        (401, "No valid token and proof; nothing was logged"),
        (403, "A rule refuses the query (`rule` names it), or the token is for something else"),
        (413, "The body is too large"),
        (415, "Another media type is needed"),
        (422, "The Idempotency-Key served another request"),
        (429, "The body or its officer asks too fast; `Retry-After` says for how long to wait"),
        (503, "Nothing was opened; try again"),
    )
}
_LONGEST_KEY = 255
encoder = msgspec.json.Encoder()


def query_router(disclosure: Disclosure, protection: Protection, schemes: Collection[str]) -> APIRouter:
    """`POST /v1/queries`."""
    router = APIRouter(prefix="/v1", tags=["queries"])

    @router.post(
        "/queries",
        response_model=None,
        responses={200: {"model": QueryOut, "description": "Permitted"}, **PROBLEMS},
        summary="Ask for fields of one person's records",
        openapi_extra={
            **described(QueryIn),
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string", "maxLength": _LONGEST_KEY},
                    "description": "A repeat within ten minutes opens the same again and is not charged.",
                }
            ],
            "security": [{"dpop": []}],
        },
    )
    async def query(request: Request) -> Response:
        """The token says for whom and for what; the answer carries the proof that it was logged."""
        presented = verify(protection, request)
        grant = presented.token_grant()
        if grant is None:
            return problem_response(FORBIDDEN, "This token is for no query. Obtain one for a query.")
        asked = await read_asked(request, QueryIn)
        if isinstance(asked, Response):
            return asked
        repeat_key = request.headers.get("idempotency-key")
        if repeat_key is not None and not 0 < len(repeat_key) <= _LONGEST_KEY:
            return problem_response(INVALID, "An Idempotency-Key has 1 to 255 characters.")
        outcome = await disclosure.answer(
            Query(
                request_id=request.state.request_id,
                presented=presented,
                token=grant,
                identifier=parse_identifier(asked.subject.scheme, asked.subject.number, schemes),
                officer_id=asked.officer,
                purpose=asked.purpose,
                fields=asked.fields,
                case_reference=asked.case_reference,
                digest=hashlib.sha256(await request.body()).digest(),
                repeat_key=hashlib.sha256(repeat_key.encode()).digest() if repeat_key is not None else None,
            )
        )
        return _response(outcome, protection)

    return router


def covert_router(engine: AsyncEngine) -> APIRouter:
    """`/log/covert`: how many covert cases there were, for anyone."""
    router = APIRouter(prefix="/log", tags=["log"])

    @router.get(
        "/covert",
        responses={503: PROBLEMS[503]},
        summary="How many covert cases there were, month by month",
    )
    async def covert() -> CovertCountsOut:
        """Each month's numbers stand in the entry at `index`; the opening shows that it committed to them."""
        async with engine.connect() as connection:
            counted = await published(connection)
        return CovertCountsOut(months=[CovertCountOut(**asdict(one)) for one in counted])

    return router


def verify(protection: Protection, request: Request) -> Presented:
    """Token and proof of a request.

    Raises:
        AccessError: they are not valid.
    """
    headers = request.headers
    return protection.verify(
        headers.getlist("authorization"),
        headers.getlist("dpop"),
        request.method,
        request.scope["raw_path"].decode("ascii"),
    )


def _response(outcome: Outcome, protection: Protection) -> Response:
    if isinstance(outcome, Answer):
        return Response(encoder.encode(_answer(outcome)), media_type=JSON, headers=protection.fresh_nonce())
    if isinstance(outcome, Refused):
        return problem_response(
            REFUSED,
            outcome.refusal.reason,
            rule=outcome.refusal.rule,
            receipt=outcome.proof.receipt,
            opening=outcome.proof.opening,
        )
    if isinstance(outcome, TooFast):
        return too_fast(outcome.seconds)
    if isinstance(outcome, KeyReused):
        return problem_response(KEY_REUSED, "Send another body under another Idempotency-Key.")
    return problem_response(
        UNAUTHENTICATED, outcome.error.args[0], headers=protection.challenge(outcome.error)
    )


def _answer(answer: Answer) -> dict[str, object]:
    conditions = answer.conditions
    return {
        "records": [_record(record) for record in answer.records],
        "annotations": [],
        "use_conditions": {
            "purpose": conditions.purpose,
            "onward_provision": False,
            "storable": conditions.storable,
            "retention_days": conditions.retention_days,
        },
        "receipt": answer.proof.receipt,
        "opening": answer.proof.opening,
        "companions": [{"receipt": each.receipt, "opening": each.opening} for each in answer.companions],
    }


def _record(record: DisclosedRecord) -> dict[str, object]:
    return {
        "category": record.category,
        "source": {"body": record.source, "document": record.document},
        "recorded_at": record.recorded_at,
        "display": {
            "first_day": record.display_from,
            "last_day": record.display_until,
            "how_counted": record.how_counted,
        },
        "fields": record.fields,
        "annotations": [str(each) for each in record.annotations],
    }
