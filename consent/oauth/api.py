"""The routes of the authorization server.

Errors become HTTP here and in `adapter.py`. A client always gets OAuth's own JSON (RFC 6749 §5.2).
"""

from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import APIRouter
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from access_log.log import Log
from consent.facts import CatalogueFacts
from consent.oauth import metadata
from consent.oauth.adapter import (
    Answer,
    Form,
    RefusedError,
    answer_error,
    answer_form_error,
    read_form,
    to_response,
)
from consent.oauth.authorize import AuthorizationPages
from consent.oauth.citizens import Citizens, ConsentPage, SubjectHasher
from consent.oauth.client_keys import ClientKeys
from consent.oauth.endpoints import ClientEndpoints
from consent.oauth.errors import RequestFormError
from consent.oauth.failures import FailedAuthentications
from consent.oauth.jwks_uri import PublishedKeys
from consent.oauth.profile import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    PAR_PATH,
    RESOURCE_METADATA_PATH,
    RESOURCE_PATH,
    REVOKE_PATH,
    SERVER_METADATA_PATH,
    TOKEN_PATH,
    Profile,
)
from consent.record import Keeper

_DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)
_CACHED = {"Cache-Control": "public, max-age=300"}


def oauth_router(
    profile: Profile,
    engine: AsyncEngine,
    log: Log,
    *,
    catalogue: CatalogueFacts,
    hasher: SubjectHasher,
    citizens: Citizens,
    page: ConsentPage,
    keeper: Keeper,
    published: PublishedKeys,
) -> APIRouter:
    """The authorization server.

    Args:
        profile: whose server it is, and its keys.
        engine: the application role's database.
        log: consents are written through it.
        catalogue: which fields are open to which kind of body.
        hasher: makes the keyed hash of a person's identifier.
        citizens: sign-in of people.
        page: renders the consent page.
        keeper: stated in each consent record; signs the person's copy.
        published: where keys of bodies are looked for.
    """
    router = APIRouter(tags=["OAuth"])
    clients = ClientEndpoints(
        profile,
        engine,
        catalogue,
        hasher,
        keys=ClientKeys(log, published),
        failures=FailedAuthentications(engine, profile.clock),
    )
    people = AuthorizationPages(
        profile, engine, log, catalogue=catalogue, citizens=citizens, page=page, keeper=keeper
    )
    for path, summary, work in (
        (PAR_PATH, "Push an authorization request (RFC 9126)", clients.push),
        (TOKEN_PATH, "Obtain an access token (RFC 6749, 9449, 9396)", clients.token),
        (REVOKE_PATH, "Revoke an access token (RFC 7009)", clients.revoke),
        (INTROSPECT_PATH, "Ask about an access token (RFC 7662)", clients.introspect),
    ):
        router.add_api_route(
            path, _for_clients(profile, work), methods=["POST"], summary=summary, response_class=JSONResponse
        )
    router.add_api_route(
        AUTHORIZE_PATH, people.show, methods=["GET"], summary="The consent page", response_class=Response
    )
    router.add_api_route(
        AUTHORIZE_PATH, people.decide, methods=["POST"], summary="Grant or refuse", response_class=Response
    )
    server_document = partial(metadata.server_metadata, profile)
    resource_document = partial(metadata.resource_metadata, profile)
    for path, summary, document in (
        # Made for each request: the keys change while the server runs.
        (JWKS_PATH, "Keys that sign access tokens (RFC 7517)", profile.keys.jwks),
        (SERVER_METADATA_PATH, "The authorization server (RFC 8414)", server_document),
        (RESOURCE_METADATA_PATH, "The protected resource (RFC 9728)", resource_document),
        (RESOURCE_METADATA_PATH + RESOURCE_PATH, "The protected resource (RFC 9728)", resource_document),
    ):
        router.add_api_route(
            path, _document(document), methods=["GET"], summary=summary, response_class=JSONResponse
        )
    return router


def _for_clients(
    profile: Profile, work: Callable[[Form], Awaitable[Answer]]
) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        try:
            answer = await work(await read_form(request))
        except RequestFormError as error:
            answer = answer_form_error(error)
        except _DATABASE_DOWN:
            answer = answer_error(RefusedError("temporarily_unavailable"), profile.issuer)
            answer.headers["Retry-After"] = "5"
        return to_response(answer)

    return route


def _document(document: Callable[[], dict[str, object]]) -> Callable[[], Awaitable[Response]]:
    async def route() -> Response:
        return JSONResponse(document(), headers=_CACHED)

    return route
