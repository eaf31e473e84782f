"""The citizen's side, put together: what the application plugs in."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fastapi import APIRouter

from vault.records.keys import TOKEN_SIGNING
from vault.server.assembly import Vault
from vault.server.portal.api import me_router
from vault.server.portal.assurance import Assurance
from vault.server.portal.citizens import SessionCitizens
from vault.server.portal.consent_page import NOTICE_PATH, PlainConsentPage
from vault.server.portal.cookies import TicketCookie
from vault.server.portal.demo_provider import DemoProvider, demo_provider_router
from vault.server.portal.mandate_pages import mandates_router
from vault.server.portal.own import Own
from vault.server.portal.pages import pages_router
from vault.server.portal.routes import me_route, page_route
from vault.server.portal.sessions import Life, Sessions
from vault.server.portal.sign_in import CALLBACK_PATH, SignIn, sign_in_router
from vault.server.portal.single_use import SingleUse
from vault.server.portal.views import ICON_PATH, STYLE_PATH, Views
from vault.server.portal.words import Words

COOKIE: Final = "creditvault"
_SIGN_IN_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Portal:
    """The citizen's side of one vault.

    Attributes:
        citizens: sign-in, for the authorization server.
        page: the consent page, for the same.
        routers: pages, `/v1/me`, and in demo mode the identity provider; each for itself, since FastAPI
            works a route out anew at each level of nesting.
    """

    citizens: SessionCitizens
    page: PlainConsentPage
    routers: tuple[APIRouter, ...]


def open_portal(vault: Vault) -> Portal:
    """Builds the citizen's side.

    Raises:
        SignInSettingsError, ConfigurationError: the settings of the sign-in do not suffice.
    """
    settings = vault.settings
    views = Views(settings, vault.catalogue)
    fresh = timedelta(seconds=settings.sign_in_fresh_seconds)
    assurance = Assurance.read(settings.sign_in_acr, fresh)
    life = Life(timedelta(minutes=settings.session_idle_minutes), timedelta(minutes=settings.session_minutes))
    sessions = Sessions(vault.engine, vault.keys, TicketCookie.of(COOKIE, settings.issuer), life, assurance)
    citizens = SessionCitizens(sessions, vault.identities)
    page = PlainConsentPage(views, settings)
    as_page = page_route(views)
    demo = (
        DemoProvider(settings, vault.engine, vault.keys.system(TOKEN_SIGNING), CALLBACK_PATH)
        if settings.demo and settings.sign_in_issuer is None
        else None
    )
    sign_in = SignIn(
        settings,
        demo,
        sessions=sessions,
        keys=vault.keys,
        attempts=SingleUse(vault.engine, "sign-in", _SIGN_IN_LIFE),
        schemes=vault.schemes,
        assurance=assurance,
    )
    own = Own(vault)
    routers = [
        pages_router(own, sessions, views, vault.log, as_page),
        mandates_router(own, sessions, views, as_page),
        sign_in_router(sign_in, sessions, views, as_page),
        me_router(own, sessions, Words(vault.catalogue), me_route(sessions)),
        _documents_router(page, views),
    ]
    if demo is not None:
        routers.append(demo_provider_router(demo, views, as_page))
    return Portal(citizens, page, tuple(routers))


def _documents_router(page: PlainConsentPage, views: Views) -> APIRouter:
    router = APIRouter()
    for path, document in ((NOTICE_PATH, page.document), (STYLE_PATH, views.asset), (ICON_PATH, views.asset)):
        router.add_api_route(path, document, include_in_schema=False)
    return router
