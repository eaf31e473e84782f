"""My representatives: appointing one, ending that, and acting for somebody who appointed me."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse

from consent.errors import InvalidError
from consent.mandates import LONGEST_DAYS, NewMandate, Relation, Right
from consent.oauth.adapter import read_answers
from vault.crypto.errors import InvalidIdentifierError
from vault.server.portal.assurance import Act
from vault.server.portal.ids import read_mandate_id
from vault.server.portal.own import Own
from vault.server.portal.sessions import CitizenSession, Sessions
from vault.server.portal.views import Views

PATH: Final = "/representatives"
APPOINT_PATH: Final = "/representatives/appoint"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_NUMBER: Final = 64
_DONE: Final = {
    "appointed": "Your representative is appointed, and may act from now on.",
    "ended": "The mandate has ended. Nothing more can be done under it.",
    "stopped": "You act for yourself again.",
}


class MandatePages:
    """The pages, always for the person who is signed in: nobody acts on mandates under a mandate."""

    def __init__(self, own: Own, sessions: Sessions, views: Views) -> None:
        self._own = own
        self._sessions = sessions
        self._views = views

    async def all(self, request: Request, done: str = "") -> Response:
        """Mandates given and held."""
        session = (await self._sessions.require_any(request)).themselves
        given, held = await self._own.mandates(session)
        return self._views.page(
            "representatives.html",
            session=session,
            section="representatives",
            given=given,
            held=held,
            now=datetime.now(UTC),
            done=_DONE.get(done),
        )

    async def ask(self, request: Request) -> Response:
        """The form, for a person who has just proved who they are."""
        session = await self._sessions.require(request, Act.APPOINT)
        return self._form(session, None)

    async def appoint(self, request: Request) -> Response:
        """Appoints."""
        session = await self._sessions.require(request, Act.APPOINT)
        answers = await read_answers(request)
        session.check_form(answers.get("csrf", [""])[0])
        try:
            number, new = _read(answers)
            await self._own.appoint(session, number, new)
        except InvalidIdentifierError:
            return self._form(session, "This is no identity number as your own is one.")
        except InvalidError as error:
            return self._form(session, str(error))
        return RedirectResponse(f"{PATH}?done=appointed", HTTPStatus.SEE_OTHER)

    async def end(self, request: Request, mandate_id: str) -> Response:
        """Ends a mandate that one gave or holds; being signed in suffices."""
        session = (await self._sessions.require_any(request)).themselves
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        await self._own.end_mandate(session, read_mandate_id(mandate_id))
        return RedirectResponse(f"{PATH}?done=ended", HTTPStatus.SEE_OTHER)

    async def act(self, request: Request, mandate_id: str) -> Response:
        """Begins to act for whoever gave the mandate."""
        session = (await self._sessions.require_any(request)).themselves
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        begun = await self._own.act_under(session, read_mandate_id(mandate_id))
        await self._sessions.act_under(request, begun.mandate_id)
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)

    async def stop(self, request: Request) -> Response:
        """Acts for oneself again."""
        session = await self._sessions.require_any(request)
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        await self._sessions.act_under(request, None)
        return RedirectResponse(f"{PATH}?done=stopped", HTTPStatus.SEE_OTHER)

    def _form(self, session: CitizenSession, mistake: str | None) -> Response:
        return self._views.page(
            "appoint.html",
            status=HTTPStatus.OK if mistake is None else HTTPStatus.BAD_REQUEST,
            session=session,
            section="representatives",
            kinds=[kind for kind in Relation if kind is not Relation.GUARDIAN],
            rights=list(Right),
            most=LONGEST_DAYS,
            mistake=mistake,
        )


def mandates_router(own: Own, sessions: Sessions, views: Views, route_class: type[APIRoute]) -> APIRouter:
    """The routes of these pages."""
    router = APIRouter(include_in_schema=False, route_class=route_class)
    pages = MandatePages(own, sessions, views)
    router.add_api_route(PATH, pages.all, methods=["GET"])
    router.add_api_route(APPOINT_PATH, pages.ask, methods=["GET"])
    for path, act in (
        (APPOINT_PATH, pages.appoint),
        (f"{PATH}/stop", pages.stop),
        (f"{PATH}/{{mandate_id}}/end", pages.end),
        (f"{PATH}/{{mandate_id}}/act", pages.act),
    ):
        router.add_api_route(path, act, methods=["POST"])
    return router


def _read(answers: Mapping[str, list[str]]) -> tuple[str, NewMandate]:
    """The identity number of the representative, and the mandate.

    Raises:
        InvalidError: a part is not well formed.
    """
    number = answers.get("number", [""])[0].strip()
    kind, days = answers.get("kind", [""])[0], answers.get("days", [""])[0]
    rights = answers.get("rights", [])
    document = answers.get("document", [""])[0].strip().lower()
    if not 0 < len(number) <= _LONGEST_NUMBER:
        raise InvalidError("State the identity number of your representative.")
    if kind not in tuple(Relation) or not set(rights) <= set(Right):
        raise InvalidError("Choose what your representative is to you, and what they may do.")
    if not days.isascii() or not days.isdigit() or len(days) > len(str(LONGEST_DAYS)):
        raise InvalidError(f"A mandate lasts 1 to {LONGEST_DAYS} days.")
    if document and not _HASH.fullmatch(document):
        raise InvalidError("The document's SHA-256 is 64 hexadecimal digits.")
    return number, NewMandate(
        kind=Relation(kind),
        rights=frozenset(map(Right, rights)),
        days=int(days),
        document_sha256=bytes.fromhex(document) if document else None,
    )
