"""`/v1/me`: what the pages show, as JSON, for the same session."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie

from consent.freeze import BEGUN, FreezeEvent
from consent.mandates import Right
from vault.schemas import ProblemOut
from vault.server.portal.assurance import Act
from vault.server.portal.own import Own
from vault.server.portal.schemas import (
    AccessesOut,
    AccessProofOut,
    ConsentsOut,
    FreezeEventOut,
    FreezeOut,
    FrozenOut,
    LogKeysOut,
    MeOut,
    NotRecognisedIn,
    OpenedCaseOut,
    OwnCaseOut,
    OwnCasesOut,
    OwnRecordsOut,
    RemovedOut,
    WithdrawnOut,
)
from vault.server.portal.sessions import Sessions
from vault.server.portal.shown import Shown
from vault.server.portal.words import Words

_LARGEST_INDEX = 2**63 - 1
_OF_LOG = "Name of the closed log it is about. Empty: the open one."
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemOut, "description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (400, "The request is not well formed"),
        (401, "Nobody is signed in"),
        (403, "The X-CSRF-Token is missing or wrong; nothing was changed"),
        (404, "There is nothing here that belongs to you"),
        (409, "It stands otherwise already; nothing was changed"),
        (503, "Nothing was opened or changed; try again"),
    )
}


class OwnApi:
    """The routes, for whoever is signed in."""

    def __init__(self, own: Own, sessions: Sessions, words: Words) -> None:
        self._own = own
        self._sessions = sessions
        self._shown = Shown(words)

    async def me(self, request: Request) -> MeOut:
        """Also gives the token that every POST must carry."""
        session = await self._sessions.require_any(request)
        return MeOut(
            display_name=session.display_name,
            csrf_token=session.csrf,
            signed_in_at=session.opened_at,
            expires_at=session.expires_at,
            ends_at=session.ends_at,
            known=session.own_id is not None,
            mandate=None if session.mandate is None else session.mandate.mandate_id,
        )

    async def accesses(self, request: Request) -> AccessesOut:
        """Every entry about you, refused queries included, each with what proves it."""
        session = await self._sessions.require(request, right=Right.READ)
        found = await self._own.accesses(session)
        removed = await self._own.removed(found)
        return AccessesOut(
            identities=await self._own.identities(session),
            accesses=[self._shown.access(one) for one in found],
            removed=None if removed is None else RemovedOut(entries=removed.entries, newest=removed.newest),
        )

    async def access(
        self,
        request: Request,
        index: Annotated[int, Path(ge=0, le=_LARGEST_INDEX)],
        log: Annotated[str, Query(max_length=255, description=_OF_LOG)] = "",
    ) -> AccessProofOut:
        """Check it offline: `python -m access_log check-opening RECEIPT OPENING --log-key KEY`."""
        session = await self._sessions.require(request, right=Right.READ)
        access, receipt = await self._own.access(session, index, log)
        return AccessProofOut(**self._shown.access(access).model_dump(), receipt=receipt)

    async def log_keys(
        self, request: Request, log: Annotated[str, Query(max_length=255, description=_OF_LOG)] = ""
    ) -> Response:
        """Keep it to yourself. Check: `python -m access_log audit-person FILE LOG --log-key KEY`. Logged."""
        session = await self._sessions.require(request, Act.KEYS)
        given = await self._own.log_keys(session, log)
        return Response(given.encode(), media_type="application/json")

    async def cases(self, request: Request) -> OwnCasesOut:
        """How each stands, and what inspectors answered."""
        session = await self._sessions.require(request)
        return OwnCasesOut(
            cases=[
                OwnCaseOut(
                    case=one.case_id,
                    entry=one.entry,
                    state=one.state,
                    words=one.words,
                    answer=one.answer,
                    opened_at=one.opened_at,
                    changed_at=one.changed_at,
                )
                for one in await self._own.cases(session)
            ]
        )

    async def not_recognised(
        self,
        request: Request,
        index: Annotated[int, Path(ge=0, le=_LARGEST_INDEX)],
        asked: NotRecognisedIn,
        x_csrf_token: Annotated[str | None, Header(description="`csrf_token` of GET /v1/me")] = None,
    ) -> OpenedCaseOut:
        """Opens a case for inspectors. Whoever asked is not told."""
        session = await self._sessions.require(request)
        session.check_form(x_csrf_token)
        opened = await self._own.open_case(session, index, asked.words)
        return OpenedCaseOut(case=opened.case_id, receipt=opened.receipt)

    async def records(self, request: Request) -> OwnRecordsOut:
        """Everything held about you, shown to others or not. Looking is logged."""
        session = await self._sessions.require(request, right=Right.READ)
        records, receipt = await self._own.records(session)
        others = dict.fromkeys(one.receipt for one in records if one.receipt != receipt)
        return OwnRecordsOut(
            records=[self._shown.record(one) for one in records], receipt=receipt, companions=list(others)
        )

    async def consents(self, request: Request) -> ConsentsOut:
        """Each with your signed copy."""
        session = await self._sessions.require(request, right=Right.READ)
        now = datetime.now(UTC)
        found = await self._own.consents(session)
        return ConsentsOut(consents=[self._shown.consent(one, now) for one in found])

    async def freezes(self, request: Request) -> FreezeOut:
        """Whether one stands, and every beginning and end."""
        session = await self._sessions.require(request, right=Right.READ)
        return self._freeze(await self._own.freezes(session))

    async def freeze(
        self,
        request: Request,
        x_csrf_token: Annotated[str | None, Header(description="`csrf_token` of GET /v1/me")] = None,
    ) -> FrozenOut:
        """Effective with the next query: nobody can ask with a consent of yours until you end it."""
        session = await self._sessions.require(request, right=Right.FREEZE)
        session.check_form(x_csrf_token)
        return FrozenOut(frozen=True, receipt=await self._own.freeze(session))

    async def unfreeze(
        self,
        request: Request,
        x_csrf_token: Annotated[str | None, Header(description="`csrf_token` of GET /v1/me")] = None,
    ) -> FrozenOut:
        """Needs a fresh sign-in (`/sign-in?act=unfreeze`)."""
        session = await self._sessions.require(request, Act.UNFREEZE)
        session.check_form(x_csrf_token)
        return FrozenOut(frozen=False, receipt=await self._own.unfreeze(session))

    async def withdraw(
        self,
        request: Request,
        consent_id: UUID,
        x_csrf_token: Annotated[str | None, Header(description="`csrf_token` of GET /v1/me")] = None,
    ) -> WithdrawnOut:
        """Effective with the next query. No reason is asked for."""
        session = await self._sessions.require(request, right=Right.WITHDRAW)
        session.check_form(x_csrf_token)
        done = await self._own.withdraw(session, consent_id)
        return WithdrawnOut(
            consent_id=consent_id, state="withdrawn", copy_jws=done.record.copy, receipt=done.receipt
        )

    def _freeze(self, freezes: list[FreezeEvent]) -> FreezeOut:
        return FreezeOut(
            frozen=bool(freezes) and freezes[0].event == BEGUN,
            events=[FreezeEventOut(event=each.event, at=each.at) for each in freezes],
        )


def me_router(own: Own, sessions: Sessions, words: Words, route_class: type[APIRoute]) -> APIRouter:
    """The routes under `/v1/me`."""
    cookie = APIKeyCookie(
        name=sessions.cookie.name,
        scheme_name="citizen_session",
        description="The session of a citizen who signed in at /sign-in.",
        auto_error=False,
    )
    router = APIRouter(prefix="/v1/me", tags=["me"], route_class=route_class, dependencies=[Depends(cookie)])
    api = OwnApi(own, sessions, words)
    for path, answer, summary, problems in (
        ("", api.me, "Whose session this is", (401, 503)),
        ("/accesses", api.accesses, "Who asked about me", (401, 503)),
        ("/accesses/{index}", api.access, "One entry, with its receipt", (400, 401, 404, 503)),
        ("/cases", api.cases, "Queries I did not recognise", (401, 503)),
        ("/records", api.records, "My records", (401, 503)),
        ("/consents", api.consents, "My consents", (401, 503)),
        ("/freeze", api.freezes, "Whether my consents are frozen", (401, 503)),
    ):
        router.add_api_route(path, answer, methods=["GET"], summary=summary, responses=_only(*problems))
    router.add_api_route(
        "/log-keys",
        api.log_keys,
        methods=["GET"],
        summary="What checks that no entry about you is hidden",
        response_class=Response,
        # It is written once, as access_log FORMAT 4.6 says, and not by a model of this API.
        responses={200: {"model": LogKeysOut}, **_only(400, 401, 404, 503)},
    )
    for path, act, summary in (
        ("/freeze", api.freeze, "Freeze my consents"),
        ("/unfreeze", api.unfreeze, "End the freeze"),
    ):
        router.add_api_route(
            path, act, methods=["POST"], summary=summary, responses=_only(400, 401, 403, 404, 409, 503)
        )
    router.add_api_route(
        "/accesses/{index}/not-recognised",
        api.not_recognised,
        methods=["POST"],
        summary="Say that I do not recognise a query",
        responses=_only(400, 401, 403, 404, 409, 503),
    )
    router.add_api_route(
        "/consents/{consent_id}/withdraw",
        api.withdraw,
        methods=["POST"],
        summary="Withdraw a consent",
        responses=_only(400, 401, 403, 404, 409, 503),
    )
    return router


def _only(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _PROBLEMS[status] for status in statuses}
