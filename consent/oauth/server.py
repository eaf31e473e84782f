"""Authlib's authorization server, built for one request.

Nothing of one request can reach another. What is read of the database for many requests at once is handed
to each; whatever an endpoint still asks or writes, it does in a transaction of its own request.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from uuid import UUID

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer
from sqlalchemy import Connection

from consent.facts import CatalogueFacts
from consent.oauth import rar
from consent.oauth.adapter import Answer, FormRequest, RefusedError, answer_error, redirect
from consent.oauth.clients import Client, ClientAssertion, Used, check_stated_client
from consent.oauth.grants import BodyGrant, CodeGrant, RequiredS256
from consent.oauth.introspection import TokenIntrospection
from consent.oauth.metadata import AUTHENTICATION
from consent.oauth.par import PushedRequestEndpoint
from consent.oauth.profile import Profile
from consent.oauth.refresh import RefreshGrant, RefreshToken
from consent.oauth.revocation import OwnToken, TokenRevocation
from consent.oauth.tokens import LONGEST_LIFE


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib carries no types
    """One conversation with one client.

    Args:
        profile: whose server it is.
        catalogue: which fields are open to which kind of body.
        clients: those it may meet, by their ids.
        renewed: whether the keys its client publishes were just looked for.

    Attributes:
        in_force: whether the statutory authorization that is asked for is the client's, and in force.
        token: the token the request is about; None if it is none of ours, or has ended.
    """

    def __init__(
        self,
        profile: Profile,
        catalogue: CatalogueFacts,
        clients: Mapping[str, Client],
        *,
        renewed: bool = False,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.catalogue = catalogue
        self.now = profile.clock()
        self.in_force = False
        self.token: OwnToken | RefreshToken | None = None
        self._clients = clients
        self._connection: Connection | None = None
        self._authenticated: Client | None = None
        self._assertion = ClientAssertion(profile.issuer, self.now, renewed=renewed)
        self.register_client_auth_method(AUTHENTICATION, self._assertion)
        self.register_grant(CodeGrant, [RequiredS256()])
        self.register_grant(BodyGrant)
        self.register_grant(RefreshGrant)
        for endpoint in (PushedRequestEndpoint, TokenRevocation, TokenIntrospection):
            self.register_endpoint(endpoint)

    @property
    def connection(self) -> Connection:
        """The transaction of this request."""
        assert self._connection is not None  # noqa: S101 -- who comes so far was given one
        return self._connection

    def within(self, connection: Connection) -> Self:
        """The same server, in this transaction."""
        self._connection = connection
        return self

    @property
    def used(self) -> Used:
        """The assertion by which the client was authenticated."""
        assert self._assertion.used is not None  # noqa: S101 -- there is no other way to be authenticated
        return self._assertion.used

    def query_client(self, client_id: str) -> Client | None:
        """The body of this id."""
        return self._clients.get(client_id)

    def authenticate_client(
        self,
        request: FormRequest,
        methods: Sequence[str] = (AUTHENTICATION,),
        endpoint: str = "token",
    ) -> Client:
        """The client, by its assertion; asked again in the same conversation, the same one.

        Authlib sets `request.client` before it has verified anything, so that is never relied on.
        """
        if self._authenticated is None:
            client: Client = super().authenticate_client(request, methods, endpoint)
            check_stated_client(request, client)
            self._authenticated = client
        return self._authenticated

    def check_resource(self, request: FormRequest) -> None:
        """Tokens are for one resource; a client may name it, and can have no other (RFC 8707 §2)."""
        if request.payload.data.get("resource", self.profile.audience) != self.profile.audience:
            raise RefusedError("invalid_target")

    def validate_requested_scope(self, scope: str | None) -> None:
        """No scope is known here."""
        if scope:
            raise RefusedError("invalid_scope")

    def token_response(
        self, request: FormRequest, granted: rar.Granted, *, subject_id: UUID | None, grant_id: UUID | None
    ) -> dict[str, Any]:
        """A token, bound to the key of the request's proof, and what it is for (RFC 9396 §7)."""
        assert request.proof is not None  # noqa: S101 -- the token endpoint asks for one before all else
        assert self._authenticated is not None  # noqa: S101 -- and then authenticates the client
        token = self.profile.token_issuer().issue(
            body_id=self._authenticated.body_id,
            subject_id=subject_id,
            grant_id=grant_id,
            details=granted,
            jkt=request.proof.jkt,
            now=self.profile.now(),
        )
        return {
            "access_token": token,
            "token_type": "DPoP",
            "expires_in": LONGEST_LIFE,
            "authorization_details": rar.claim_of(granted),
        }

    def save_token(self, token: dict[str, Any], request: FormRequest) -> None:
        """Nothing: a token carries its own content, and only what was taken back is stored."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """The adapter has made it already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:  # noqa: ANN401 -- Authlib answers with a dict or an empty text
        """What Authlib answers, with `iss` and 303 where it redirects."""
        location = dict(headers).get("Location")
        if location is not None:
            return redirect(location, {}, self.profile.issuer)
        return Answer(status, body)

    def handle_error_response(self, request: FormRequest, error: OAuth2Error) -> Answer:  # noqa: ARG002 -- Authlib's signature
        """An error, in safe words."""
        return answer_error(error, self.profile.issuer)
