"""Every error of every room, translated to HTTP in one file: RFC 9457 problem details.

A problem's `type` is stable and documented in docs/problems.md; `detail` says what to do next and never
holds what was sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from access_log.errors import AccessLogError, LogClosedError, LogUnavailableError
from consent.oauth.errors import AccessError
from consent.oauth.protection import Protection
from vault.crypto.errors import CryptoError, InvalidIdentifierError

TYPE = "urn:creditvault:problem:"
_MOST_FAULTS = 20
_OUR_NAMES = frozenset(
    {
        "body",
        "subject",
        "scheme",
        "number",
        "purpose",
        "fields",
        "officer",
        "case_reference",
        "reason",
        "consent_id",
        "statement",
    }
)
_events = structlog.get_logger()


@dataclass(frozen=True)
class Problem:
    """One kind of error: name (the end of `type`), status, title."""

    name: str
    status: HTTPStatus
    title: str


INVALID = Problem("invalid-request", HTTPStatus.BAD_REQUEST, "The request is not well formed")
UNAUTHENTICATED = Problem("unauthenticated", HTTPStatus.UNAUTHORIZED, "No valid token and proof")
REFUSED = Problem("refused", HTTPStatus.FORBIDDEN, "A rule refuses this query")
FORBIDDEN = Problem("forbidden", HTTPStatus.FORBIDDEN, "This token does not allow that")
STATEMENT = Problem("statement-refused", HTTPStatus.FORBIDDEN, "The registrar's statement does not hold")
NOT_FOUND = Problem("not-found", HTTPStatus.NOT_FOUND, "There is nothing here")
NOT_ALLOWED = Problem("method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "Another method is needed")
CONFLICT = Problem("conflict", HTTPStatus.CONFLICT, "It stands otherwise already")
TOO_LARGE = Problem("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
MEDIA_TYPE = Problem("media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Another media type is needed")
KEY_REUSED = Problem(
    "idempotency-key-reused", HTTPStatus.UNPROCESSABLE_ENTITY, "The Idempotency-Key served another request"
)
TOO_FAST = Problem("too-fast", HTTPStatus.TOO_MANY_REQUESTS, "Too many queries in a short time")
UNAVAILABLE = Problem("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "The vault cannot serve now")
INTERNAL = Problem("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "The vault failed")

ALL = (
    INVALID, UNAUTHENTICATED, REFUSED, FORBIDDEN, STATEMENT, NOT_FOUND, NOT_ALLOWED, CONFLICT, TOO_LARGE,
    MEDIA_TYPE, KEY_REUSED, TOO_FAST, UNAVAILABLE, INTERNAL,
)  # fmt: skip


def problem_response(
    problem: Problem,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """One problem as a response; `members` are its extension members (RFC 9457 §3.2)."""
    return JSONResponse(
        {
            "type": TYPE + problem.name,
            "title": problem.title,
            "status": problem.status.value,
            "detail": detail,
            **members,
        },
        status_code=problem.status.value,
        media_type="application/problem+json",
        headers=dict(headers or {}),
    )


def unavailable() -> JSONResponse:
    """503: nothing was opened, and the same request may be sent again."""
    return problem_response(
        UNAVAILABLE,
        "Nothing was opened. Send the request again in a few seconds, with a fresh proof.",
        headers={"Retry-After": "5"},
    )


def too_fast(seconds: float) -> JSONResponse:
    """429: nothing was decided or logged; the request may be sent again after these seconds (RFC 6585 §4)."""
    return problem_response(
        TOO_FAST,
        "Nothing was logged. Send the request again after Retry-After seconds, with a fresh proof.",
        headers={"Retry-After": str(max(1, ceil(seconds)))},
    )


def internal() -> JSONResponse:
    """500: a defect of ours."""
    return problem_response(INTERNAL, _SEE_LOG)


_SEE_LOG = "The operator's log names the place by the request id."
_OF_STATUS = {
    400: (INVALID, "The request could not be read."),
    404: (NOT_FOUND, "Check the path; /openapi.json lists what there is."),
    405: (NOT_ALLOWED, "The Allow header names the methods."),
    409: (CONFLICT, "Read what stands here again, then send yours."),
    413: (TOO_LARGE, "Send fewer bytes; batches of records go to /v1/records as NDJSON."),
    415: (MEDIA_TYPE, "Send application/json; batches of records as application/x-ndjson."),
    500: (INTERNAL, _SEE_LOG),
}


def add_problem_handlers(app: FastAPI, protection: Protection) -> None:
    """Installs the translation for everything a route may raise."""

    def no_access(_request: Request, error: Exception) -> Response:
        assert isinstance(error, AccessError)  # noqa: S101 -- registered for it alone
        return problem_response(UNAUTHENTICATED, str(error), headers=protection.challenge(error))

    app.add_exception_handler(AccessError, no_access)
    for kind, handler in (
        (RequestValidationError, _invalid_request),
        (HTTPException, _http_error),
        (InvalidIdentifierError, _invalid_identifier),
        (AccessLogError, _log_stopped),
        (CryptoError, _keys_unavailable),
        (SQLAlchemyError, _database_unavailable),
    ):
        app.add_exception_handler(kind, handler)


def _invalid_request(_request: Request, error: Exception) -> Response:
    # Only where and which rule: pydantic's `input` and messages may quote what was sent.
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return invalid([(fault["loc"], fault["type"]) for fault in faults])


def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    problem, detail = _OF_STATUS.get(status, (INVALID, "The request could not be served."))
    return problem_response(problem, detail, headers=headers)


def _invalid_identifier(_request: Request, error: Exception) -> Response:
    rule = error.rule if isinstance(error, InvalidIdentifierError) else "unknown"
    return problem_response(INVALID, str(error), errors=[{"at": "subject.number", "rule": rule}])


def _log_stopped(_request: Request, error: Exception) -> Response:
    if isinstance(error, LogUnavailableError):
        _events.error("log_unavailable", exc_info=error)
    elif isinstance(error, LogClosedError):
        # It names two logs and nothing else, and what to do.
        _events.critical("log_closed", reason=str(error))
    else:
        _events.critical("log_stopped", exc_info=error)
    return unavailable()


def _keys_unavailable(_request: Request, error: Exception) -> Response:
    _events.error("keys_unavailable", exc_info=error)
    return unavailable()


def _database_unavailable(_request: Request, error: Exception) -> Response:
    _events.error("database_unavailable", exc_info=error)
    return unavailable()


def invalid(faults: Iterable[tuple[Iterable[object], str]]) -> JSONResponse:
    """400 that names where and which rule, from pydantic's (location, type) pairs."""
    errors = [
        {"at": ".".join(str(part) for part in location if _is_name(part)), "rule": rule}
        for location, rule in list(faults)[:_MOST_FAULTS]
    ]
    return problem_response(INVALID, "Mend the members named in `errors`, then send it again.", errors=errors)


def _is_name(part: object) -> bool:
    """Whether a location part is one of our own member names or an index, not something that was sent."""
    return isinstance(part, int) or (isinstance(part, str) and part.isidentifier() and part in _OUR_NAMES)
