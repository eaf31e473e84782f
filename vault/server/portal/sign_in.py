"""Signing in and out: from our page to the identity provider and back, in the same browser."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, RedirectResponse

from consent.oauth.adapter import read_answers, read_query
from consent.oauth.errors import RequestFormError
from consent.oauth.identity_provider import ProviderDownError
from consent.oauth.logout import LogoutTokenError, session_to_end
from consent.oauth.sign_in import Attempt, Demand, NoIdentityError, Registration, RelyingParty
from vault.crypto.errors import InvalidIdentifierError
from vault.records.identities import Met
from vault.records.keys import VaultKeys
from vault.records.query import parse_identifier
from vault.server.portal.assurance import Act, Assurance, Proof
from vault.server.portal.citizens import SIGN_IN_PATH
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.demo_provider import DemoProvider
from vault.server.portal.errors import SignInBrokenError, SignInNotSetUpError, SignInSettingsError
from vault.server.portal.sessions import Sessions
from vault.server.portal.single_use import SingleUse
from vault.server.portal.views import Views
from vault.server.settings import Settings

CALLBACK_PATH: Final = "/sign-in/callback"
SIGN_OUT_PATH: Final = "/sign-out"
SIGNED_OUT_PATH: Final = "/signed-out"
BACK_CHANNEL_PATH: Final = "/sign-in/back-channel-logout"
_COOKIE: Final = "creditvault-sign-in"
_LONGEST_PATH: Final = 2000
_NAMELESS: Final = "You"
_DONE: Final = "/?done=signed-out"
_events = structlog.get_logger()


class SignIn:
    """Signs citizens in at the configured provider.

    Args:
        settings: which provider, and which of its claims is which identifier.
        demo: the demo's own provider, used where no other is configured.
        sessions: opens them.
        keys: make the blind index.
        attempts: sign-ins that were begun.
        schemes: identifier schemes this deployment serves.
        assurance: how surely one must sign in, for what.

    Raises:
        SignInSettingsError: a provider is named without our client id and secret there, or a claim is said to
            hold what this deployment does not serve.
        ConfigurationError: the provider is neither https nor on loopback.
    """

    def __init__(
        self,
        settings: Settings,
        demo: DemoProvider | None,
        *,
        sessions: Sessions,
        keys: VaultKeys,
        attempts: SingleUse,
        schemes: Collection[str],
        assurance: Assurance,
    ) -> None:
        registration = _registration(settings, demo, schemes)
        self._provider = RelyingParty(registration) if registration is not None else None
        self._sessions = sessions
        self._keys = keys
        self._attempts = attempts
        self._schemes = schemes
        self._assurance = assurance
        self._signed_out = settings.issuer + SIGNED_OUT_PATH
        self._cookie = TicketCookie.of(_COOKIE, settings.issuer)

    async def begin(self, return_to: str, act: Act) -> Response:
        """Sends the browser to the provider, to sign in surely enough for this.

        Raises:
            SignInNotSetUpError: there is none.
            SignInError: it cannot be reached.
        """
        if self._provider is None:
            raise SignInNotSetUpError
        attempt, url = await self._provider.begin(self._assurance.demand(act))
        ticket = await self._attempts.keep(
            {
                "state": attempt.state,
                "nonce": attempt.nonce,
                "verifier": attempt.verifier,
                "acr": " ".join(attempt.demand.acr),
                "fresh": "yes" if attempt.demand.fresh else "",
                "begun": str(attempt.begun),
                "return_to": own_path(return_to),
            }
        )
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        self._cookie.give(response, ticket)
        return response

    async def finish(self, request: Request) -> Response:
        """Signs in who came back, and sends them where they were going.

        Raises:
            SignInBrokenError: this browser has begun no sign-in, or used it up.
            SignInError: who they are was not proven.
        """
        content = await self._attempts.take(self._cookie.read(request))
        if self._provider is None or content is None:
            raise SignInBrokenError
        try:
            returned = read_query(request)
        except RequestFormError:
            raise SignInBrokenError from None
        demand = Demand(tuple(content["acr"].split()), fresh=bool(content["fresh"]))
        attempt = Attempt(
            content["state"], content["nonce"], content["verifier"], demand, int(content["begun"])
        )
        identity = await self._provider.finish(attempt, returned)
        try:
            identifier = parse_identifier(identity.scheme, identity.number, self._schemes)
        except InvalidIdentifierError:
            raise NoIdentityError from None
        (blind,) = await self._keys.blind([identifier])
        # The session is new, so that nobody signs another browser in by planting a cookie there before.
        await self._sessions.close(request)
        proof = Proof(identity.acr, identity.authenticated_at)
        ticket = await self._sessions.open(
            identity.name or _NAMELESS, Met(identifier, blind), proof, identity.session
        )
        _events.info("citizen_signed_in")
        response = RedirectResponse(content["return_to"], HTTPStatus.SEE_OTHER)
        self._sessions.cookie.give(response, ticket)
        self._cookie.take_back(response)
        return response

    async def elsewhere(self) -> str | None:
        """Where a person who signed out here signs out at the provider, too; None if nowhere, or not now."""
        if self._provider is None:
            return None
        try:
            return await self._provider.end_session_url(self._signed_out)
        except ProviderDownError:
            return None

    async def end(self, token: str) -> None:
        """Ends the sessions that the provider says are over.

        Raises:
            LogoutTokenError: the provider says no such thing.
            ProviderDownError: its keys cannot be read.
        """
        if self._provider is None:
            raise LogoutTokenError
        ended = await self._sessions.close_all_of(await session_to_end(self._provider, token))
        _events.info("sessions_ended_by_provider", count=ended)


def sign_in_router(
    sign_in: SignIn, sessions: Sessions, views: Views, route_class: type[APIRoute]
) -> APIRouter:
    """The routes of signing in and out."""
    router = APIRouter(include_in_schema=False, route_class=route_class)

    @router.get(SIGN_IN_PATH)
    async def begin(return_to: str = "/", act: Act = Act.READ) -> Response:
        return await sign_in.begin(return_to, act)

    @router.get(CALLBACK_PATH)
    async def finish(request: Request) -> Response:
        return await sign_in.finish(request)

    @router.post(SIGN_OUT_PATH)
    async def sign_out(request: Request) -> Response:
        session = await sessions.read(request)
        if session is None:
            return RedirectResponse(_DONE, HTTPStatus.SEE_OTHER)
        answers = await read_answers(request)
        session.check_form(answers.get("csrf", [""])[0])
        await sessions.close(request)
        provider = await sign_in.elsewhere()
        # By a page and not by a redirect: `form-action` lets nobody be led from a form to another site.
        response = (
            RedirectResponse(_DONE, HTTPStatus.SEE_OTHER)
            if provider is None
            else views.page("signed_out.html", provider=provider)
        )
        sessions.cookie.take_back(response)
        return response

    @router.get(SIGNED_OUT_PATH)
    async def signed_out() -> Response:
        return RedirectResponse(_DONE, HTTPStatus.SEE_OTHER)

    @router.post(BACK_CHANNEL_PATH)
    async def back_channel(request: Request) -> Response:
        fresh = {"Cache-Control": "no-store"}
        try:
            answers = await read_answers(request)
            await sign_in.end(answers.get("logout_token", [""])[0])
        except (RequestFormError, LogoutTokenError):
            return JSONResponse({"error": "invalid_request"}, HTTPStatus.BAD_REQUEST, fresh)
        return Response(status_code=HTTPStatus.OK, headers=fresh)

    return router


def own_path(return_to: str) -> str:
    """A path of this server, so that no sign-in ends on another site; the first page for anything else."""
    parts = urlsplit(return_to) if return_to.isascii() and return_to.isprintable() else None
    if (
        parts is None
        or parts.scheme
        or parts.netloc
        or not return_to.startswith("/")
        or return_to.startswith("//")
        # Browsers take a backslash for a slash.
        or "\\" in return_to
        or len(return_to) > _LONGEST_PATH
    ):
        return "/"
    return return_to


def _registration(
    settings: Settings, demo: DemoProvider | None, schemes: Collection[str]
) -> Registration | None:
    redirect_uri = settings.issuer + CALLBACK_PATH
    if settings.sign_in_issuer is None:
        return None if demo is None else demo.registration(redirect_uri)
    try:
        secret = settings.read_sign_in_secret()
    except OSError as error:
        raise SignInSettingsError(
            f"the file of CREDITVAULT_SIGN_IN_SECRET_FILE cannot be read: {error.strerror}"
        ) from None
    if settings.sign_in_client is None or not secret:
        raise SignInSettingsError(
            "a provider for sign-in is named without our registration there: set "
            "CREDITVAULT_SIGN_IN_CLIENT and CREDITVAULT_SIGN_IN_SECRET_FILE"
        )
    claims = (part.partition("=") for part in settings.sign_in_identifiers.split(","))
    identifiers = {claim: scheme for claim, _, scheme in claims}
    for scheme in identifiers.values():
        if scheme not in schemes:
            raise SignInSettingsError(
                f"CREDITVAULT_SIGN_IN_IDENTIFIERS names the scheme {scheme!r}: this vault serves "
                f"{', '.join(sorted(schemes))}"
            )
    return Registration(
        issuer=settings.sign_in_issuer,
        client_id=settings.sign_in_client,
        client_secret=secret,
        redirect_uri=redirect_uri,
        identifiers=identifiers,
    )
