"""Clients are registered bodies, and prove themselves by `private_key_jwt` (RFC 7523 §3, FAPI 2.0 §5.3.2).

What an assertion must be, in the order it is checked; Authlib checks 3, half of 5 and `exp` alone:

 1. typ absent, JWT or client-authentication+jwt: no other JWT of the client serves as one
 2. signed by a registered key of the client, with an algorithm of the profile
 3. iss = sub = the client, and client_id in the form, if any, too
 4. exp ahead of us, by five minutes at most; nbf and iat not ahead
 5. aud = our issuer, as a string: a list, or the token endpoint's URL, would serve elsewhere too
 6. jti used once
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from sqlalchemy import ARRAY, Connection, RowMapping, Text, Uuid, bindparam, cast, func, select

from consent.oauth import jose
from consent.oauth.adapter import FormRequest, RefusedError
from consent.oauth.citizens import AskingBody
from consent.oauth.client_keys import FRESH, LAST
from consent.oauth.errors import SignatureError
from consent.oauth.metadata import AUTHENTICATION, GRANT_TYPES
from consent.tables import body

LONGEST_ASSERTION: Final = 300
"""Seconds by which the `exp` of an assertion may be ahead of us."""

_MARGIN: Final = 60
_TYPES: Final = (None, "JWT", "client-authentication+jwt")
# The keys as text: it is what they are remembered by, once they are imported.
_CLIENTS: Final = select(
    *(column for column in body.c if column is not body.c.jwks), cast(body.c.jwks, Text).label("jwks")
).where(body.c.body_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))


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
        self._jwks: str = row["jwks"]
        self.publishes_keys = row["jwks_uri"] is not None
        self._keys_found_at: datetime | None = row["jwks_fetched_at"]
        self.as_shown = AskingBody(row["name"], row["kind"], row["uscc"], **row["contact"])
        self._redirect_uris = tuple(row["redirect_uris"])

    @property
    def keys(self) -> jose.KeySet:
        """The keys it signs with."""
        return _key_set(self._jwks)

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


def find_clients(connection: Connection, client_ids: Collection[object]) -> dict[str, Client]:
    """The clients of these ids by their one spelling; who was struck off is not among them.

    Args:
        connection: the transaction of the requests.
        client_ids: as they were sent; what is no client id has no client.
    """
    ids = {each for each in map(_body_id, client_ids) if each is not None}
    if not ids:
        return {}
    rows = connection.execute(_CLIENTS, {"ids": sorted(ids)}).mappings()
    clients = {str(row["body_id"]): Client(row) for row in rows}
    return {client_id: client for client_id, client in clients.items() if client.may_authenticate}


def _body_id(client_id: object) -> UUID | None:
    """The body a client id names; None if it is no id, or not in its one spelling."""
    try:
        body_id = UUID(client_id) if isinstance(client_id, str) else None
    except ValueError:
        return None
    return body_id if str(body_id) == client_id else None


@lru_cache(maxsize=1024)
def _key_set(jwks: str) -> jose.KeySet:
    """The keys of a registered set, imported once for each content it ever has."""
    return jose.KeySet(json.loads(jwks))


class KeysWantedError(Exception):
    """The keys a client publishes must be looked for before its assertion can be judged.

    Attributes:
        body_id: whose keys.
    """

    def __init__(self, body_id: UUID) -> None:
        super().__init__()
        self.body_id = body_id


@dataclass(frozen=True, slots=True)
class Used:
    """What is to be recorded of an assertion: its `jti` serves its client once (RFC 7523 §3(7)).

    Attributes:
        expires_at: from then on it is too old anyway, by any of our clocks.
    """

    body_id: UUID
    jti: str
    expires_at: datetime


class ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's `private_key_jwt`, with the checks 1 to 5 of this file's head, for one request.

    They do no I/O: for check 6 whoever asked has `used` recorded, before anything is answered.

    Args:
        issuer: what `aud` must be.
        now: seconds since the epoch.
        renewed: whether the keys the client publishes were just looked for: then the known ones decide.

    Attributes:
        used: what is to be recorded, once 1 to 5 hold.
    """

    CLIENT_AUTH_METHOD = AUTHENTICATION

    def __init__(self, issuer: str, now: float, *, renewed: bool) -> None:
        super().__init__()
        self.used: Used | None = None
        self._issuer = issuer
        self._now = now
        self._renewed = renewed
        self._request: FormRequest | None = None

    def __call__(self, query_client: Callable[[str], Client | None], request: FormRequest) -> Client | None:
        """Authenticates the client of a request; None if it sent no assertion."""
        self._request = request
        client: Client | None = super().__call__(query_client, request)
        return client

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 -- Authlib's signature
        """Reads whose assertion it says to be; nothing is believed yet."""
        assert self._request is not None  # noqa: S101 -- Authlib asks from within the call
        try:
            return self._request.assertion.header, self._request.asserted
        except SignatureError as error:
            raise RefusedError("invalid_client") from error

    def resolve_client_public_key(self, client: Client) -> Client:
        """Whose keys are to verify the assertion; which of them is seen when it is taken apart."""
        return client

    def process_assertion_claims(self, assertion: str, resolve_key: Client) -> dict[str, Any]:  # noqa: ARG002 -- Authlib's signature
        """Verifies type, signature and claims.

        Raises:
            KeysWantedError: nothing was judged: newer keys of the client must be looked for first.
            RefusedError: a check fails.
        """
        assert self._request is not None  # noqa: S101 -- Authlib asks from within the call
        try:
            unverified = self._request.assertion
            if unverified.header.get("typ") not in _TYPES:
                raise RefusedError("invalid_client", "The assertion's typ must be JWT or absent.")
            claims = self._keys(resolve_key, unverified).verify(unverified)
            self.verify_claims(claims)
        except SignatureError as error:
            raise RefusedError("invalid_client") from error
        return claims

    def _keys(self, client: Client, unverified: jose.Unverified) -> jose.KeySet:
        keys = client.keys
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
        """Checks 3 to 5, and what check 6 needs."""
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
        self.used = Used(UUID(claims["sub"]), jose.text_claim(claims, "jti"), expires_at)


def check_stated_client(request: OAuth2Request, client: Client) -> None:
    """A `client_id` beside the assertion must be the same client's (RFC 7521 §4.2).

    Raises:
        RefusedError: it is another's.
    """
    if request.payload.client_id not in (None, client.get_client_id()):
        raise RefusedError("invalid_client", "client_id and the assertion name two clients.")
