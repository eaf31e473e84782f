"""A witness over HTTP, as C2SP tlog-witness lays it out (FORMAT 8)."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from access_log.errors import AccessLogError, FormatError
from access_log.signing_keys import CosigningKey
from access_log.verifier_keys import VerifierKey
from access_log.witness.protocol import (
    MAX_SUBMISSION,
    SIZE_TYPE,
    Refusal,
    Status,
    Submission,
    admit,
    lines_by,
    parse_submission,
)
from access_log.witness.store import Store

_NOTE: Final = "text/plain; charset=utf-8"
_SHORT: Final = "public, max-age=60"
_BODY_SECONDS: Final = 20.0
_events = structlog.get_logger()


def witness_app(
    store: Store, keys: Sequence[CosigningKey], clock: Callable[[], int] = lambda: int(time.time())
) -> FastAPI:
    """The witness of one store and its keys.

    Args:
        store: what it remembers.
        keys: what it cosigns with; each answer has a line of each.
        clock: POSIX seconds.
    """
    app = FastAPI(title="Witness", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(AccessLogError, _unavailable)
    app.add_exception_handler(HTTPException, _plain_error)

    def decide(submission: Submission) -> Refusal | str:
        trusted = store.keys_of(submission.checkpoint.origin)
        answer = admit(submission, trusted) or store.cosign(submission, keys, clock)
        _report(submission, answer, trusted)
        return answer

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        """Cosigns a checkpoint that follows the last one of its log."""
        body = await _body(request)
        try:
            submission = parse_submission(body)
            answer = await asyncio.to_thread(decide, submission)
        except FormatError as error:
            answer = Refusal(Status.MALFORMED, str(error))
        return _refused(answer) if isinstance(answer, Refusal) else _answer(Status.COSIGNED, answer)

    @app.get("/{origin_hash}/checkpoint")
    async def checkpoint(origin_hash: str) -> Response:
        """The last checkpoint of a log that was cosigned, by the hash of its origin."""
        note = await asyncio.to_thread(store.checkpoint, origin_hash)
        if note is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no checkpoint of such a log was cosigned")
        return _answer(HTTPStatus.OK, note, _SHORT)

    @app.get("/healthz")
    async def healthz() -> Response:
        """The witness can read what it remembers."""
        await asyncio.to_thread(store.watched)
        return _answer(HTTPStatus.OK, "ok\n")

    return app


async def _body(request: Request) -> bytes:
    """The body, within its limit of bytes and time."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_SUBMISSION:
                    reason = f"a submission has at most {MAX_SUBMISSION} bytes"
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
    return bytes(body)


def _report(submission: Submission, answer: Refusal | str, trusted: Sequence[VerifierKey]) -> None:
    """Tells who runs the witness; the note of a log that may show two histories is evidence."""
    new = submission.checkpoint
    if not isinstance(answer, Refusal):
        _events.info("checkpoint_cosigned", log=new.origin, old=submission.old, size=new.size)
    elif answer.status == Status.INCONSISTENT:
        note = f"{new.text()}\n{lines_by(submission.note, trusted)}"
        _events.warning(
            "checkpoint_inconsistent", log=new.origin, old=submission.old, note=note, reason=answer.reason
        )
    else:
        _events.info("checkpoint_refused", status=int(answer.status), reason=answer.reason)


def _refused(refusal: Refusal) -> Response:
    if refusal.size is None:
        return _answer(refusal.status, refusal.reason + "\n")
    # Exactly this type: a text type given as such would be sent with a charset.
    headers = {**_headers(), "Content-Type": SIZE_TYPE}
    return Response(f"{refusal.size}\n", int(refusal.status), headers=headers)


def _unavailable(_request: Request, error: Exception) -> Response:
    _events.error("witness_unavailable", exc_info=error)
    return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot answer now; try again\n")


def _plain_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _answer(error.status_code, f"{error.detail}\n", headers=error.headers)


def _answer(
    status: int, text: str, cache: str = "no-store", headers: Mapping[str, str] | None = None
) -> Response:
    return Response(text, int(status), media_type=_NOTE, headers={**(headers or {}), **_headers(cache)})


def _headers(cache: str = "no-store") -> dict[str, str]:
    return {"Cache-Control": cache, "X-Content-Type-Options": "nosniff"}
