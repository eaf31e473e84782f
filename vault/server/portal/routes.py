"""What becomes of an error of a person's request: a page on the pages, a problem (RFC 9457) in the API."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from access_log.errors import AccessLogError
from consent.errors import InvalidError, StateError, UnknownError
from consent.oauth.errors import RequestFormError
from consent.oauth.identity_provider import ProviderDownError, SignInError
from vault.crypto.errors import CryptoError
from vault.problems import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, Problem, problem_response
from vault.server.portal.assurance import Act
from vault.server.portal.citizens import SIGN_IN_PATH, sign_in_url
from vault.server.portal.errors import (
    ForgedRequestError,
    NotEntrustedError,
    NothingHereError,
    NotSignedInError,
    SignInBrokenError,
    SignInNotSetUpError,
    WeakSignInError,
)
from vault.server.portal.sessions import Sessions
from vault.server.portal.views import Views

NOT_SIGNED_IN: Final = Problem("not-signed-in", HTTPStatus.UNAUTHORIZED, "Nobody is signed in")
SIGNED_IN_WEAKLY: Final = Problem(
    "signed-in-weakly", HTTPStatus.UNAUTHORIZED, "Signed in not surely or recently enough"
)
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_events = structlog.get_logger()
_AGAIN: Final = "Please go back and try again."


def _note_sign_in(error: Exception) -> None:
    _events.info("sign_in_failed", why=type(error).__name__)


def _note_outage(error: Exception) -> None:
    _events.error("page_unavailable", exc_info=error)


# The first row that fits is the page; without words of its own it says what the error says.
_PAGES: Final = (
    ((ForgedRequestError,), None, HTTPStatus.FORBIDDEN, "Nothing was changed", None),
    ((NotEntrustedError,), None, HTTPStatus.FORBIDDEN, "This is not yours to do", None),
    ((SignInNotSetUpError,), None, HTTPStatus.SERVICE_UNAVAILABLE, "Sign-in is not available", None),
    ((ProviderDownError,), _note_sign_in, HTTPStatus.SERVICE_UNAVAILABLE, "You are not signed in", None),
    ((SignInBrokenError, SignInError), _note_sign_in, HTTPStatus.BAD_REQUEST, "You are not signed in", None),
    (
        (StateError,),
        None,
        HTTPStatus.CONFLICT,
        "Nothing was changed",
        "It stands so already: it was done or said before.",
    ),
    ((InvalidError,), None, HTTPStatus.BAD_REQUEST, "This could not be taken", None),
    ((RequestFormError,), None, HTTPStatus.BAD_REQUEST, "This could not be read", _AGAIN),
    (
        (NothingHereError, UnknownError, RequestValidationError),
        None,
        HTTPStatus.NOT_FOUND,
        "There is nothing here",
        str(NothingHereError()),
    ),
    (
        (AccessLogError, CryptoError, SQLAlchemyError),
        _note_outage,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The vault cannot serve you now",
        "Nothing was opened or changed. Please try again in a few minutes.",
    ),
)
_REFUSALS: Final[Mapping[type[Exception], tuple[Problem, str]]] = {
    ForgedRequestError: (FORBIDDEN, "Send the csrf_token of GET /v1/me as X-CSRF-Token."),
    NotEntrustedError: (FORBIDDEN, "The mandate this session acts under does not cover that."),
    NothingHereError: (NOT_FOUND, "There is nothing here that belongs to you."),
    UnknownError: (NOT_FOUND, "There is nothing here that belongs to you."),
    StateError: (CONFLICT, "It stands otherwise already; nothing was changed. Read it again."),
}


def page_route(views: Views) -> type[APIRoute]:
    """A route whose errors are pages."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> _Handler:
            handler = super().get_route_handler()

            async def page(request: Request) -> Response:
                try:
                    return await handler(request)
                except NotSignedInError:
                    return _to_sign_in(views, request, Act.READ)
                except WeakSignInError as error:
                    return _to_sign_in(views, request, Act(error.act))
                except Exception as error:  # noqa: BLE001 -- whatever it is, a person is to read a page
                    return _failure_page(views, error)

            return page

    return PageRoute


def me_route(sessions: Sessions) -> type[APIRoute]:
    """A route of the API whose errors are problems; what is not the person's own affair, others translate."""
    cookie_name = sessions.cookie.name

    class MeRoute(APIRoute):
        def get_route_handler(self) -> _Handler:
            handler = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    try:
                        return await handler(request)
                    except (RequestValidationError, HTTPException):
                        # What was sent is read before the route is; who is signed in is answered first.
                        await sessions.require_any(request)
                        raise
                except NotSignedInError:
                    return problem_response(
                        NOT_SIGNED_IN,
                        "Sign in at /sign-in in a browser, then send its session cookie.",
                        headers={"WWW-Authenticate": f'Cookie realm="citizen", cookie-name="{cookie_name}"'},
                    )
                except WeakSignInError as error:
                    return problem_response(
                        SIGNED_IN_WEAKLY,
                        f"Sign in again at {SIGN_IN_PATH}?act={error.act}, then send that session's cookie.",
                        # As RFC 9470 §3 does for tokens.
                        headers={
                            "WWW-Authenticate": f'Cookie realm="citizen", cookie-name="{cookie_name}", '
                            'error="insufficient_user_authentication"'
                        },
                    )
                except InvalidError as error:
                    return problem_response(INVALID, f"{str(error).capitalize()}.")
                except tuple(_REFUSALS) as error:
                    problem, detail = next(
                        answer for kind, answer in _REFUSALS.items() if isinstance(error, kind)
                    )
                    return problem_response(problem, detail)

            return answer

    return MeRoute


def _failure_page(views: Views, error: Exception) -> Response:
    for kinds, event, status, title, words in _PAGES:
        if isinstance(error, kinds):
            if event is not None:
                event(error)
            return views.message(status, title, words or str(error))
    if isinstance(error, HTTPException):
        return views.message(error.status_code, "This could not be served", _AGAIN)
    _events.critical("unforeseen_error", exc_info=error)
    return views.message(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong on our side",
        "It was written down for the operator. Please try again later.",
    )


def _to_sign_in(views: Views, request: Request, act: Act) -> Response:
    """To the sign-in and back; after a form that was sent, by a page, since its answer may not lead there."""
    if request.method == "GET":
        return RedirectResponse(sign_in_url(_path(request), act), HTTPStatus.SEE_OTHER)
    return views.sign_in_again(sign_in_url("/", act))


def _path(request: Request) -> str:
    """Where the person was: path and query as they were sent, without the host they were sent to."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")
