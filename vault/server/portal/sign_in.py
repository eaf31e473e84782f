"""Signing in and out: from our page to the identity provider and back, in the same browser."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse

from consent.oauth.adapter import read_answers, read_query
from consent.oauth.errors import RequestFormError
from consent.oauth.sign_in import Attempt, NoIdentityError, Registration, RelyingParty
from vault.crypto.blind import DEMO_ID
from vault.crypto.errors import InvalidIdentifierError
from vault.errors import VaultError
from vault.records.keys import VaultKeys
from vault.records.query import parse_identifier
from vault.server.portal.citizens import SIGN_IN_PATH
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.demo_provider import DemoProvider
from vault.server.portal.errors import SignInBrokenError, SignInNotSetUpError
from vault.server.portal.sessions import Sessions
from vault.server.portal.single_use import SingleUse
from vault.server.settings import Settings

CALLBACK_PATH: Final = "/sign-in/callback"
SIGN_OUT_PATH: Final = "/sign-out"
_COOKIE: Final = "creditvault-sign-in"
_LONGEST_PATH: Final = 2000
_NAMELESS: Final = "You"
_events = structlog.get_logger()


class SignInSettingsError(VaultError):
    """The settings of the sign-in do not suffice."""


class SignIn:
    """Signs citizens in at the configured provider.

    Args:
        settings: which provider, and which of its claims is which identifier.
        demo: the demo's own provider, used where no other is configured.
        sessions: opens them.
        keys: make the blind index.
        attempts: sign-ins that were begun.
        schemes: identifier schemes this deployment serves.

    Raises:
        SignInSettingsError: a provider is named without our client id and secret there.
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
    ) -> None:
        registration, self._scheme = _registration(settings, demo)
        self._provider = RelyingParty(registration) if registration is not None else None
        self._sessions = sessions
        self._keys = keys
        self._attempts = attempts
        self._schemes = schemes
        self._cookie = TicketCookie.of(_COOKIE, settings.issuer)

    async def begin(self, return_to: str) -> Response:
        """Sends the browser to the provider.

        Raises:
            SignInNotSetUpError: there is none.
            SignInError: it cannot be reached.
        """
        if self._provider is None:
            raise SignInNotSetUpError
        attempt, url = await self._provider.begin()
        ticket = await self._attempts.keep(
            {
                "state": attempt.state,
                "nonce": attempt.nonce,
                "verifier": attempt.verifier,
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
        attempt = Attempt(content["state"], content["nonce"], content["verifier"])
        identity = await self._provider.finish(attempt, returned)
        try:
            identifier = parse_identifier(self._scheme, identity.number, self._schemes)
        except InvalidIdentifierError:
            raise NoIdentityError from None
        (blind,) = await self._keys.blind([identifier])
        # The session is new, so that nobody signs another browser in by planting a cookie there before.
        await self._sessions.close(request)
        ticket = await self._sessions.open(identity.name or _NAMELESS, identifier.scheme, blind)
        _events.info("citizen_signed_in")
        response = RedirectResponse(content["return_to"], HTTPStatus.SEE_OTHER)
        self._sessions.cookie.give(response, ticket)
        self._cookie.take_back(response)
        return response


def sign_in_router(sign_in: SignIn, sessions: Sessions, route_class: type[APIRoute]) -> APIRouter:
    """The routes of signing in and out."""
    router = APIRouter(include_in_schema=False, route_class=route_class)

    @router.get(SIGN_IN_PATH)
    async def begin(return_to: str = "/") -> Response:
        return await sign_in.begin(return_to)

    @router.get(CALLBACK_PATH)
    async def finish(request: Request) -> Response:
        return await sign_in.finish(request)

    @router.post(SIGN_OUT_PATH)
    async def sign_out(request: Request) -> Response:
        session = await sessions.read(request)
        response = RedirectResponse("/?done=signed-out", HTTPStatus.SEE_OTHER)
        if session is not None:
            answers = await read_answers(request)
            session.check_form(answers.get("csrf", [""])[0])
            await sessions.close(request)
            sessions.cookie.take_back(response)
        return response

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


def _registration(settings: Settings, demo: DemoProvider | None) -> tuple[Registration | None, str]:
    redirect_uri = settings.issuer + CALLBACK_PATH
    if settings.sign_in_issuer is not None:
        if settings.sign_in_client is None or settings.sign_in_secret is None:
            raise SignInSettingsError(
                "a provider for sign-in is named without our registration there: set "
                "CREDITVAULT_SIGN_IN_CLIENT and CREDITVAULT_SIGN_IN_SECRET"
            )
        registration = Registration(
            issuer=settings.sign_in_issuer,
            client_id=settings.sign_in_client,
            client_secret=settings.sign_in_secret.get_secret_value(),
            redirect_uri=redirect_uri,
            claim=settings.sign_in_claim,
        )
        return registration, settings.sign_in_scheme
    if demo is None:
        return None, settings.sign_in_scheme
    return demo.registration(redirect_uri), DEMO_ID
