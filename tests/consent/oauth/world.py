"""A small world around the authorization server: bodies with keys, people with sessions, a page of data."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import UUID, uuid4

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as PageResponse

from access_log.log import Log, StreamKind, Writing
from consent.oauth.api import oauth_router
from consent.oauth.citizens import ConsentView, ShownNotice, SignedIn
from consent.oauth.dpop import NonceKey, Nonces
from consent.oauth.errors import AccessError, SubjectError
from consent.oauth.jwks_uri import PublishedKeys
from consent.oauth.profile import Profile
from consent.oauth.tokens import IssuerKeys
from consent.permit import Person
from consent.record import Notice
from tests.consent.examples import CATALOGUE
from tests.consent.registers import KEEPER, KEY
from vault.api import verify

ISSUER = "https://vault.example"
AUDIENCE = ISSUER + "/v1"
CALLBACK = "https://bank.example/callback"
VERIFIER = "v" * 43
CHALLENGE = create_s256_code_challenge(VERIFIER)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER_KEYS = IssuerKeys.from_seeds([bytes(32)])
ISSUER_KEY = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(bytes(32)))
SUBJECT = {"scheme": "demo-id", "number": "999999190001010015"}
INSPECTION = {"type": "inspection", "officer": str(UUID(int=7)), "case_reference": "2026-7"}
Key = RSAKey | ECKey | OKPKey

RSA_KEY = RSAKey.generate_key(2048)
EC_KEY = ECKey.generate_key("P-256")
_ALGORITHM = {"RSA": "PS256", "EC": "ES256", "OKP": "Ed25519"}


class Clock:
    """The real time, moved by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def sign(
    key: Key, header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, algorithm: str | None = None
) -> str:
    """A compact JWS with exactly this header and payload."""
    algorithm = algorithm or _ALGORITHM[key.key_type]
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signing_input = ".".join(
        encoded(part) for part in (json.dumps({"alg": algorithm, **header}).encode(), payload)
    )
    # The algorithm alone: joserfc would not sign what a test wants to be refused.
    signature = JWSRegistry.algorithms[algorithm].sign(signing_input.encode(), key)
    return f"{signing_input}.{encoded(signature)}"


def encoded(part: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def proof(
    key: Key,
    path: str,
    *,
    method: str = "POST",
    token: str | None = None,
    header: Mapping[str, Any] | None = None,
    algorithm: str | None = None,
    now: float | None = None,
    **claims: Any,
) -> str:
    """A DPoP proof; `claims` override, None removes."""
    values: dict[str, Any] = {
        "jti": str(uuid4()),
        "htm": method,
        "htu": ISSUER + path,
        "iat": int(now or time.time()),
    }
    if token is not None:
        values["ath"] = encoded(hashlib.sha256(token.encode()).digest())
    values = {name: value for name, value in (values | claims).items() if value is not None}
    jose_header = {"typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | dict(header or {})
    return sign(key, jose_header, values, algorithm)


@dataclass
class Client:
    """A body's own software: its registered key, its DPoP key, and how it speaks."""

    http: AsyncClient
    body_id: UUID
    key: Key = field(default_factory=lambda: KEY)
    kid: str | None = "one"
    dpop_key: Key = field(default_factory=lambda: ECKey.generate_key("P-256"))

    @property
    def client_id(self) -> str:
        return str(self.body_id)

    def assertion(
        self, *, header: Mapping[str, Any] | None = None, algorithm: str | None = None, **claims: Any
    ) -> str:
        """A client assertion; `claims` override, None removes."""
        now = int(time.time())
        values = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid4()),
        } | claims
        kid = {} if self.kid is None else {"kid": self.kid}
        return sign(
            self.key,
            kid | dict(header or {}),
            {name: value for name, value in values.items() if value is not None},
            algorithm,
        )

    def authenticated(self, assertion: str | None = None, **parameters: Any) -> dict[str, str]:
        """Parameters of a form, with an assertion; None leaves one out."""
        form = {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
        } | parameters
        return {name: value for name, value in form.items() if value is not None}

    async def post(self, path: str, form: Mapping[str, str], *, dpop: str | None = None) -> Response:
        headers = {} if dpop is None else {"DPoP": dpop}
        return await self.http.post(path, data=dict(form), headers=headers)

    async def push(
        self, *, dpop: str | None = None, assertion: str | None = None, **changes: Any
    ) -> Response:
        """Pushes a consented query; `changes` override parameters, None removes."""
        form = self.authenticated(
            assertion,
            **{
                "response_type": "code",
                "redirect_uri": CALLBACK,
                "state": "a state",
                "code_challenge": CHALLENGE,
                "code_challenge_method": "S256",
                "dpop_jkt": self.dpop_key.thumbprint(),
                "authorization_details": json.dumps([consented()]),
            }
            | changes,
        )
        return await self.post("/oauth/par", form, dpop=dpop)

    async def request_uri(self, **changes: Any) -> str:
        response = await self.push(**changes)
        assert response.status_code == 201, response.text
        return str(response.json()["request_uri"])

    async def token(
        self, *, dpop: str | None = None, assertion: str | None = None, **parameters: Any
    ) -> Response:
        dpop = dpop or proof(self.dpop_key, "/oauth/token")
        return await self.post("/oauth/token", self.authenticated(assertion, **parameters), dpop=dpop)

    async def own_token(self, details: Mapping[str, Any], **parameters: Any) -> Response:
        """Client credentials."""
        return await self.token(
            grant_type="client_credentials", authorization_details=json.dumps([details]), **parameters
        )

    async def exchange(self, code: str, **parameters: Any) -> Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        return await self.token(**(form | parameters))

    async def use(self, token: str, *, dpop: str | None = None, scheme: str = "DPoP") -> Response:
        """Asks the protected resource."""
        headers = {
            "Authorization": f"{scheme} {token}",
            "DPoP": dpop or proof(self.dpop_key, "/v1/queries", token=token),
        }
        return await self.http.post("/v1/queries", headers=headers)


