"""What one authorization server is: its name, its keys, its endpoints. Nothing else is configurable."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Final
from urllib.parse import urlsplit

from authlib.common.security import is_secure_transport

from consent.oauth.dpop import Nonces, ProofChecker
from consent.oauth.errors import ConfigurationError
from consent.oauth.protection import Protection
from consent.oauth.tokens import IssuerKeys, TokenIssuer, TokenReader

RESOURCE_PATH: Final = "/v1"
PAR_PATH: Final = "/oauth/par"
AUTHORIZE_PATH: Final = "/oauth/authorize"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 -- a path
REVOKE_PATH: Final = "/oauth/revoke"
INTROSPECT_PATH: Final = "/oauth/introspect"
JWKS_PATH: Final = "/oauth/jwks"
SERVER_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA_PATH: Final = "/.well-known/oauth-protected-resource"

REQUEST_LIFE: Final = 300
"""Seconds a pushed request may wait for the person's decision (FAPI 2.0 §5.3.2.2)."""
CODE_LIFE: Final = 60
"""Seconds a code may wait to be exchanged (FAPI 2.0 §5.3.2.2)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One authorization server and the resource it protects, at one origin.

    Attributes:
        issuer: its base URL and identifier, https outside loopback, without path or trailing slash.
        keys: sign access tokens.
        nonces: when given, every DPoP proof must carry one.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the issuer is of another form.
    """

    issuer: str
    keys: IssuerKeys
    nonces: Nonces | None = None
    clock: Callable[[], float] = time

    def __post_init__(self) -> None:
        parts = urlsplit(self.issuer)
        if not is_secure_transport(self.issuer) or self.issuer != f"{parts.scheme}://{parts.netloc}":
            raise ConfigurationError(
                "The issuer must be https://host or https://host:port, without a path; http only on loopback."
            )

    @property
    def audience(self) -> str:
        """The resource indicator of the vault's API (RFC 8707)."""
        return self.issuer + RESOURCE_PATH

    @property
    def resource_metadata(self) -> str:
        """Where the resource describes itself (RFC 9728 §3.1: the path is inserted before the resource's)."""
        return self.url(RESOURCE_METADATA_PATH + RESOURCE_PATH)

    @property
    def is_loopback(self) -> bool:
        """Whether the whole vault runs on this machine, as a demo does."""
        return urlsplit(self.issuer).scheme == "http"

    def url(self, path: str) -> str:
        """The public URL of a path."""
        return self.issuer + path

    def now(self) -> datetime:
        """The present, UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def proofs(self) -> ProofChecker:
        """Checks proofs sent to this server's own endpoints."""
        return ProofChecker(self.issuer, self.nonces)

    def token_issuer(self) -> TokenIssuer:
        """Writes this server's tokens."""
        return TokenIssuer(self.issuer, self.audience, self.keys)

    def token_reader(self) -> TokenReader:
        """Reads this server's tokens."""
        return TokenReader(self.issuer, self.audience, self.keys.public)

    def protection(self) -> Protection:
        """The door of the vault's API."""
        return Protection(
            self.issuer,
            self.audience,
            self.keys.public,
            nonces=self.nonces,
            resource_metadata=self.resource_metadata,
            clock=self.clock,
        )
