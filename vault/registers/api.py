"""`/v1/registers`: what registrars sign is handed in, and what is theirs alone to read is read.

No token opens these routes: who acts is said by the statement's signature, so that no shell and no stolen
credential of a server can play a registrar. What is decided is decided in consent/orders.py and statutes.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse

from access_log.log import Log
from consent import asking
from consent.carrying_out import Nameable
from consent.errors import ConsentError, InvalidError, StateError, StatementError, UnknownError
from consent.handing_in import hand_in
from consent.oauth.errors import KeyPolicyError
from consent.registrars import require_signatory
from consent.statements import read_statement
from vault.asked import described, read_asked
from vault.problems import CONFLICT, INVALID, NOT_FOUND, STATEMENT, problem_response
from vault.registers.schemas import HandedInOut, PersonOut, ReadOut, ScopeOut, StatementIn
from vault.rights.naming import Names

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (400, "The request, or the act it states, is not well formed"),
        (403, "The statement does not hold: another key, another vault, too old, or one registrar for two"),
        (404, "It is about what is in no register"),
        (409, "It does not fit the present state, or was handed in before"),
        (413, "The body is too large"),
        (415, "Another media type is needed"),
        (503, "Nothing was changed; try again"),
    )
}
_PROBLEM_OF: Final = (
    (StatementError, STATEMENT),
    (UnknownError, NOT_FOUND),
    (StateError, CONFLICT),
    (InvalidError, INVALID),
    (KeyPolicyError, INVALID),
)


class RegistersApi:
    """What registrars do from their own machines."""

    def __init__(self, log: Log, issuer: str, nameable: Nameable, names: Names) -> None:
        self._log = log
        self._names = names
        self._issuer = issuer
        self._codes = nameable

    async def hand_in(self, compact: str) -> tuple[HTTPStatus, BaseModel]:
        """Does what a signed statement says; what needs two registrars waits for the other one's (202)."""
        # Nobody but a registrar makes the log's head wait: the statement is verified once before it is taken.
        async with self._log.engine.connect() as connection:
            await require_signatory(connection, read_statement(compact), datetime.now(UTC))
        async with self._log.writing() as writing:
            done = await hand_in(writing, compact, self._issuer, self._codes)
        # Durable and raised: from here on the registrar may be told so.
        status = HTTPStatus.ACCEPTED if done.state == "waiting" else HTTPStatus.OK
        return status, HandedInOut(
            id=done.id, state=done.state, object_id=done.object_id, receipts=list(writing.receipts)
        )

    async def read(self, compact: str) -> tuple[HTTPStatus, BaseModel]:
        """Bodies, bases, registrars, authorizations, orders; of one body its officers and conduct file."""
        async with self._log.engine.begin() as connection:
            found = await asking.ask(connection, compact, self._issuer, datetime.now(UTC))
        return HTTPStatus.OK, ReadOut(
            found=msgspec.to_builtins(found, enc_hook=sorted, order="deterministic")
        )

    async def person(self, compact: str) -> tuple[HTTPStatus, BaseModel]:
        """The id that acts name a person by; the same for whomever the vault knows and does not. Logged."""
        named = await self._names.name(compact, self._issuer)
        return HTTPStatus.OK, PersonOut(
            person=named.subject_id, of_age_from=named.of_age_from, receipt=named.receipt
        )

    async def scope(self, compact: str) -> tuple[HTTPStatus, BaseModel]:
        """The hashes by which an authorization names persons; the same for whom the vault does not know."""
        named = await self._names.scope(compact, self._issuer)
        return HTTPStatus.OK, ScopeOut(subjects=list(named.subjects))


def registers_router(log: Log, issuer: str, nameable: Nameable, names: Names) -> APIRouter:
    """The routes under `/v1/registers`."""
    router = APIRouter(prefix="/v1/registers", tags=["registers"])
    api = RegistersApi(log, issuer, nameable, names)
    handed_in = {200: HandedInOut, 202: HandedInOut}
    _add(router, "/statements", api.hand_in, handed_in, "Hand in a registrar's statement")
    _add(router, "/person", api.person, {200: PersonOut}, "Under which id a person is known here")
    _add(router, "/scope", api.scope, {200: ScopeOut}, "By which hashes an authorization names persons")
    _add(router, "/read", api.read, {200: ReadOut}, "Read what of the registers is not public")
    return router


def _add(
    router: APIRouter,
    path: str,
    act: Callable[[str], Awaitable[tuple[HTTPStatus, BaseModel]]],
    answered: Mapping[int, type[BaseModel]],
    summary: str,
) -> None:
    async def handed_in(request: Request) -> Response:
        asked = await read_asked(request, StatementIn)
        if isinstance(asked, Response):
            return asked
        try:
            status, answer = await act(asked.statement)
        except (ConsentError, KeyPolicyError) as error:
            return _refused(error)
        return JSONResponse(answer.model_dump(mode="json"), status_code=status)

    handed_in.__doc__ = act.__doc__
    models: dict[int | str, dict[str, Any]] = {
        status: {
            "model": model,
            "description": "It waits for another registrar" if status == HTTPStatus.ACCEPTED else "Done",
        }
        for status, model in answered.items()
    }
    router.add_api_route(
        path,
        handed_in,
        methods=["POST"],
        name=path.strip("/"),
        response_model=None,
        responses={**models, **_PROBLEMS},
        summary=summary,
        openapi_extra=described(StatementIn),
    )


def _refused(error: ConsentError | KeyPolicyError) -> Response:
    said = str(error)
    for kind, problem in _PROBLEM_OF:
        if isinstance(error, kind):
            return problem_response(problem, f"{said[:1].upper()}{said[1:].removesuffix('.')}.")
    raise error
