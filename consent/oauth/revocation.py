"""Taking a token back (RFC 7009). Authlib's endpoint for JWTs refuses to: here it takes effect.

A token is revoked by its id; each query looks up whether it was, so no resource has to be told.
"""

from typing import TYPE_CHECKING

from authlib.oauth2.rfc6749 import TokenMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint
from sqlalchemy.dialects.postgresql import insert

from consent.oauth.adapter import FormRequest, RefusedError
from consent.oauth.clients import Client
from consent.oauth.metadata import AUTHENTICATION
from consent.oauth.refresh import RefreshToken
from consent.oauth.tables import revoked_token
from consent.oauth.tokens import AccessToken

if TYPE_CHECKING:
    from consent.oauth.server import Server


class OwnToken(TokenMixin):  # type: ignore[misc]  # Authlib carries no types
    """A token that verified, as Authlib's endpoints see it.

    Args:
        content: what it says.
        revoked: whether it was taken back already.
    """

    def __init__(self, content: AccessToken, *, revoked: bool) -> None:
        self.content = content
        self._revoked = revoked

    def check_client(self, client: Client) -> bool:
        """Whether it was issued to this client."""
        return self.content.body_id == client.body_id

    def is_expired(self) -> bool:
        """False: an expired token does not verify."""
        return False

    def is_revoked(self) -> bool:
        """Whether it was taken back, alone or with its grant."""
        return self._revoked


class TokenRevocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib carries no types
    """The endpoint."""

    CLIENT_AUTH_METHODS = (AUTHENTICATION,)
    server: "Server"

    def check_params(self, request: FormRequest, client: Client) -> None:  # noqa: ARG002 -- Authlib's signature
        """A token is needed; a hint is only a hint, whatever it says (RFC 7009 §2.1)."""
        require_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> OwnToken | RefreshToken | None:  # noqa: ARG002 -- Authlib's signature
        """The token, if it is one of ours and alive; any other needs no revocation (RFC 7009 §2.2)."""
        return self.server.token

    def revoke_token(self, token: OwnToken | RefreshToken, request: FormRequest) -> None:  # noqa: ARG002 -- Authlib's signature
        """An access token ends alone: its id is kept while it would live. A refresh token ends its grant."""
        if isinstance(token, RefreshToken):
            token.revoke(self.server.connection, self.server.now)
            return
        self.server.connection.execute(
            insert(revoked_token)
            .values(token_jti=token.content.jti, expires_at=token.content.expires_at)
            .on_conflict_do_nothing()
        )


def require_token(request: FormRequest) -> None:
    """Both endpoints about tokens need one.

    Raises:
        RefusedError: none was sent.
    """
    if "token" not in request.form:
        raise RefusedError("invalid_request", "Send the token.")
