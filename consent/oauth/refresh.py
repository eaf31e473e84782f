"""Refresh tokens: a consent for many uses serves for as long as it stands, five minutes at a time.

A refresh token is never exchanged for another (FAPI 2.0 §5.3.2.1: rotation locks clients out and protects no
confidential client), so it may be used by several processes of a body at once. It opens nothing by itself:
its body must authenticate, and each access token is bound to the key of the proof it was asked with
(RFC 9449 §5). It ends with the consent, with its withdrawal, and with the OAuth grant behind it. It rests
while the person has frozen their consents.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from sqlalchemy import Connection, text

from consent.oauth import rar
from consent.oauth.adapter import FormRequest, RefusedError
from consent.oauth.clients import Client
from consent.oauth.errors import DetailsError
from consent.oauth.metadata import AUTHENTICATION

if TYPE_CHECKING:
    from consent.oauth.server import Server

_SECRET_BYTES: Final = 32
_ENDED: Final = "The refresh token is not known, or what the person granted has ended: ask the person again."
_WIDER: Final = "Repeat what was granted, with the same or fewer fields and days."
_ISSUE: Final = text(
    "INSERT INTO consent.refresh_token (refresh_hash, subject_id, consent_id, body_id, issued_at, expires_at)"
    " SELECT :hash, c.subject_id, c.consent_id, c.body_id, :now, c.expires_at FROM consent.consent c"
    " WHERE c.subject_id = :subject_id AND c.consent_id = :consent_id"
)
_STANDING: Final = text(
    "SELECT r.subject_id, r.consent_id, r.body_id, r.issued_at, r.expires_at, g.details"
    " FROM consent.refresh_token r JOIN consent.oauth_grant g USING (subject_id, consent_id)"
    " WHERE r.refresh_hash = :hash AND r.expires_at > :now AND g.revoked_at IS NULL"
    " AND NOT EXISTS (SELECT FROM consent.consent_event e WHERE e.subject_id = r.subject_id"
    " AND e.consent_id = r.consent_id AND e.event = 'withdrawn')"
    # Like a withdrawal while it lasts (RULES 3.7).
    " AND (SELECT f.event FROM consent.freeze_event f WHERE f.subject_id = r.subject_id"
    " ORDER BY f.number DESC LIMIT 1) IS DISTINCT FROM 'begun'"
)
_END: Final = text(
    "UPDATE consent.oauth_grant SET revoked_at = :now, reason = 'refresh token revoked'"
    " WHERE subject_id = :subject_id AND consent_id = :consent_id AND revoked_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token that stands, as Authlib's grant and endpoints see it.

    Attributes:
        subject_id: who granted.
        consent_id: what, as a consent and as an OAuth grant.
        body_id: to whom.
        details: what was granted.
        expires_at: when the consent ends.
    """

    subject_id: UUID
    consent_id: UUID
    body_id: UUID
    details: rar.ConsentedQuery
    issued_at: datetime
    expires_at: datetime

    @classmethod
    def find(cls, connection: Connection, secret: str, now: float) -> Self | None:
        """The one of this secret; None if it is not known or has ended.

        Args:
            connection: the transaction of the request.
            secret: what the client sent.
            now: seconds since the epoch.
        """
        asked = {"hash": _hash(secret), "now": datetime.fromtimestamp(now, UTC)}
        row = connection.execute(_STANDING, asked).mappings().one_or_none()
        if row is None:
            return None
        details = rar.read_granted(row["details"])
        assert isinstance(details, rar.ConsentedQuery)  # noqa: S101 -- nothing else is ever stored
        return cls(**{**row, "details": details})

    def check_client(self, client: Client) -> bool:
        """Whether it was issued to this client."""
        return self.body_id == client.body_id

    def get_scope(self) -> str:
        """Scopes are not used."""
        return ""

    def is_expired(self) -> bool:
        """False: an expired one is not found."""
        return False

    def is_revoked(self) -> bool:
        """False: a revoked one is not found."""
        return False

    def revoke(self, connection: Connection, now: float) -> None:
        """Ends the grant with every access token of it (RFC 7009 §2.1); the consent stays as it is."""
        connection.execute(
            _END,
            {
                "now": datetime.fromtimestamp(now, UTC),
                "subject_id": self.subject_id,
                "consent_id": self.consent_id,
            },
        )


def issue(connection: Connection, subject_id: UUID, consent_id: UUID, now: float) -> str:
    """Makes a refresh token for a consent; its SHA-256 alone is stored.

    Args:
        connection: the transaction in which the code is exchanged.
        subject_id: who granted.
        consent_id: what.
        now: seconds since the epoch.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    connection.execute(
        _ISSUE,
        {
            "hash": _hash(secret),
            "subject_id": subject_id,
            "consent_id": consent_id,
            "now": datetime.fromtimestamp(now, UTC),
        },
    )
    return secret


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib carries no types
    """The next access token for what the person granted, or for less of it (RFC 6749 §6, RFC 9396 §6.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)
    server: "Server"
    request: FormRequest

    def validate_token_request(self) -> None:
        """Client and refresh token by Authlib, then what is asked of it."""
        self.server.check_resource(self.request)
        self.server.validate_requested_scope(self.request.payload.scope)
        super().validate_token_request()
        token: RefreshToken = self.request.refresh_token
        self.request.granted = self._asked(token.details)

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken:
        """The token of this secret.

        Raises:
            RefusedError: it is not known, has ended, or is another client's.
        """
        token = RefreshToken.find(self.server.connection, refresh_token, self.server.now)
        if token is None or not token.check_client(self.request.client):
            raise RefusedError("invalid_grant", _ENDED)
        return token

    def _asked(self, granted: rar.ConsentedQuery) -> rar.ConsentedQuery:
        """All that was granted, or the part of it that the request names."""
        asked = self.request.form.get("authorization_details")
        if asked is None:
            return granted
        try:
            wanted = rar.read_request(asked)
            if not isinstance(wanted, rar.ConsentedQuery):
                raise RefusedError("invalid_authorization_details", _WIDER)
            part = granted.narrowed(wanted.fields, wanted.validity)
            if not part.same_as(wanted):
                raise RefusedError("invalid_authorization_details", _WIDER)
        except DetailsError as error:
            raise RefusedError("invalid_authorization_details", _WIDER) from error
        return part

    def authenticate_user(self, refresh_token: RefreshToken) -> RefreshToken:
        """Whose consent it is: the token knows."""
        return refresh_token

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Nothing: refresh tokens are not rotated."""

    def generate_token(self, user: RefreshToken, **_: object) -> dict[str, Any]:
        """The token response, without another refresh token."""
        granted = self.request.granted
        assert granted is not None  # noqa: S101 -- validate_token_request has set it
        return self.server.token_response(
            self.request, granted, subject_id=user.subject_id, grant_id=user.consent_id
        )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
