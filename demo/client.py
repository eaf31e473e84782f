"""An example client of a body: what a bank's or a court's developer needs to talk to a vault.

FAPI 2.0 with public libraries: private_key_jwt, PAR, PKCE and DPoP, signed with Ed25519.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
from joserfc import jws
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

_REGISTRY = JWSRegistry(algorithms=["Ed25519"])
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def new_key() -> OKPKey:
    """A new Ed25519 key, to be registered by its public half."""
    key = OKPKey.generate_key("Ed25519")
    return OKPKey.import_key(
        {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": "Ed25519", "use": "sig"}
    )


def public_jwks(key: OKPKey) -> dict[str, Any]:
    """What a registrar is given."""
    return {"keys": [key.as_dict(private=False)]}


class OAuthError(Exception):
    """The authorization server answered with an error; its text is the error code."""


@dataclass(frozen=True)
class Pushed:
    """A pushed authorization request: where to send the person, and what to keep until they return."""

    url: str
    state: str
    verifier: str


class BodyClient:
    """One body's client.

    Args:
        http: a client whose base URL is the vault's issuer.
        issuer: the vault's base URL.
        client_id: the body's id.
        key: the body's registered private key.
    """

    def __init__(self, http: httpx.AsyncClient, issuer: str, client_id: UUID, key: OKPKey) -> None:
        self._http = http
        self._issuer = issuer
        self._client_id = str(client_id)
        self._key = key
        self._proof_key = OKPKey.generate_key("Ed25519")
        self._proof_header = {
            "typ": "dpop+jwt",
            "alg": "Ed25519",
            "jwk": self._proof_key.as_dict(private=False),
        }

    async def statutory_token(self, details: dict[str, Any]) -> str:
        """A token by client credentials, for one `authorization_details` object (RFC 9396)."""
        return await self._token(
            {"grant_type": "client_credentials", "authorization_details": json.dumps([details])}
        )

    async def push(self, details: dict[str, Any], redirect_uri: str) -> Pushed:
        """Pushes a request for a person's consent (RFC 9126)."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        answer = await self._post(
            "/oauth/par",
            {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": redirect_uri,
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "authorization_details": json.dumps([details]),
            },
        )
        query = urlencode({"client_id": self._client_id, "request_uri": answer["request_uri"]})
        return Pushed(f"{self._issuer}/oauth/authorize?{query}", state, verifier)

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Exchanges the code the person brought back for a token."""
        return await self._token(
            {
                "grant_type": "authorization_code",
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_uri,
            }
        )

    async def query(
        self,
        token: str,
        body: dict[str, Any],
        *,
        idempotency_key: str | None = None,
        proof: str | None = None,
    ) -> httpx.Response:
        """Asks for one person's fields; a fresh proof is made unless one is given."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return await self._http.post(
            "/v1/queries", json=body, headers={**headers, **self.credentials("/v1/queries", token, proof)}
        )

    async def submit(self, token: str, ndjson: bytes, *, whole: bool = False) -> httpx.Response:
        """Hands in a batch of records, row by row or whole."""
        return await self._http.post(
            "/v1/records",
            params={"all_or_nothing": "true"} if whole else {},
            content=ndjson,
            headers={"Content-Type": "application/x-ndjson", **self.credentials("/v1/records", token)},
        )

    def credentials(self, path: str, token: str, proof: str | None = None) -> dict[str, str]:
        """The headers of one request to a protected route."""
        return {
            "Authorization": f"DPoP {token}",
            "DPoP": proof or self.proof("POST", path, token),
        }

    def proof(self, method: str, path: str, token: str | None = None) -> str:
        """A DPoP proof for one request (RFC 9449 §4.2)."""
        claims: dict[str, Any] = {
            "jti": str(uuid4()),
            "htm": method,
            "htu": self._issuer + path,
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        return jws.serialize_compact(
            dict(self._proof_header), json.dumps(claims), self._proof_key, registry=_REGISTRY
        )

    def assertion(self) -> str:
        """A client assertion (RFC 7523 §3); `aud` is the issuer, as a string."""
        now = int(time.time())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 60,
        }
        header = {"alg": "Ed25519", "kid": self._key.kid}
        return jws.serialize_compact(header, json.dumps(claims), self._key, registry=_REGISTRY)

    async def _token(self, form: dict[str, str]) -> str:
        answer = await self._post("/oauth/token", form)
        return str(answer["access_token"])

    async def _post(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        response = await self._http.post(
            path,
            data={**form, "client_assertion_type": _ASSERTION, "client_assertion": self.assertion()},
            headers={"DPoP": self.proof("POST", path)},
        )
        answer: dict[str, Any] = response.json()
        if response.is_error:
            raise OAuthError(answer.get("error", "unknown"))
        return answer
