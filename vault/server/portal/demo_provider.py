"""The demo's identity provider: signs anybody in as any invented person, and so exists in demo mode alone.

A small OpenID provider (Core 1.0, Discovery 1.0): the code flow with PKCE, one confidential client, Ed25519.
It keeps no session, so each sign-in asks anew who one would like to be. All workers share its keys, which are
derived from the vault's, and its codes, which are in the database.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from joserfc import jws
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import JSONResponse, RedirectResponse

from consent.oauth import jose
from consent.oauth.adapter import read_answers, read_query
from consent.oauth.errors import RequestFormError
from consent.oauth.sign_in import SCOPE, Registration
from vault.crypto.blind import DEMO_ID
from vault.crypto.derivation import expand
from vault.crypto.tickets import Ticket
from vault.errors import VaultError
from vault.server.portal.fictitious import MOST, fictitious_identity
from vault.server.portal.single_use import SingleUse
from vault.server.portal.views import Views
from vault.server.settings import Settings

PREFIX: Final = "/demo-provider"
CLAIM: Final = "id_number"
_CLIENT: Final = "creditvault"
_CODE_LIFE: Final = timedelta(seconds=60)
_TOKEN_LIFE: Final = 300
_LISTED: Final = 12
_FIRST_STRANGER: Final = 5_001
"""An invented person whom the demo enrols no record of."""
_ED25519: Final = bytes.fromhex("302e020100300506032b657004220420")
"""A private key's PKCS #8 header, after which its seed follows (RFC 8410 §7)."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TEXT: Final = re.compile(r"[\x21-\x7e]{1,512}")


