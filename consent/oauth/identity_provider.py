"""The OpenID provider at which citizens sign in, as we see it: its metadata, its keys, its token endpoint.

Authlib's own HTTP client is not used: it wants another HTTP library, and would leave the algorithms to the
library below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import time
from typing import Any, Final

import httpx
from authlib.common.security import is_secure_transport

from consent.errors import ConsentError
from consent.oauth import jose
from consent.oauth.errors import KeyPolicyError, SignatureError
from consent.oauth.trust import system_trust

_METADATA: Final = "/.well-known/openid-configuration"
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_REMEMBERED: Final = 600.0
"""Seconds for which the provider's metadata and keys are believed to stand."""
_ASKED_AGAIN: Final = 30.0
"""Least seconds between two look-ups because a key is unknown: a stranger cannot make us ask without end."""
_SECONDS: Final = 5.0


class SignInError(ConsentError):
    """The sign-in did not succeed; the text is for the person, and says what to do."""


class ProviderDownError(SignInError):
    """The provider cannot be reached or does not answer as it should; the same may be tried again."""

    def __init__(self) -> None:
        super().__init__("The identity provider cannot be reached now. Please try again in a few minutes.")


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: Mapping[str, Any]
    keys: jose.KeySet
    read_at: float


class IdentityProvider:
    """One provider. One per worker process.

    Args:
        issuer: its identifier.
        clock: seconds since the epoch.
    """

    def __init__(self, issuer: str, clock: Callable[[], float] = time) -> None:
        self.issuer = issuer
        self._clock = clock
        self._tls = system_trust()
        self._known: _Known | None = None

    async def metadata(self) -> Mapping[str, Any]:
        """What it says of itself (Discovery §3); its endpoints are addresses one may go to.

        Raises:
            ProviderDownError: it cannot be read.
        """
        return (await self._read_once()).metadata

    async def signed(self, unverified: jose.Unverified) -> dict[str, Any]:
        """The claims of a token that one of its keys signed; the keys are read again once.

        Raises:
            ProviderDownError: the keys cannot be read.
            SignatureError: none of them signed it.
        """
        known = await self._read_once()
        try:
            return known.keys.verify(unverified)
        except SignatureError:
            if self._clock() - known.read_at < _ASKED_AGAIN:
                raise
        self._known = None
        return (await self._read_once()).keys.verify(unverified)

    async def post(self, endpoint: str, form: Mapping[str, str], basic: httpx.BasicAuth | None) -> object:
        """What an endpoint answers to a form, as JSON; None where it refuses.

        Raises:
            ProviderDownError: it does not answer, or not as it should.
        """
        try:
            async with self._http(basic) as http:
                response = await http.post(endpoint, data=form)
            answer: object = response.json() if response.status_code == HTTPStatus.OK else None
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderDownError from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProviderDownError
        return answer

    async def _read_once(self) -> _Known:
        known = self._known
        if known is None or self._clock() - known.read_at >= _REMEMBERED:
            known = self._known = await self._read()
        return known

    async def _read(self) -> _Known:
        try:
            async with self._http() as http:
                metadata = (await http.get(self.issuer + _METADATA)).raise_for_status().json()
                # Metadata of another issuer would have its tokens taken for this one's (Discovery §4.3).
                if not isinstance(metadata, dict) or metadata.get("issuer") != self.issuer:
                    raise ProviderDownError
                if not all(is_address(metadata.get(name)) for name in _ENDPOINTS):
                    raise ProviderDownError
                keys = (await http.get(metadata["jwks_uri"])).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderDownError from error
        return _Known(metadata, _signing_keys(keys), self._clock())

    def _http(self, basic: httpx.BasicAuth | None = None) -> httpx.AsyncClient:
        # No redirects: neither a code nor the client's secret goes where the metadata do not say.
        return httpx.AsyncClient(
            auth=basic, verify=self._tls, timeout=_SECONDS, follow_redirects=False, trust_env=False
        )


def is_address(value: object) -> bool:
    """Whether one may go there: https, or http on loopback."""
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
