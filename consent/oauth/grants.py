"""Two grants: a code that a person's consent stands behind, and the body's own credentials.

What is checked, and in which order, is written in the methods here, one after the other. Authlib would have
extensions hook in, but its hooks stand in sets: with two of a kind their order is undefined. So each kind has
one hook at most, that of PKCE.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy import select, update

from consent.oauth import rar, refresh
from consent.oauth.adapter import Answer, FormRequest, RefusedError
from consent.oauth.clients import Client
from consent.oauth.errors import DetailsError
from consent.oauth.metadata import AUTHENTICATION
from consent.oauth.profile import CODE_LIFE
from consent.oauth.tables import authorization_code, oauth_grant

if TYPE_CHECKING:
    from consent.oauth.server import Server

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# A client may keep more than a thousand characters in it (FAPI 2.0 §5.3.2.2, note 4).
_STATE: Final = re.compile(r"[\x20-\x7e]{1,2048}")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose consent a code stands for: Authlib's `user`.

    Attributes:
        details: what was granted.
        jkt: thumbprint of the key the code is bound to.
    """

    subject_id: UUID
    consent_id: UUID
    details: rar.ConsentedQuery
    jkt: str


class IssuedCode(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib carries no types
    """A code as stored, with the grant behind it."""

    code_challenge_method = "S256"

    def __init__(self, row: Any) -> None:  # noqa: ANN401 -- a row of the join below
        self.code_hash: bytes = row.code_hash
        self.code_challenge: str = row.code_challenge
        self.used: bool = row.used
        self.revoked: bool = row.revoked_at is not None
        self.expires_at: datetime = row.expires_at
        details = rar.read_granted(row.details)
        assert isinstance(details, rar.ConsentedQuery)  # noqa: S101 -- nothing else is ever stored
        self.holder = Holder(row.subject_id, row.consent_id, details, row.dpop_jkt)
        self._redirect_uri: str = row.redirect_uri

    def get_redirect_uri(self) -> str:
        """What the token request must repeat."""
        return self._redirect_uri

    def get_scope(self) -> str:
        """Scopes are not used."""
        return ""


class RequiredS256(CodeChallenge):  # type: ignore[misc]  # Authlib carries no types
    """PKCE that is never left out and never `plain` (FAPI 2.0 §5.3.2.2)."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: "CodeGrant", redirect_uri: str) -> None:
        """Requires a challenge; that a verifier must answer it then follows."""
        given = grant.request.payload.data
        if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(
            given.get("code_challenge", "")
        ):
            raise RefusedError("invalid_request", "Send a code_challenge with code_challenge_method=S256.")
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib carries no types
    """The code flow: pushed, consented to, bound to a DPoP key, used once."""

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)
    server: "Server"
    request: FormRequest

    def validate_authorization_request(self) -> str:
        """Checks a pushed request; called when it is pushed and again when the person answers it.

        The register may have changed between: a body that was suspended, or lost a purpose, gets no code.
        """
        redirect_uri: str = super().validate_authorization_request()
        given = self.request.payload.data
        # From here on the redirect URI is known to be the client's; errors may be sent there.
        try:
            if "state" in given and not _STATE.fullmatch(given["state"]):
                raise RefusedError("invalid_request", "state must be at most 2048 printable ASCII letters.")
            if given.get("response_mode", "query") != "query":
                raise RefusedError("invalid_request", "Use response_mode=query, or leave it out.")
            self.server.check_resource(self.request)
            self._check_query(self.requested())
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def requested(self) -> rar.ConsentedQuery:
        """What the client asks the person for."""
        try:
            requested = rar.read_request(self.request.payload.data.get("authorization_details"))
        except DetailsError as error:
            raise RefusedError("invalid_authorization_details") from error
        if not isinstance(requested, rar.ConsentedQuery):
            raise RefusedError("invalid_authorization_details", "The code flow is for consented_query alone.")
        return requested

    def _check_query(self, requested: rar.ConsentedQuery) -> None:
        client: Client = self.request.client
        if requested.purpose not in client.purposes:
            raise RefusedError("invalid_authorization_details", "This body is not certified for the purpose.")
        if not all(self.server.catalogue.allows(client.kind, name) for name in requested.fields):
            raise RefusedError(
                "invalid_authorization_details",
                "A field does not exist, or is not open to this kind of body.",
            )

    def answer_with_code(self, holder: Holder) -> Answer:
        """A new code, on its way to the client. Whatever goes wrong here takes the consent back with it."""
        return self.server.handle_response(*self.create_authorization_response(self.redirect_uri, holder))

    def save_authorization_code(self, code: str, request: FormRequest) -> None:
        """Stores the grant and the code, in the transaction that writes the consent."""
        holder: Holder = request.user
        now = datetime.fromtimestamp(self.server.now, UTC)
        connection = self.server.connection
        connection.execute(
            oauth_grant.insert(),
            {
                "subject_id": holder.subject_id,
                "consent_id": holder.consent_id,
                "body_id": self.request.client.body_id,
                "details": rar.claim_of(holder.details),
                "granted_at": now,
            },
        )
        connection.execute(
            authorization_code.insert(),
            {
                "code_hash": _hash(code),
                "subject_id": holder.subject_id,
                "consent_id": holder.consent_id,
                "body_id": self.request.client.body_id,
                "redirect_uri": self.request.payload.redirect_uri,
                "code_challenge": request.payload.data["code_challenge"],
                "dpop_jkt": holder.jkt,
                "expires_at": now + timedelta(seconds=CODE_LIFE),
                "used": False,
            },
        )

    def validate_token_request(self) -> None:
        """Client, code, redirect URI and verifier by Authlib; then the key; at last the code is burnt."""
        if "authorization_details" in self.request.form:
            raise RefusedError(
                "invalid_request", "A code is exchanged for what the person granted, as it is."
            )
        self.server.check_resource(self.request)
        super().validate_token_request()
        code: IssuedCode = self.request.authorization_code
        if self.request.proof is None or self.request.proof.jkt != code.holder.jkt:
            raise RefusedError("invalid_grant", "The code is bound to another DPoP key.")
        self._burn(code)

    def query_authorization_code(self, code: str, client: Client) -> IssuedCode | None:
        """The client's own code, if it can still be exchanged."""
        row = self.server.connection.execute(
            select(authorization_code, oauth_grant.c.details, oauth_grant.c.revoked_at)
            .join(oauth_grant)
            .where(
                authorization_code.c.code_hash == _hash(code), authorization_code.c.body_id == client.body_id
            )
        ).one_or_none()
        if row is None:
            return None
        issued = IssuedCode(row)
        if issued.used:
            self._take_back(issued)
        if issued.revoked or issued.expires_at.timestamp() <= self.server.now:
            return None
        return issued

    def _burn(self, issued: IssuedCode) -> None:
        """Whose UPDATE finds the code unused has it; whoever comes later takes the grant away."""
        burnt = self.server.connection.execute(
            update(authorization_code)
            .where(authorization_code.c.code_hash == issued.code_hash, authorization_code.c.used.is_(False))
            .values(used=True)
            .returning(authorization_code.c.code_hash)
        ).one_or_none()
        if burnt is None:
            self._take_back(issued)

    def _take_back(self, issued: IssuedCode) -> None:
        """A code that comes twice may be stolen: every token it was exchanged for ends (RFC 6749 §4.1.2)."""
        self.server.connection.execute(
            update(oauth_grant)
            .where(
                oauth_grant.c.subject_id == issued.holder.subject_id,
                oauth_grant.c.consent_id == issued.holder.consent_id,
                oauth_grant.c.revoked_at.is_(None),
            )
            .values(revoked_at=datetime.fromtimestamp(self.server.now, UTC), reason="code used twice")
        )
        raise RefusedError("invalid_grant", "The code was used before. What was granted with it is revoked.")

    def delete_authorization_code(self, authorization_code: IssuedCode) -> None:
        """Nothing: the code was burnt before the token was made, and its row stays to tell a second use."""

    def authenticate_user(self, authorization_code: IssuedCode) -> Holder:
        """Whose consent it is."""
        return authorization_code.holder

    def generate_token(self, user: Holder, **_: object) -> dict[str, Any]:
        """The token response; with a refresh token, unless one use ends the consent."""
        response = self.server.token_response(
            self.request, user.details, subject_id=user.subject_id, grant_id=user.consent_id
        )
        if user.details.max_uses != 1:
            response["refresh_token"] = refresh.issue(
                self.server.connection, user.subject_id, user.consent_id, self.server.now
            )
        return response


class BodyGrant(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib carries no types
    """Client credentials: statutory queries, handing in records, inspection."""

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)
    server: "Server"
    request: FormRequest

    def validate_token_request(self) -> None:
        """The client by Authlib; then what it asks for, its capacity, and the authorization it names."""
        self.server.check_resource(self.request)
        super().validate_token_request()
        client, granted = self.request.client, self.request.granted
        if granted is None or isinstance(granted, rar.ConsentedQuery):
            raise RefusedError(
                "invalid_authorization_details",
                "Client credentials are for statutory_query, record_submission, inspection and assistance.",
            )
        if granted.capacity not in client.capacities:
            raise RefusedError(
                "unauthorized_client", f"This body is not registered in the capacity to {granted.capacity}."
            )
        if isinstance(granted, rar.StatutoryQuery) and not self.server.in_force:
            # The query asks again, under the log's lock.
            raise RefusedError(
                "invalid_authorization_details", "The authorization is not this body's, or not in force now."
            )

    def generate_token(self, **_: object) -> dict[str, Any]:
        """The token response; never with a refresh token (RFC 6749 §4.4.3)."""
        granted = self.request.granted
        assert granted is not None  # noqa: S101 -- validate_token_request has seen it
        grant_id = granted.authorization if isinstance(granted, rar.StatutoryQuery) else None
        return self.server.token_response(self.request, granted, subject_id=None, grant_id=grant_id)


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