class DemoOnlyError(VaultError):
    """The demo's identity provider was to be made outside demo mode, where it would let anybody be anyone."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for authentication, checked."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    acr: str

    @property
    def parameters(self) -> dict[str, str]:
        """What the page sends back with the choice, to be checked again."""
        return {
            "response_type": "code",
            "client_id": _CLIENT,
            "scope": SCOPE,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **({"acr_values": self.acr} if self.acr else {}),
        }


class DemoProvider:
    """The provider. Its one client is the vault it belongs to.

    Args:
        settings: must be those of a demo.
        engine: where its codes are.
        secret: 32 bytes that all workers have; its key and its client's secret are derived from them.
        redirect_path: where its one client is answered.

    Raises:
        DemoOnlyError: the settings are not those of a demo.
    """

    def __init__(self, settings: Settings, engine: AsyncEngine, secret: bytes, redirect_path: str) -> None:
        if not settings.demo:
            raise DemoOnlyError(
                "the demo's identity provider exists in demo mode alone: set CREDITVAULT_DEMO"
            )
        self.issuer = settings.issuer + PREFIX
        self._redirect_uri = settings.issuer + redirect_path
        self._client_secret = expand(secret, b"creditvault demo provider client v1").hex()
        self._key = OKPKey.import_key(_ED25519 + expand(secret, b"creditvault demo provider key v1"))
        self._codes = SingleUse(engine, "demo-code", _CODE_LIFE)

    def registration(self, redirect_uri: str) -> Registration:
        """What the vault is here."""
        return Registration(self.issuer, _CLIENT, self._client_secret, redirect_uri, {CLAIM: DEMO_ID})

    def metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery §3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["Ed25519"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": SCOPE.split(),
            "claims_supported": ["sub", "name", CLAIM],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        """The key that verifies its id_tokens."""
        kid = self._key.thumbprint()
        return {"keys": [self._key.as_dict(private=False, kid=kid, alg="Ed25519", use="sig")]}

    def asked(self, given: Mapping[str, str]) -> _Asked | None:
        """A request for authentication (Core §3.1.2.1); None when it is not one of our client's."""
        fixed = {
            "response_type": "code",
            "client_id": _CLIENT,
            "redirect_uri": self._redirect_uri,
            "code_challenge_method": "S256",
        }
        state, nonce, challenge = (given.get(name, "") for name in ("state", "nonce", "code_challenge"))
        if (
            any(given.get(name) != value for name, value in fixed.items())
            or "openid" not in given.get("scope", "").split()
            or not _TEXT.fullmatch(state)
            or not _TEXT.fullmatch(nonce)
            or not _CHALLENGE.fullmatch(challenge)
        ):
            return None
        # Anybody may be anyone here, as surely as one likes: the first way asked for is the one stated.
        acr = given.get("acr_values", "").partition(" ")[0]
        return _Asked(self._redirect_uri, state, nonce, challenge, acr if _TEXT.fullmatch(acr) else "")

    async def answer(self, asked: _Asked, person: int | None) -> str:
        """Where the browser is sent back to: with a code for this invented person, or without one."""
        answer = {"state": asked.state, "iss": self.issuer}
        if person is None:
            return f"{asked.redirect_uri}?{urlencode({'error': 'access_denied', **answer})}"
        code = await self._codes.keep(
            {
                "person": str(person),
                "nonce": asked.nonce,
                "challenge": asked.challenge,
                "acr": asked.acr,
            }
        )
        return f"{asked.redirect_uri}?{urlencode({'code': code.text, **answer})}"

    async def token(self, authorization: str | None, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The token endpoint: status and body (RFC 6749 §4.1.3, §5)."""
        if not self._is_client(authorization):
            return HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"}
        if form.get("grant_type") != "authorization_code":
            return HTTPStatus.BAD_REQUEST, {"error": "unsupported_grant_type"}
        # The code is used up before anything else is looked at: whoever guesses a verifier has one guess.
        kept = await self._codes.take(Ticket.read(form.get("code")))
        challenge = _challenge(form.get("code_verifier", ""))
        if (
            kept is None
            or form.get("redirect_uri") != self._redirect_uri
            or not hmac.compare_digest(challenge, kept["challenge"])
        ):
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_grant"}
        return HTTPStatus.OK, {
            # Nothing takes this token; the specification asks for one (Core §3.1.3.3).
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": _TOKEN_LIFE,
            "id_token": self._id_token(int(kept["person"]), kept["nonce"], kept["acr"]),
        }

    def _is_client(self, authorization: str | None) -> bool:
        scheme, _, encoded = (authorization or "").partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return False
        right = hmac.compare_digest(unquote_plus(password).encode(), self._client_secret.encode())
        return scheme.lower() == "basic" and unquote_plus(user) == _CLIENT and right

    def _id_token(self, person: int, nonce: str, acr: str) -> str:
        number, name = fictitious_identity(person)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": f"invented-{person}",
            "aud": _CLIENT,
            "iat": now,
            "exp": now + _TOKEN_LIFE,
            "auth_time": now,
            "nonce": nonce,
            "name": name,
            CLAIM: number,
            **({"acr": acr} if acr else {}),
        }
        header = {"alg": "Ed25519", "typ": "JWT", "kid": self._key.thumbprint()}
        return jws.serialize_compact(header, msgspec.json.encode(claims), self._key, registry=jose.REGISTRY)


def demo_provider_router(provider: DemoProvider, views: Views, route_class: type[APIRoute]) -> APIRouter:
    """The routes of the provider."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=route_class)

    @router.get("/.well-known/openid-configuration")
    async def metadata() -> Response:
        return JSONResponse(provider.metadata())

    @router.get("/jwks")
    async def jwks() -> Response:
        return JSONResponse(provider.jwks())

    @router.get("/authorize")
    async def authorize(request: Request) -> Response:
        return _people(provider, views, read_query(request))

    @router.post("/authorize")
    async def choose(request: Request) -> Response:
        answers = {name: values[0] for name, values in (await read_answers(request)).items()}
        asked = provider.asked(answers)
        if asked is None:
            return _malformed(views)
        person = None
        if "cancel" not in answers:
            person = person_of(answers.get("number", ""))
            if person is None:
                return _people(provider, views, answers, mistake=True)
        return RedirectResponse(await provider.answer(asked, person), HTTPStatus.SEE_OTHER)

    @router.post("/token")
    async def token(request: Request) -> Response:
        try:
            form = {name: values[0] for name, values in (await read_answers(request)).items()}
        except RequestFormError:
            return JSONResponse({"error": "invalid_request"}, HTTPStatus.BAD_REQUEST)
        status, body = await provider.token(request.headers.get("authorization"), form)
        return JSONResponse(body, status)

    return router


def person_of(number: str) -> int | None:
    """Which invented person has this identity number; None if nobody has."""
    compact = number.replace(" ", "").upper()
    address, sequence = compact[2:6], compact[14:17]
    if not (address + sequence).isascii() or not address.isdigit() or not sequence.isdigit():
        return None
    person = int(address) * 999 + int(sequence)
    return person if 1 <= person <= MOST and fictitious_identity(person)[0] == compact else None


def _people(
    provider: DemoProvider, views: Views, given: Mapping[str, str], *, mistake: bool = False
) -> Response:
    """The page on which one chooses whom to be."""
    asked = provider.asked(given)
    if asked is None:
        return _malformed(views)
    return views.page(
        "demo_provider.html",
        status=HTTPStatus.BAD_REQUEST if mistake else HTTPStatus.OK,
        action=f"{PREFIX}/authorize",
        parameters=asked.parameters,
        people=[fictitious_identity(person) for person in range(1, _LISTED + 1)],
        stranger=fictitious_identity(_FIRST_STRANGER),
        mistake=mistake,
    )


def _malformed(views: Views) -> Response:
    return views.message(
        HTTPStatus.BAD_REQUEST, "This is no sign-in", "Begin again from the page you want to sign in to."
    )


def _challenge(verifier: str) -> str:
    """What the verifier answers (RFC 7636 §4.6)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
