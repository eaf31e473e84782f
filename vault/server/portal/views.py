"""Pages: templates, the headers that fence them in, stylesheet and icon. No script runs on any of them."""

import hashlib
import re
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from vault.catalogue import Catalogue
from vault.server.portal.words import Words
from vault.server.settings import Settings

_HERE: Final = Path(__file__).parent
LANGUAGE: Final = "en"
STYLE_PATH: Final = "/assets/portal.css"
ICON_PATH: Final = "/assets/icon.svg"
_ASSETS: Final = {STYLE_PATH: "text/css", ICON_PATH: "image/svg+xml"}
# What a registered redirect URI may begin with; anything else would be words of its own in the policy below.
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_SHORT: Final = "public, max-age=300"
_HEADERS: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "X-Frame-Options": "DENY",
}


class Views:
    """Renders pages.

    Args:
        settings: who runs this vault.
        catalogue: titles, and the time zone moments are shown in.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._assets = {path: (_HERE / path.removeprefix("/")).read_bytes() for path in _ASSETS}
        self._zone = catalogue.timezone
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["moment"] = lambda value: _moment(value, self._zone)
        self._templates.filters["day"] = lambda value: f"{value.day} {value:%B %Y}"
        self._templates.globals.update(
            language=LANGUAGE,
            words=Words(catalogue),
            operator=settings,
            zone=self._zone.key,
            style=self._address(STYLE_PATH),
            icon=self._address(ICON_PATH),
            session=None,
            section=None,
        )

    def text(self, template: str, **values: Any) -> str:  # noqa: ANN401 -- what a template is given
        """One template, filled in; every value is escaped."""
        return self._templates.get_template(template).render(**values)

    def page(
        self,
        template: str,
        *,
        status: int = HTTPStatus.OK,
        form_target: str | None = None,
        **values: Any,  # noqa: ANN401 -- the same
    ) -> Response:
        """One template as a page.

        Args:
            template: its file.
            status: HTTP status.
            form_target: another origin that a form of this page may lead to.
            values: what the template is given.
        """
        return HTMLResponse(self.text(template, **values), status, headers(form_target))

    def message(self, status: int, title: str, text: str) -> Response:
        """A page that says one thing."""
        return self.page("message.html", status=status, title=title, text=text)

    def sign_in_again(self, url: str) -> Response:
        """A page with the way to the sign-in.

        What answers a form cannot send a browser there itself: `form-action` lets nobody be led from a form
        to another site, and the identity provider is one.
        """
        return self.page("sign_in_again.html", status=HTTPStatus.FORBIDDEN, url=url)

    async def asset(self, request: Request) -> Response:
        """The stylesheet or the icon. An address with a version stands for one content, for ever."""
        path = request.scope["path"]
        cached = _IMMUTABLE if "v" in request.query_params else _SHORT
        return Response(self._assets[path], media_type=_ASSETS[path], headers={"Cache-Control": cached})

    def _address(self, path: str) -> str:
        return f"{path}?v={hashlib.sha256(self._assets[path]).hexdigest()[:12]}"


def headers(form_target: str | None = None) -> dict[str, str]:
    """What a browser is told to refuse on our pages: scripts, frames, everything of other origins."""
    targets = "'self'"
    if form_target is not None and _ORIGIN.fullmatch(form_target):
        targets += f" {form_target}"
    policy = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return {**_HEADERS, "Content-Security-Policy": policy}


def _moment(value: datetime, zone: ZoneInfo) -> str:
    local = value.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M}"