@dataclass
class Browser:
    """A person's browser: one session."""

    http: AsyncClient
    name: str = "citizen"

    @property
    def cookies(self) -> dict[str, str]:
        return {"Cookie": f"person={self.name}"}

    async def open(self, client: Client, request_uri: str, **more: str) -> Response:
        parameters = {"client_id": client.client_id, "request_uri": request_uri} | more
        return await self.http.get("/oauth/authorize", params=parameters, headers=self.cookies)

    async def send(self, page: Mapping[str, Any], **changes: Any) -> Response:
        """Sends the page's form: everything granted as asked, unless changed."""
        form = {
            "client_id": page["client_id"],
            "request_uri": page["request_uri"],
            "csrf": page["csrf"],
            "decision": "grant",
            "fields": list(page["fields"]),
            "validity": str(page["validity"]),
        } | changes
        form = {name: value for name, value in form.items() if value is not None}
        return await self.http.post("/oauth/authorize", data=form, headers=self.cookies)

    async def grant(self, client: Client, request_uri: str, **changes: Any) -> str:
        """Opens the page and grants; returns the code."""
        page = await self.open(client, request_uri)
        assert page.status_code == 200, page.text
        response = await self.send(page.json(), **changes)
        assert response.status_code == 303, response.text
        return answered(response)["code"]


class People:
    """Sign-in by a cookie that says who it is; the person is made when first needed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, Person] = {}
        self.csrf = secrets.token_urlsafe()

    async def signed_in(self, request: Request) -> SignedIn | None:
        name = request.cookies.get("person")
        return None if name is None else SignedIn(None, self.csrf, name)

    def may_grant(self, signed_in: SignedIn) -> bool:
        return not signed_in.display_name.startswith("weak ")

    def sign_in_url(self, return_to: str) -> str:
        return "/sign-in?" + "&".join([f"return_to={base64.urlsafe_b64encode(return_to.encode()).decode()}"])

    async def person(self, writing: Writing, signed_in: SignedIn) -> Person:
        name = signed_in.display_name
        one = self._known.setdefault(name, Person(uuid4(), uuid4().bytes))
        # Each time: a transaction that failed took the stream back.
        await self._log.open_streams(writing.connection, StreamKind.PERSON, [one.stream_id])
        return one


class DataPage:
    """Renders the view as JSON, so that a test reads what a person would."""

    def ask(self, request: Request, view: ConsentView) -> PageResponse:
        frequency = (
            None if view.frequency is None else {"times": view.frequency.times, "days": view.frequency.days}
        )
        shown = {name: getattr(view, name) for name in view.__slots__} | {
            "body": asdict(view.body),
            "frequency": frequency,
            "data_from": view.data_from and view.data_from.isoformat(),
            "data_until": view.data_until and view.data_until.isoformat(),
        }
        return JSONResponse(shown)

    def notice(self, request: Request) -> ShownNotice:
        return ShownNotice(Notice(ISSUER + "/notice", "1", bytes(32)), "zh-CN")

    def sign_in(self, request: Request, url: str) -> PageResponse:
        return PlainTextResponse(url, 403)

    def failed(self, request: Request, reason: str) -> PageResponse:
        return PlainTextResponse(reason, 400)


class Hasher:
    """The keyed hash, with the demo's scheme alone."""

    async def subject_hash(self, scheme: str, number: str) -> str:
        if scheme != "demo-id" or not number.isdigit():
            raise SubjectError("not well formed")
        return hmac.digest(b"key", f"{scheme}\0{number}".encode(), "sha256").hex()


