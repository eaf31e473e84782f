"""Sign-in of citizens: this vault as a relying party of an outside OpenID provider (OpenID Connect Core 1.0).

The code flow with PKCE, state and nonce. What comes back is checked in this order, and a step that fails ends
the sign-in:

    (1)  state is the one this browser was sent away with            (RFC 6749 §10.12)
    (2)  iss is the provider's, where it sends one                   (RFC 9207 §2.4)
    (3)  the answer is a code and no error                           (RFC 6749 §4.1.2)
    (4)  the code is exchanged over TLS, with the client's secret and the PKCE verifier
    (5)  a key of the provider signed the id_token, by one of `jose.ALGORITHMS` (Core §3.1.3.7(6) to (8))
    (6)  iss, aud, azp, exp, iat and nonce are right                 (Core §3.1.3.7(2) to (5), (9) to (11))
    (7)  acr is one of those that were demanded                      (Core §3.1.3.7(12))
    (8)  where a fresh sign-in was demanded, auth_time is after it   (Core §3.1.3.7(13))
    (9)  it holds a claim that is the person's identity number

Authlib checks the claims.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from authlib.common.security import is_secure_transport
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from consent.oauth import jose
from consent.oauth.errors import ConfigurationError, SignatureError
from consent.oauth.identity_provider import IdentityProvider, SignInError, is_address

SCOPE: Final = "openid profile"
_LONGEST_NUMBER: Final = 64
_LONGEST_NAME: Final = 100
_LONGEST_SESSION: Final = 256


class NotConfirmedError(SignInError):
    """What came back from the provider does not prove who the person is."""

    def __init__(self) -> None:
        super().__init__("The identity provider's answer could not be verified. Please sign in again.")


class TooWeakError(SignInError):
    """The person signed in, but not in a way that suffices for what they wanted to do."""

    def __init__(self) -> None:
        super().__init__(
            "The identity provider did not confirm you as strongly, or as recently, as this needs. "
            "Please sign in again, in the strongest way it offers you."
        )


class DeclinedError(SignInError):
    """The person, or the provider, ended the sign-in."""

    def __init__(self) -> None:
        super().__init__("The sign-in was cancelled at the identity provider. Nothing has changed here.")


class NoIdentityError(SignInError):
    """The provider knows the person, but does not say which identity number is theirs."""

    def __init__(self) -> None:
        super().__init__("The identity provider gave no usable identity number. Please ask it for help.")


@dataclass(frozen=True, slots=True)
class Registration:
    """What this vault is at the provider.

    Attributes:
        issuer: the provider's identifier, https outside loopback.
        identifiers: the identifier scheme of each claim of the id_token that can hold an identity number; the
            first that is there counts.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    identifiers: Mapping[str, str]

    def __post_init__(self) -> None:
        if not is_secure_transport(self.issuer):
            raise ConfigurationError("The identity provider must be https; http only on loopback.")


@dataclass(frozen=True, slots=True)
class Demand:
    """How somebody is to sign in.

    Attributes:
        acr: any of these must be stated (Core §2); none: any way will do.
        fresh: they prove anew who they are, even if the provider knows them still.
    """

    acr: tuple[str, ...] = ()
    fresh: bool = False


