"""Pushed authorization requests (RFC 9126): what is asked reaches us from the client, not through a browser.

The `request_uri` is 256 random bits, waits five minutes, and is used up by the person's decision: the
statement that reads it for the decision deletes it. A request that was refused leaves no trace.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import Endpoint, EndpointRequest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.oauth.adapter import FormRequest, RefusedError
from consent.oauth.metadata import AUTHENTICATION
from consent.oauth.profile import REQUEST_LIFE
from consent.oauth.tables import pushed_request

if TYPE_CHECKING:
    from consent.oauth.server import Server

URN: Final = "urn:ietf:params:oauth:request_uri:"
_PARAMETERS: Final = (
    "client_id",
    "response_type",
    "response_mode",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "authorization_details",
)
_THUMBPRINT_LENGTH: Final = 43


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """A pushed request that waits for the person.

    Attributes:
        parameters: of the authorization request, as validated when it was pushed.
        dpop_jkt: thumbprint of the key the code will be bound to.
    """

    parameters: Mapping[str, str]
    dpop_jkt: str


@dataclass
class _Validated(EndpointRequest):  # type: ignore[misc]  # Authlib carries no types
    dpop_jkt: str = ""


class PushedRequestEndpoint(Endpoint):  # type: ignore[misc]  # Authlib carries no types
    """The endpoint, in Authlib's form."""

    ENDPOINT_NAME = "pushed_authorization_request"
    server: "Server"

    def validate_request(self, request: FormRequest) -> _Validated:
        """Authenticates the client and checks everything the code flow will check again.

        Raises:
            OAuth2Error: as JSON for the client; a browser is not there to be redirected (RFC 9126 §2.3).
        """
        client = self.server.authenticate_client(request, [AUTHENTICATION], self.ENDPOINT_NAME)
        if not {"request", "request_uri"}.isdisjoint(request.form):
            raise RefusedError("invalid_request", "Push the parameters themselves.")
        try:
            dpop_jkt = _binding(request)
            self.server.get_authorization_grant(request).validate_consent_request()
        except OAuth2Error as error:
            error.redirect_uri = None
            raise
        return _Validated(request, client, dpop_jkt)

    def create_response(self, validated_request: _Validated) -> tuple[int, dict[str, Any], list[Any]]:
        """Stores the request and names it (RFC 9126 §2.2)."""
        request_uri = URN + secrets.token_urlsafe(32)
        form = validated_request.request.form
        self.server.connection.execute(
            pushed_request.insert(),
            {
                "request_hash": _hash(request_uri),
                "body_id": validated_request.client.body_id,
                "parameters": {name: form[name] for name in _PARAMETERS if name in form},
                "dpop_jkt": validated_request.dpop_jkt,
                "expires_at": datetime.fromtimestamp(self.server.now, UTC) + timedelta(seconds=REQUEST_LIFE),
            },
        )
        return 201, {"request_uri": request_uri, "expires_in": REQUEST_LIFE}, []


async def find_request(
    connection: AsyncConnection, body_id: UUID, request_uri: str, now: datetime
) -> PushedRequest | None:
    """The client's request, while it waits."""
    row = await connection.execute(
        select(pushed_request.c.parameters, pushed_request.c.dpop_jkt).where(*_is(body_id, request_uri, now))
    )
    found = row.one_or_none()
    return None if found is None else PushedRequest(*found)


async def use_request(
    connection: AsyncConnection, body_id: UUID, request_uri: str, now: datetime
) -> PushedRequest | None:
    """The same, used up: of any number of parallel uses one finds it."""
    row = await connection.execute(
        delete(pushed_request)
        .where(*_is(body_id, request_uri, now))
        .returning(pushed_request.c.parameters, pushed_request.c.dpop_jkt)
    )
    found = row.one_or_none()
    return None if found is None else PushedRequest(*found)


def _is(body_id: UUID, request_uri: str, now: datetime) -> tuple[Any, ...]:
    return (
        pushed_request.c.request_hash == _hash(request_uri),
        pushed_request.c.body_id == body_id,
        pushed_request.c.expires_at > now,
    )


def _binding(request: FormRequest) -> str:
    """The key the code will be bound to: by proof or by name, and if by both, the same (RFC 9449 §10.1)."""
    named = request.form.get("dpop_jkt")
    proven = None if request.proof is None else request.proof.jkt
    if named is not None and proven not in (None, named):
        raise RefusedError("invalid_request", "dpop_jkt and the DPoP proof name two keys.")
    jkt = proven or named
    if jkt is None or len(jkt) != _THUMBPRINT_LENGTH or not jkt.isascii() or not jkt.isprintable():
        raise RefusedError("invalid_request", "Send a DPoP proof, or dpop_jkt: the code is bound to its key.")
    return jkt


def _hash(request_uri: str) -> bytes:
    return hashlib.sha256(request_uri.encode()).digest()