@dataclass
class World:
    """One server with everything around it."""

    log: Log
    profile: Profile
    clock: Clock
    app: FastAPI
    http: AsyncClient

    def client(self, body_id: UUID, **changes: Any) -> Client:
        return Client(self.http, body_id, **changes)

    def browser(self, name: str = "citizen") -> Browser:
        return Browser(self.http, name)


def build(
    log: Log,
    *,
    nonces: bool = False,
    issuer: str = ISSUER,
    published: PublishedKeys | None = None,
) -> World:
    """The authorization server and one protected route, in process."""
    clock = Clock()
    # Its own: a test may change them.
    profile = Profile(
        issuer,
        IssuerKeys.from_seeds([bytes(32)]),
        Nonces(lambda: [NonceKey(bytes(32))]) if nonces else None,
        clock,
    )
    app = FastAPI()
    app.include_router(
        oauth_router(
            profile,
            log.engine,
            log,
            catalogue=CATALOGUE,
            hasher=Hasher(),
            citizens=People(log),
            page=DataPage(),
            keeper=KEEPER,
            published=published or PublishedKeys(loopback=False),
        )
    )
    protection = profile.protection()

    @app.post("/v1/queries")
    async def query(request: Request) -> PageResponse:
        try:
            presented = verify(protection, request)
        except AccessError as error:
            return JSONResponse({}, 401, protection.challenge(error))
        return JSONResponse({"sub": presented.sub}, headers=protection.fresh_nonce())

    http = AsyncClient(transport=ASGITransport(app), base_url=issuer)
    return World(log, profile, clock, app, http)


def consented(**changes: Any) -> dict[str, Any]:
    """A consented query; `changes` override, None removes."""
    details: dict[str, Any] = {
        "type": "consented_query",
        "purpose": "credit-granting",
        "fields": ["FIN.type", "FIN.status"],
        "mode": "view",
        "validity": 30,
        "max_uses": 3,
    } | changes
    return {name: value for name, value in details.items() if value is not None}


def statutory(authorization: UUID, officer: UUID, /, **changes: Any) -> dict[str, Any]:
    """A statutory query; `changes` override, None removes."""
    details: dict[str, Any] = {
        "type": "statutory_query",
        "authorization": str(authorization),
        "purpose": "court-enforcement",
        "case_reference": "(2026)沪0115执123号",
        "officer": str(officer),
        "subject": SUBJECT,
        "fields": ["FIN.type"],
        "actions": ["read"],
    } | changes
    return {name: value for name, value in details.items() if value is not None}


def answered(response: Response) -> dict[str, str]:
    """The parameters of a redirect, each at most once."""
    query = urlsplit(response.headers["location"]).query
    assert all(len(values) == 1 for values in parse_qs(query).values())
    return dict(parse_qsl(query))


def content(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of an access token, verified."""
    (kid,) = ISSUER_KEYS.public
    read = jwt.decode(token, ISSUER_KEYS.public[kid], algorithms=["Ed25519"])
    return read.header, read.claims


def refused(response: Response, code: str) -> None:
    """Asserts an OAuth error of this code that never repeats what was sent."""
    assert response.status_code == 400, response.text
    assert response.json()["error"] == code, response.text
    assert set(response.json()) == {"error", "error_description"}
    assert response.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in response.headers
