"""The citizen's pages: who asked about me, my records, my consents."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import PlainTextResponse, RedirectResponse

from access_log.log import Log
from access_log.stored_log import StoredLog
from access_log.verifier_keys import ED25519, VerifierKey
from consent.freeze import BEGUN, FreezeEvent
from consent.mandates import Right
from consent.oauth.adapter import read_answers
from consent.public_register import read_public_register
from vault.server.portal.assurance import Act
from vault.server.portal.consent_page import NOTICE_PATH, UNFREEZE_PATH
from vault.server.portal.errors import NothingHereError
from vault.server.portal.ids import read_consent_id, read_index
from vault.server.portal.own import Own
from vault.server.portal.sessions import Sessions
from vault.server.portal.views import Views

_A_PAGE: Final = 50
_DONE: Final = {
    "signed-out": "You are signed out.",
    "withdrawn": "Your consent is withdrawn. It counts for nothing from now on.",
    "frozen": "Your consents are frozen. Nobody can ask with one of them from now on.",
    "unfrozen": "The freeze has ended. Your consents that still stand count again.",
}


class AccessPages:
    """Who asked about me."""

    def __init__(self, own: Own, sessions: Sessions, views: Views, log: Log) -> None:
        self._own = own
        self._sessions = sessions
        self._views = views
        self._log = log

    async def all(self, request: Request, show: str = "", before: str = "", log: str = "") -> Response:
        """The queries, or everything in the person's stream; newest first, some at a time."""
        session = await self._sessions.require(request, right=Right.READ)
        everything = show == "everything"
        whole = await self._own.accesses(session)
        found = [access for access in whole if (everything or access.is_query or access.concerns is not None)]
        if before:
            place = (log, read_index(before))
            at = [(each.closed or "", each.index) for each in found]
            found = found[at.index(place) + 1 :] if place in at else []
        return self._views.page(
            "accesses.html",
            session=session,
            section="accesses",
            everything=everything,
            identities=await self._own.identities(session),
            accesses=found[:_A_PAGE],
            earlier=found[_A_PAGE - 1] if len(found) > _A_PAGE else None,
            log_key=await self._log_key(),
            closed=await self._own.closed_logs(session),
            removed=await self._own.removed(whole),
        )

    async def one(self, request: Request, index: str, log: str = "") -> Response:
        """One entry, and how to verify it."""
        session = await self._sessions.require(request, right=Right.READ)
        access, receipt = await self._own.access(session, read_index(index), log)
        about = [
            each
            for each in await self._own.cases(session)
            if (each.log, each.entry) == (access.log.origin, access.index)
        ]
        return self._views.page(
            "access.html",
            session=session,
            section="accesses",
            access=access,
            case=about[0] if about else None,
            proven=receipt is not None,
            log_key=await self._log_key(access.log),
        )

    async def not_recognised(self, request: Request, index: str) -> Response:
        """Opens a case about one query; inspectors answer it."""
        session = await self._sessions.require(request)
        answers = await read_answers(request)
        session.check_form(answers.get("csrf", [""])[0])
        place = read_index(index)
        await self._own.open_case(session, place, answers.get("words", [""])[0])
        return RedirectResponse(f"/accesses/{place}", HTTPStatus.SEE_OTHER)

    async def _log_key(self, log: StoredLog | None = None) -> VerifierKey:
        """The newest Ed25519 key: it verifies what is given out now, and fits into a command."""
        keys = await (log or self._log).verifier_keys()
        return [key for key in keys if key.type == ED25519][-1]

    async def receipt(self, request: Request, index: str, log: str = "") -> Response:
        """The receipt of one entry, as a file."""
        session = await self._sessions.require(request, right=Right.READ)
        access, receipt = await self._own.access(session, read_index(index), log)
        if receipt is None:
            raise NothingHereError
        return _download(receipt, f"entry-{access.index}.receipt")

    async def opening(self, request: Request, index: str, log: str = "") -> Response:
        """What one entry committed to, as a file."""
        session = await self._sessions.require(request, right=Right.READ)
        access, _ = await self._own.access(session, read_index(index), log)
        if access.opening is None:
            raise NothingHereError
        return _download(msgspec.json.encode(access.opening).decode(), f"entry-{access.index}.opening.json")

    async def log_keys(self, request: Request, log: str = "") -> Response:
        """What checks that nothing is hidden, as a file."""
        session = await self._sessions.require(request, Act.KEYS)
        return _download((await self._own.log_keys(session, log)).encode().decode(), "log-keys.json")


class RecordPages:
    """My records."""

    def __init__(self, own: Own, sessions: Sessions, views: Views) -> None:
        self._own = own
        self._sessions = sessions
        self._views = views

    async def all(self, request: Request) -> Response:
        """Everything held about the person. Looking at it is logged."""
        session = await self._sessions.require(request, right=Right.READ)
        records, _ = await self._own.records(session)
        return self._views.page(
            "records.html", session=session, section="records", records=records, now=datetime.now(UTC)
        )


