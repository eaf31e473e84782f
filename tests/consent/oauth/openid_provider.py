"""An OpenID provider that answers as a test tells it to: rightly, or wrongly in one place at a time."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.loopback import bound, serving

CLIENT = "vault client"
SECRET = "s3cret:with+signs"
REDIRECT_URI = "http://127.0.0.1:1/sign-in/callback"
_EVERY = JWSRegistry(algorithms=["ES256", "PS256", "Ed25519", "RS256", "HS256"])


@dataclass
class Provider:
    """One provider.

    Attributes:
        key: signs its id_tokens.
        published: what its JWKS holds; None: its key.
        metadata: replaces members of its metadata.
        claims: replaces claims of its id_tokens; None takes one away.
        header: replaces members of their headers.
        token_status: of the token endpoint.
        answer: replaces what the token endpoint answers.
        requests: forms that came to the token endpoint, with the Authorization header.
    """

    issuer: str
    key: Any = field(default_factory=lambda: ECKey.generate_key("P-256"))
    published: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    answer: Any = None
    nonce: str = ""
    requests: list[tuple[dict[str, str], str | None]] = field(default_factory=list)
    metadata_read: int = 0

    def id_token(self) -> str:
        """A signed id_token, as the test wants it."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "someone",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "name": "Ada Example",
            "id_number": "999999190001010015",
        } | self.claims
        kept = {name: value for name, value in claims.items() if value is not None}
        algorithm = {"RSA": "PS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[self.key.key_type]
        header = {"alg": algorithm, "kid": self.key.thumbprint()} | self.header
        return jws.serialize_compact(header, json.dumps(kept), self.key, registry=_EVERY)

    async def configuration(self, _request: Request) -> Response:
        """Discovery."""
        self.metadata_read += 1
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
            }
            | self.metadata
        )

    async def jwks(self, _request: Request) -> Response:
        """Its keys."""
        published = self.published
        if published is None:
            published = [self.key.as_dict(private=False, kid=self.key.thumbprint())]
        return JSONResponse({"keys": published})

    async def token(self, request: Request) -> Response:
        """The token endpoint."""
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.requests.append((form, request.headers.get("authorization")))
        answer = {"access_token": "a", "token_type": "Bearer", "id_token": self.id_token()}
        return JSONResponse(answer if self.answer is None else self.answer, self.token_status)


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """A provider on a loopback port."""
    port, url = bound()
    provider = Provider(url)
    app = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", provider.configuration),
            Route("/jwks", provider.jwks),
            Route("/token", provider.token, methods=["POST"]),
        ]
    )
    async with serving(app, port):
        yield provider
