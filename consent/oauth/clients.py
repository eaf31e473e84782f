"""Clients are registered bodies, and prove themselves by `private_key_jwt` (RFC 7523 §3, FAPI 2.0 §5.3.2).

What an assertion must be, in the order it is checked; Authlib checks 3, half of 5 and `exp` alone:

 1. typ absent, JWT or client-authentication+jwt: no other JWT of the client serves as one
 2. signed by a registered key of the client, with an algorithm of the profile
 3. iss = sub = the client, and client_id in the form, if any, too
 4. exp ahead of us, by five minutes at most; nbf and iat not ahead
 5. aud = our issuer, as a string: a list, or the token endpoint's URL, would serve elsewhere too
 6. jti used once
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from sqlalchemy import Connection, RowMapping, select

from consent.oauth import jose
from consent.oauth.adapter import RefusedError
from consent.oauth.citizens import AskingBody
from consent.oauth.client_keys import FRESH, LAST
from consent.oauth.errors import SignatureError
from consent.oauth.metadata import AUTHENTICATION, GRANT_TYPES
from consent.oauth.replay import record_assertion
from consent.tables import body

LONGEST_ASSERTION: Final = 300
"""Seconds by which the `exp` of an assertion may be ahead of us."""

_MARGIN: Final = 60
_TYPES: Final = (None, "JWT", "client-authentication+jwt")


class Client(ClientMixin):  # type: ignore[misc]  # Authlib carries no types
    """A body as Authlib sees a client.

    Args:
        row: of `consent.body`.
    """

    def __init__(self, row: RowMapping) -> None:
        self.body_id: UUID = row["body_id"]
        self.kind: str = row["kind"]
        self.is_active: bool = row["status"] == "active"
        self.may_authenticate: bool = row["status"] != "struck-off"
        self.capacities = frozenset(row["capacities"])
        self.purposes = frozenset(row["purposes"])
        self.keys = row["jwks"]
        self.publishes_keys = row["jwks_uri"] is not None
        self._keys_found_at: datetime | None = row["jwks_fetched_at"]
        self.as_shown = AskingBody(row["name"], row["kind"], row["uscc"], **row["contact"])
        self._redirect_uris = tuple(row["redirect_uris"])

    def keys_are_older(self, than: timedelta, now: float) -> bool:
        """Whether the keys it publishes were last found longer ago; never so of keys it handed in."""
        found_at = self._keys_found_at
        return found_at is not None and found_at + than < datetime.fromtimestamp(now, UTC)

    def get_client_id(self) -> str:
        """The body's id."""
        return str(self.body_id)

    def get_default_redirect_uri(self) -> None:
        """None: the client must state where to answer (FAPI 2.0 §5.3.2.2)."""

    def get_allowed_scope(self, scope: str | None) -> str:  # noqa: ARG002 -- Authlib's signature
        """None at all: the server has refused a request that asks for one."""
        return ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it was registered, character by character (RFC 9700 §2.1)."""
        return redirect_uri in self._redirect_uris

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 -- Authlib's signature
        """Everywhere by signed assertion."""
        return method == AUTHENTICATION

    def check_response_type(self, response_type: str) -> bool:
        """The code flow alone, for bodies that may ask."""
        return response_type == "code" and self.is_active and "ask" in self.capacities

    def check_grant_type(self, grant_type: str) -> bool:
        """What the body may do now; a suspended one nothing."""
        return grant_type in GRANT_TYPES and self.is_active


def find_client(connection: Connection, client_id: str) -> Client | None:
    """The client of this id in its one spelling, unless it was struck off."""
    try:
        body_id = UUID(client_id)
    except ValueError:
        return None
    if str(body_id) != client_id:
        return None
    row = connection.execute(select(body).where(body.c.body_id == body_id)).mappings().one_or_none()
    if row is None:
        return None
    client = Client(row)
    return client if client.may_authenticate else None


class KeysWantedError(Exception):
    """The keys a client publishes must be looked for before its assertion can be judged.

    Attributes:
        body_id: whose keys.
    """

    def __init__(self, body_id: UUID) -> None:
        super().__init__()
        self.body_id = body_id


class ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's `private_key_jwt`, with every check of this file's head.

    Args:
        issuer: what `aud` must be.
        connection: in whose transaction the assertion is recorded as used.
        now: seconds since the epoch.
        renewed: whether the keys the client publishes were just looked for: then the known ones decide.
    """

    CLIENT_AUTH_METHOD = AUTHENTICATION

    def __init__(self, issuer: str, connection: Connection, now: float, *, renewed: bool) -> None:
        super().__init__()
        self._issuer = issuer
        self._connection = connection
        self._now = now
        self._renewed = renewed

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads whose assertion it says to be; nothing is believed yet."""
        try:
            unverified = jose.take_apart(assertion)
            return unverified.header, jose.read_claims(unverified)
        except SignatureError as error:
            raise RefusedError("invalid_client") from error

    def resolve_client_public_key(self, client: Client) -> Client:
        """Whose keys are to verify the assertion; which of them is seen when it is taken apart."""
        return client

    def process_assertion_claims(self, assertion: str, resolve_key: Client) -> dict[str, Any]:
        """Verifies type, signature and claims.

        Raises:
            KeysWantedError: nothing was judged: newer keys of the client must be looked for first.
            RefusedError: a check fails.
        """
        try:
            unverified = jose.take_apart(assertion)
            if unverified.header.get("typ") not in _TYPES:
                raise RefusedError("invalid_client", "The assertion's typ must be JWT or absent.")
            claims = self._keys(resolve_key, unverified).verify(unverified)
            self.verify_claims(claims)
        except SignatureError as error:
            raise RefusedError("invalid_client") from error
        return claims

    def _keys(self, client: Client, unverified: jose.Unverified) -> jose.KeySet:
        keys = jose.KeySet(client.keys)
        if not client.publishes_keys:
            return keys
        if not self._renewed and (
            client.keys_are_older(FRESH, self._now) or not keys.knows(unverified.header.get("kid"))
        ):
            raise KeysWantedError(client.body_id)
        if client.keys_are_older(LAST, self._now):
            raise RefusedError("invalid_client", "The client's jwks_uri was not to be had for a day.")
        return keys

    def verify_claims(self, claims: Mapping[str, Any]) -> None:
        """Checks 3 to 6."""
        if claims.get("iss") != claims.get("sub"):
            raise RefusedError("invalid_client", "The assertion's iss and sub must both be the client_id.")
        expires = jose.numeric_date(claims, "exp")
        if not self._now < expires <= self._now + LONGEST_ASSERTION + jose.CLOCK_AHEAD:
            raise RefusedError("invalid_client", "The assertion's exp must be at most five minutes ahead.")
        if any(
            name in claims and jose.numeric_date(claims, name) > self._now + jose.CLOCK_AHEAD
            for name in ("nbf", "iat")
        ):
            raise RefusedError("invalid_client", "The assertion is from the future: check the clock.")
        if claims.get("aud") != self._issuer:
            raise RefusedError("invalid_client", "The assertion's aud must be the issuer, as a string.")
        expires_at = datetime.fromtimestamp(expires + _MARGIN, UTC)
        jti = jose.text_claim(claims, "jti")
        if not record_assertion(self._connection, UUID(claims["sub"]), jti, expires_at):
            raise RefusedError("invalid_client", "The assertion was used before: sign a new one.")


def check_stated_client(request: OAuth2Request, client: Client) -> None:
    """A `client_id` beside the assertion must be the same client's (RFC 7521 §4.2).

    Raises:
        RefusedError: it is another's.
    """
    if request.payload.client_id not in (None, client.get_client_id()):
        raise RefusedError("invalid_client", "client_id and the assertion name two clients.")