ANY_WAY: Final = Demand()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in on its way: what only the browser that began it may bring back.

    Attributes:
        demand: what must come of it.
        begun: when, in seconds since the epoch.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    demand: Demand
    begun: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says a person is.

    Attributes:
        scheme: of the identity number.
        number: the identity number, as the provider spells it.
        name: to address the person by; None where the provider says none.
        acr: how they signed in, as the provider calls it; None where it does not say.
        authenticated_at: when they last proved who they are; None where it does not say.
        session: of the person at the provider, by which it can end theirs here; None where it does not say.
    """

    scheme: str
    number: str = field(repr=False)
    name: str | None = field(repr=False)
    acr: str | None = None
    authenticated_at: datetime | None = None
    session: str | None = field(default=None, repr=False)


class RelyingParty:
    """Signs people in at one provider. One per worker process.

    Args:
        registration: what this vault is there.
        clock: seconds since the epoch.
    """

    def __init__(self, registration: Registration, clock: Callable[[], float] = time) -> None:
        self.registration = registration
        self.provider = IdentityProvider(registration.issuer, clock)
        self._clock = clock

    async def begin(self, demand: Demand = ANY_WAY) -> tuple[Attempt, str]:
        """A new attempt, and the address at the provider the browser is sent to.

        Raises:
            ProviderDownError: the provider's metadata cannot be read.
        """
        metadata = await self.provider.metadata()
        attempt = Attempt(
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(48),
            demand,
            int(self._clock()),
        )
        endpoint = metadata["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": self.registration.client_id,
            "redirect_uri": self.registration.redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        if demand.acr:
            query["acr_values"] = " ".join(demand.acr)
        if demand.fresh:
            query |= {"prompt": "login", "max_age": "0"}
        if metadata.get("claims_parameter_supported") is True:
            query["claims"] = json.dumps({"id_token": self._claims(demand)}, separators=(",", ":"))
        return attempt, f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    def _claims(self, demand: Demand) -> dict[str, object]:
        """What the id_token is to hold (Core §5.5), since providers may keep some of it for UserInfo."""
        wanted: dict[str, object] = dict.fromkeys([*self.registration.identifiers, "name"])
        wanted["auth_time"] = {"essential": True}
        if demand.acr:
            wanted["acr"] = {"essential": True, "values": list(demand.acr)}
        return wanted

    async def finish(self, attempt: Attempt, returned: Mapping[str, str]) -> Identity:
        """Who came back.

        Args:
            attempt: the one this browser began; it may be used once.
            returned: the parameters of the address it came back to, each once.

        Raises:
            SignInError: a step above failed; nobody is signed in.
        """
        # (1) The state.
        if not hmac.compare_digest(returned.get("state", "").encode(), attempt.state.encode()):
            raise NotConfirmedError
        metadata = await self.provider.metadata()
        issuer = self.registration.issuer
        # (2) The issuer.
        must_say = metadata.get("authorization_response_iss_parameter_supported") is True
        if returned.get("iss", None if must_say else issuer) != issuer:
            raise NotConfirmedError
        # (3) A code.
        if returned.get("error") is not None:
            raise DeclinedError
        code = returned.get("code")
        if code is None:
            raise NotConfirmedError
        # (4) The exchange.
        id_token = await self._exchange(metadata, code, attempt)
        # (5) The signature, (6) the claims.
        claims = await self._verified(id_token, attempt)
        # (7) The way they signed in, (8) and when.
        self._check_demand(claims, attempt)
        # (9) The identity number.
        return self._identity(claims)

    async def end_session_url(self, return_to: str) -> str | None:
        """Where a person signs out at the provider, too (RP-Initiated Logout 1.0 §2); None if nowhere.

        Without `id_token_hint`: it would carry the identity number through an address bar. So the provider
        may ask the person once more.

        Raises:
            ProviderDownError: the provider's metadata cannot be read.
        """
        endpoint = (await self.provider.metadata()).get("end_session_endpoint")
        if not isinstance(endpoint, str) or not is_address(endpoint):
            return None
        query = urlencode({"client_id": self.registration.client_id, "post_logout_redirect_uri": return_to})
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    async def _exchange(self, metadata: Mapping[str, Any], code: str, attempt: Attempt) -> str:
        mine = self.registration
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": mine.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        # A provider that does not say supports Basic (Discovery §3); its parts are encoded (RFC 6749 §2.3.1).
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = None
        if "client_secret_basic" in methods:
            basic = httpx.BasicAuth(quote_plus(mine.client_id), quote_plus(mine.client_secret))
        else:
            form |= {"client_id": mine.client_id, "client_secret": mine.client_secret}
        answer = await self.provider.post(metadata["token_endpoint"], form, basic)
        id_token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(id_token, str):
            raise NotConfirmedError
        return id_token

    async def _verified(self, id_token: str, attempt: Attempt) -> Mapping[str, Any]:
        mine = self.registration
        try:
            unverified = jose.take_apart(id_token)
            content = await self.provider.signed(unverified)
            claims = CodeIDToken(
                content,
                unverified.header,
                {
                    "iss": {"essential": True, "value": mine.issuer},
                    "aud": {"essential": True, "value": mine.client_id},
                    "nonce": {"essential": True},
                },
                {"nonce": attempt.nonce, "client_id": mine.client_id},
            )
            now = self._clock()
            claims.validate(now=now, leeway=jose.CLOCK_AHEAD)
            if (
                not jose.numeric_date(content, "iat") - jose.CLOCK_AHEAD
                <= now
                < jose.numeric_date(content, "exp")
            ):
                raise NotConfirmedError
        except (SignatureError, JoseError, ValueError, TypeError) as error:
            raise NotConfirmedError from error
        return content

    def _check_demand(self, claims: Mapping[str, Any], attempt: Attempt) -> None:
        demand = attempt.demand
        if demand.acr and claims.get("acr") not in demand.acr:
            raise TooWeakError
        if demand.fresh:
            authenticated = _auth_time(claims)
            if authenticated is None or authenticated.timestamp() < attempt.begun - jose.CLOCK_AHEAD:
                raise TooWeakError

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name, acr, session = claims.get("name"), claims.get("acr"), claims.get("sid")
        scheme, number = self._number(claims)
        usable = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()
        return Identity(
            scheme,
            number,
            name if usable else None,
            acr if isinstance(acr, str) else None,
            _auth_time(claims),
            session if isinstance(session, str) and 0 < len(session) <= _LONGEST_SESSION else None,
        )

    def _number(self, claims: Mapping[str, Any]) -> tuple[str, str]:
        """Identifier scheme and number: of the first claim that has one."""
        for claim, scheme in self.registration.identifiers.items():
            number = claims.get(claim)
            if isinstance(number, str) and 1 <= len(number) <= _LONGEST_NUMBER:
                return scheme, number
        raise NoIdentityError


def _auth_time(claims: Mapping[str, Any]) -> datetime | None:
    """When the person last proved who they are (Core §2)."""
    stated = claims.get("auth_time")
    if not isinstance(stated, int) or isinstance(stated, bool):
        return None
    try:
        return datetime.fromtimestamp(stated, UTC)
    except (OverflowError, OSError, ValueError):
        return None
