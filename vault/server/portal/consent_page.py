"""The page on which a person grants, narrows or refuses, and the privacy notice that stands on it."""

import hashlib
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from consent.oauth.citizens import ConsentView, ShownNotice
from consent.record import Notice
from vault.server.portal.views import LANGUAGE, Views, headers
from vault.server.settings import Settings

NOTICE_PATH: Final = "/privacy/notice"
NOTICE_VERSION: Final = "1"
UNFREEZE_PATH: Final = "/consents/unfreeze"


class PlainConsentPage:
    """The pages of the authorization endpoint.

    Args:
        views: renders.
        settings: this vault's address, and who runs it.
    """

    def __init__(self, views: Views, settings: Settings) -> None:
        self._views = views
        # Rendered once: what is hashed into the consent record is to the byte what is served.
        self._notice = views.text("notice.html", version=NOTICE_VERSION).encode()
        self._shown = ShownNotice(
            Notice(f"{settings.issuer}{NOTICE_PATH}", NOTICE_VERSION, hashlib.sha256(self._notice).digest()),
            LANGUAGE,
        )

    def ask(self, request: Request, view: ConsentView) -> Response:  # noqa: ARG002 -- the language will depend on it
        """The page on which the person grants, narrows or refuses."""
        return self._views.page(
            "consent.html",
            status=HTTPStatus.OK if view.mistake is None else HTTPStatus.BAD_REQUEST,
            form_target=view.redirect_origin,
            view=view,
            notice=NOTICE_PATH,
            unfreeze=UNFREEZE_PATH,
            version=NOTICE_VERSION,
        )

    def notice(self, request: Request) -> ShownNotice:  # noqa: ARG002 -- the same
        """The notice the page shows this person; it goes into the consent record."""
        return self._shown

    def sign_in(self, request: Request, url: str) -> Response:  # noqa: ARG002 -- the same
        """The page that leads to the sign-in, for whoever sent a form without having signed in so."""
        return self._views.sign_in_again(url)

    def failed(self, request: Request, reason: str) -> Response:  # noqa: ARG002 -- the same
        """The page for a request that cannot be answered; `reason` is a fixed sentence for the person."""
        return self._views.message(HTTPStatus.BAD_REQUEST, "This request cannot be answered", reason)

    async def document(self) -> Response:
        """The notice itself."""
        return HTMLResponse(self._notice, headers=headers())
