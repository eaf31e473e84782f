"""Asking about a token (RFC 7662), for the client it was issued to. To any other every token is inactive."""

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from consent.oauth import rar
from consent.oauth.adapter import FormRequest
from consent.oauth.clients import Client
from consent.oauth.metadata import AUTHENTICATION
from consent.oauth.refresh import RefreshToken
from consent.oauth.revocation import OwnToken, require_token
from consent.oauth.tokens import SUBJECT

if TYPE_CHECKING:
    from consent.oauth.server import Server


class TokenIntrospection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib carries no types
    """The endpoint."""

    CLIENT_AUTH_METHODS = (AUTHENTICATION,)
    server: "Server"

    def check_params(self, request: FormRequest, client: Client) -> None:  # noqa: ARG002 -- Authlib's signature
        """A token is needed; a hint is only a hint."""
        require_token(request)

    def check_permission(self, token: OwnToken | RefreshToken, client: Client, request: FormRequest) -> bool:  # noqa: ARG002 -- Authlib's signature
        """The owner alone may ask."""
        return token.check_client(client)

    def query_token(self, token_string: str, token_type_hint: str | None) -> OwnToken | RefreshToken | None:  # noqa: ARG002 -- Authlib's signature
        """The token, if it is one of ours and alive."""
        return self.server.token

    def introspect_token(self, token: OwnToken | RefreshToken) -> dict[str, Any]:
        """What an active token says (RFC 7662 §2.2, RFC 9449 §6.2, RFC 9396 §9.2)."""
        if isinstance(token, RefreshToken):
            return {
                "active": True,
                "iss": self.server.profile.issuer,
                "sub": f"{SUBJECT}{token.subject_id}",
                "client_id": str(token.body_id),
                "iat": int(token.issued_at.timestamp()),
                "exp": int(token.expires_at.timestamp()),
                "authorization_details": rar.claim_of(token.details),
            }
        content = token.content
        return {
            "active": True,
            "token_type": "DPoP",
            "iss": self.server.profile.issuer,
            "aud": self.server.profile.audience,
            "sub": content.sub,
            "client_id": content.client_id,
            "iat": int(content.issued_at.timestamp()),
            "exp": int(content.expires_at.timestamp()),
            "jti": str(content.jti),
            "cnf": {"jkt": content.jkt},
            "authorization_details": rar.claim_of(content.details),
        }
