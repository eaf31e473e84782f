"""Sign-in of citizens: this vault as a relying party of an outside OpenID provider (OpenID Connect Core 1.0).

The code flow with PKCE, state and nonce. What comes back is checked in this order, and a step that fails ends
the sign-in:

    (1)  state is the one this browser was sent away with            (RFC 6749 §10.12)
    (2)  iss is the provider's, where it sends one                   (RFC 9207 §2.4)
    (3)  the answer is a code and no error                           (RFC 6749 §4.1.2)
    (4)  the code is exchanged over TLS, with the client's secret and the PKCE verifier
    (5)  a key of the provider signed the id_token, by one of `jose.ALGORITHMS` (Core §3.1.3.7(6) to (8))
    (6)  iss, aud, azp, exp, iat and nonce are right                 (Core §3.1.3.7(2) to (5), (9) to (11))
    (7)  it holds the claim that is the person's identity number

Authlib checks the claims. Its own HTTP client is not used: it wants another HTTP library, and would leave the
algorithms to the library below.
"""

import hmac
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import time
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from authlib.common.security import is_secure_transport
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from consent.errors import ConsentError
from consent.oauth import jose
from consent.oauth.errors import ConfigurationError, KeyPolicyError, SignatureError

SCOPE: Final = "openid profile"
_METADATA: Final = "/.well-known/openid-configuration"
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_REMEMBERED: Final = 600.0
"""Seconds for which the provider's metadata and keys are believed to stand."""
_ASKED_AGAIN: Final = 30.0
"""Least seconds between two look-ups because a key is unknown: a stranger cannot make us ask without end."""
_SECONDS: Final = 5.0
_LONGEST_NUMBER: Final = 64
_LONGEST_NAME: Final = 100


class SignInError(ConsentError):
    """The sign-in did not succeed; the text is for the person, and says what to do."""


class ProviderDownError(SignInError):
    """The provider cannot be reached or does not answer as it should; the same may be tried again."""

    def __init__(self) -> None:
        super().__init__("The identity provider cannot be reached now. Please try again in a few minutes.")


class NotConfirmedError(SignInError):
    """What came back from the provider does not prove who the person is."""

    def __init__(self) -> None:
        super().__init__("The identity provider's answer could not be verified. Please sign in again.")


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
        claim: the claim of the id_token that holds the identity number.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    claim: str

    def __post_init__(self) -> None:
        if not is_secure_transport(self.issuer):
            raise ConfigurationError("The identity provider must be https; http only on loopback.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in on its way: what only the browser that began it may bring back."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says a person is.

    Attributes:
        number: the identity number, as the provider spells it.
        name: to address the person by; None where the provider says none.
    """

    number: str = field(repr=False)
    name: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Provider:
    metadata: Mapping[str, Any]
    keys: jose.KeySet
    read_at: float


class RelyingParty:
    """Signs people in at one provider. One per worker process.

    Args:
        registration: what this vault is there.
        clock: seconds since the epoch.
    """

    def __init__(self, registration: Registration, clock: Callable[[], float] = time) -> None:
        self._registration = registration
        self._clock = clock
        self._tls = ssl.create_default_context()
        self._known: _Provider | None = None

    async def begin(self) -> tuple[Attempt, str]:
        """A new attempt, and the address at the provider the browser is sent to.

        Raises:
            ProviderDownError: the provider's metadata cannot be read.
        """
        provider = await self._provider()
        attempt = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        endpoint = provider.metadata["authorization_endpoint"]
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._registration.client_id,
                "redirect_uri": self._registration.redirect_uri,
                "scope": SCOPE,
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": create_s256_code_challenge(attempt.verifier),
                "code_challenge_method": "S256",
            }
        )
        return attempt, f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

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
        provider = await self._provider()
        # (2) The issuer.
        must_say = provider.metadata.get("authorization_response_iss_parameter_supported") is True
        if returned.get("iss", None if must_say else self._registration.issuer) != self._registration.issuer:
            raise NotConfirmedError
        # (3) A code.
        if returned.get("error") is not None:
            raise DeclinedError
        code = returned.get("code")
        if code is None:
            raise NotConfirmedError
        # (4) The exchange.
        id_token = await self._exchange(provider, code, attempt)
        # (5) The signature, (6) the claims.
        claims = await self._verified(id_token, attempt)
        # (7) The identity number.
        return self._identity(claims)

    async def _exchange(self, provider: _Provider, code: str, attempt: Attempt) -> str:
        mine = self._registration
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": mine.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        # A provider that does not say supports Basic (Discovery §3); its parts are encoded (RFC 6749 §2.3.1).
        methods = provider.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = None
        if "client_secret_basic" in methods:
            basic = httpx.BasicAuth(quote_plus(mine.client_id), quote_plus(mine.client_secret))
        else:
            form |= {"client_id": mine.client_id, "client_secret": mine.client_secret}
        try:
            async with self._http(basic) as http:
                response = await http.post(provider.metadata["token_endpoint"], data=form)
            answer = response.json() if response.status_code == HTTPStatus.OK else None
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderDownError from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProviderDownError
        id_token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(id_token, str):
            raise NotConfirmedError
        return id_token

    async def _verified(self, id_token: str, attempt: Attempt) -> Mapping[str, Any]:
        mine = self._registration
        try:
            unverified = jose.take_apart(id_token)
            content = await self._signed(unverified)
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

    async def _signed(self, unverified: jose.Unverified) -> dict[str, Any]:
        """The claims of a token that one of the provider's keys signed; its keys are read again once."""
        provider = await self._provider()
        try:
            return provider.keys.verify(unverified)
        except SignatureError:
            if self._clock() - provider.read_at < _ASKED_AGAIN:
                raise
        self._known = None
        return (await self._provider()).keys.verify(unverified)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        number, name = claims.get(self._registration.claim), claims.get("name")
        if not isinstance(number, str) or not 1 <= len(number) <= _LONGEST_NUMBER:
            raise NoIdentityError
        usable = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()
        return Identity(number, name if usable else None)

    async def _provider(self) -> _Provider:
        known = self._known
        if known is None or self._clock() - known.read_at >= _REMEMBERED:
            known = self._known = await self._read_provider()
        return known

    async def _read_provider(self) -> _Provider:
        issuer = self._registration.issuer
        try:
            async with self._http() as http:
                metadata = (await http.get(issuer + _METADATA)).raise_for_status().json()
                # Metadata of another issuer would have its tokens taken for this one's (Discovery §4.3).
                if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
                    raise ProviderDownError
                if not all(_is_address(metadata.get(name)) for name in _ENDPOINTS):
                    raise ProviderDownError
                keys = (await http.get(metadata["jwks_uri"])).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderDownError from error
        return _Provider(metadata, _signing_keys(keys), self._clock())

    def _http(self, basic: httpx.BasicAuth | None = None) -> httpx.AsyncClient:
        # No redirects: neither a code nor the client's secret goes where the metadata do not say.
        return httpx.AsyncClient(
            auth=basic, verify=self._tls, timeout=_SECONDS, follow_redirects=False, trust_env=False
        )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and is_secure_transport(value)


def _signing_keys(jwks: object) -> jose.KeySet:
    """The keys of the provider that can sign; those for other uses and of other kinds are left out."""
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    usable = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            jose.import_public_key(entry)
        except KeyPolicyError:
            continue
        usable.append(entry)
    try:
        return jose.KeySet({"keys": usable})
    except KeyPolicyError as error:
        raise ProviderDownError from error