class ConsentPages:
    """My consents."""

    def __init__(self, own: Own, sessions: Sessions, views: Views) -> None:
        self._own = own
        self._sessions = sessions
        self._views = views

    async def all(self, request: Request, done: str = "") -> Response:
        """Every consent, each with its way back."""
        session = await self._sessions.require(request, right=Right.READ)
        return self._views.page(
            "consents.html",
            session=session,
            section="consents",
            consents=await self._own.consents(session),
            frozen_since=frozen_since(await self._own.freezes(session)),
            now=datetime.now(UTC),
            done=_DONE.get(done),
        )

    async def copy(self, request: Request, consent_id: str, number: str) -> Response:
        """The signed copy that was made at one event, as a file."""
        session = await self._sessions.require(request, right=Right.READ)
        consent = await self._own.consent(session, read_consent_id(consent_id))
        for event in consent.events:
            if str(event.number) == number:
                return _download(event.copy, f"consent-{consent.consent_id}-{event.number}.jws")
        raise NothingHereError

    async def withdraw(self, request: Request, consent_id: str) -> Response:
        """Takes a consent back."""
        session = await self._sessions.require(request, right=Right.WITHDRAW)
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        await self._own.withdraw(session, read_consent_id(consent_id))
        return RedirectResponse("/consents?done=withdrawn", HTTPStatus.SEE_OTHER)

    async def freeze(self, request: Request) -> Response:
        """Lets nobody ask with the person's consent. As easy as a withdrawal: being signed in suffices."""
        session = await self._sessions.require(request, right=Right.FREEZE)
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        await self._own.freeze(session)
        return RedirectResponse("/consents?done=frozen", HTTPStatus.SEE_OTHER)

    async def ask_unfreeze(self, request: Request) -> Response:
        """Asks whether the freeze is to end, of a person who has just proved who they are."""
        session = await self._sessions.require(request, Act.UNFREEZE)
        since = frozen_since(await self._own.freezes(session))
        if since is None:
            return RedirectResponse("/consents", HTTPStatus.SEE_OTHER)
        now = datetime.now(UTC)
        standing = [one for one in await self._own.consents(session) if one.state(now) == "active"]
        return self._views.page(
            "unfreeze.html", session=session, section="consents", since=since, standing=standing
        )

    async def unfreeze(self, request: Request) -> Response:
        """Ends the freeze."""
        session = await self._sessions.require(request, Act.UNFREEZE)
        session.check_form((await read_answers(request)).get("csrf", [""])[0])
        await self._own.unfreeze(session)
        return RedirectResponse("/consents?done=unfrozen", HTTPStatus.SEE_OTHER)


class OpenPages:
    """What anybody may read."""

    def __init__(self, sessions: Sessions, views: Views, engine: AsyncEngine) -> None:
        self._sessions = sessions
        self._views = views
        self._engine = engine

    async def home(self, request: Request, done: str = "") -> Response:
        """The first page."""
        return self._views.page("home.html", session=await self._sessions.read(request), done=_DONE.get(done))

    async def privacy(self, request: Request) -> Response:
        """The person's rights."""
        return self._views.page(
            "privacy.html", session=await self._sessions.read(request), notice=NOTICE_PATH
        )

    async def register(self, request: Request) -> Response:
        """Who may ask, for what, and every suspension."""
        async with self._engine.connect() as connection:
            register = await read_public_register(connection)
        return self._views.page(
            "register.html", session=await self._sessions.read(request), bodies=register.bodies
        )


def pages_router(
    own: Own, sessions: Sessions, views: Views, log: Log, route_class: type[APIRoute]
) -> APIRouter:
    """The routes of the pages."""
    router = APIRouter(include_in_schema=False, route_class=route_class)
    anybody = OpenPages(sessions, views, log.engine)
    accesses = AccessPages(own, sessions, views, log)
    records = RecordPages(own, sessions, views)
    consents = ConsentPages(own, sessions, views)
    for path, page in (
        ("/", anybody.home),
        ("/privacy", anybody.privacy),
        ("/register", anybody.register),
        ("/accesses", accesses.all),
        ("/accesses/log-keys", accesses.log_keys),
        ("/accesses/{index}", accesses.one),
        ("/accesses/{index}/receipt", accesses.receipt),
        ("/accesses/{index}/opening", accesses.opening),
        ("/records", records.all),
        ("/consents", consents.all),
        ("/consents/{consent_id}/copies/{number}", consents.copy),
    ):
        router.add_api_route(path, page, methods=["GET"])
    router.add_api_route(UNFREEZE_PATH, consents.ask_unfreeze, methods=["GET"])
    for path, act in (
        ("/accesses/{index}/not-recognised", accesses.not_recognised),
        ("/consents/freeze", consents.freeze),
        (UNFREEZE_PATH, consents.unfreeze),
        ("/consents/{consent_id}/withdraw", consents.withdraw),
    ):
        router.add_api_route(path, act, methods=["POST"])
    return router


def frozen_since(freezes: Sequence[FreezeEvent]) -> datetime | None:
    """Since when a freeze stands; None where none does."""
    return freezes[0].at if freezes and freezes[0].event == BEGUN else None


def _download(text: str, name: str) -> Response:
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})
