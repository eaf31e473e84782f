"""Access tokens: JWTs of RFC 9068, bound to a DPoP key, for at most five minutes.

Authlib's own generator signs with RS256 and lets a token live for ten days; its validator takes a token
without `typ`. Here the algorithm, the lifetime and the type are fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from authlib.oauth2.rfc9068.token_validator import JWTBearerTokenValidator
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from consent.oauth import jose, rar
from consent.oauth.errors import (
    ConfigurationError,
    DetailsError,
    KeyPolicyError,
    SignatureError,
    TokenInvalidError,
)

LONGEST_LIFE: Final = 300
"""Seconds an access token may live."""

SUBJECT: Final = "subject:"
BODY: Final = "body:"

_TYPE: Final = "at+jwt"
_ALGORITHM_OF: Final = {"RSA": "PS256", "EC": "ES256", "OKP": "Ed25519"}
_INVALID: Final = "Obtain a new access token from this server's token endpoint."


class IssuerKeys:
    """The keys that sign access tokens: the first signs, all verify.

    Args:
        keys: private keys of the profile; during a rotation the new one first, then the old.

    Raises:
        ConfigurationError: none is given, or one is not of the profile.
    """

    def __init__(self, keys: Sequence[RSAKey | ECKey | OKPKey]) -> None:
        self.take(keys)

    def take(self, keys: Sequence[RSAKey | ECKey | OKPKey]) -> None:
        """Goes on with these keys: whoever holds this object signs with the first of them from now on.

        Raises:
            ConfigurationError: none is given, or one is not of the profile.
        """
        if not keys or not all(key.is_private for key in keys):
            raise ConfigurationError("Give at least one private key to sign access tokens with.")
        try:
            self.public = {key.thumbprint(): jose.import_public_key(key.as_dict()) for key in keys}
        except KeyPolicyError as error:
            raise ConfigurationError("A key that signs access tokens is not of the profile.") from error
        self._signer = keys[0]
        self._header = {
            "alg": _ALGORITHM_OF[keys[0].key_type],
            "typ": _TYPE,
            "kid": keys[0].thumbprint(),
        }

    @classmethod
    def from_seeds(cls, seeds: Sequence[bytes]) -> "IssuerKeys":
        """Ed25519 keys from their 32-byte seeds, the signing one first."""
        return cls([ed25519_key(seed) for seed in seeds])

    def sign(self, claims: dict[str, Any]) -> str:
        """Signs claims as an access token."""
        return jwt.encode(dict(self._header), claims, self._signer, registry=jose.REGISTRY, default_type=None)

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set (RFC 7517 §5)."""
        return {
            "keys": [
                key.as_dict(use="sig", kid=kid, alg=_ALGORITHM_OF[key.key_type])
                for kid, key in self.public.items()
            ]
        }


def ed25519_key(seed: bytes) -> OKPKey:
    """The Ed25519 key of a 32-byte seed."""
    return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token says, typed.

    Attributes:
        body_id: the client it was issued to.
        subject_id: the person who consented; None for a token of the body's own.
        grant_id: the consent or the authorization behind it; None for record_submission and inspection.
        details: the one object of `authorization_details`.
        jkt: thumbprint of the DPoP key it is bound to.
        jti: its id, by which it may be revoked.
    """

    body_id: UUID
    subject_id: UUID | None
    grant_id: UUID | None
    details: rar.Granted
    jkt: str
    jti: UUID
    issued_at: datetime
    expires_at: datetime

    @property
    def client_id(self) -> str:
        """The body's id as OAuth writes it."""
        return str(self.body_id)

    @property
    def sub(self) -> str:
        """Whom the token stands for; the two forms cannot collide (RFC 9068 §5)."""
        return f"{BODY}{self.body_id}" if self.subject_id is None else f"{SUBJECT}{self.subject_id}"


class TokenIssuer:
    """Writes access tokens.

    Args:
        issuer: this server's identifier.
        audience: the resource the tokens are for.
        keys: the issuer's keys.
    """

    def __init__(self, issuer: str, audience: str, keys: IssuerKeys) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    def issue(
        self,
        *,
        body_id: UUID,
        subject_id: UUID | None,
        grant_id: UUID | None,
        details: rar.Granted,
        jkt: str,
        now: datetime,
    ) -> str:
        """A signed token that lives `LONGEST_LIFE` seconds from `now`."""
        issued = int(now.timestamp())
        token = AccessToken(
            body_id=body_id,
            subject_id=subject_id,
            grant_id=grant_id,
            details=details,
            jkt=jkt,
            jti=uuid4(),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(issued + LONGEST_LIFE, UTC),
        )
        return self._keys.sign(
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": token.sub,
                "client_id": token.client_id,
                "iat": issued,
                "exp": issued + LONGEST_LIFE,
                "jti": str(token.jti),
                "cnf": {"jkt": jkt},
                "authorization_details": rar.claim_of(details),
            }
            | _grant_claim(details, grant_id)
        )


class TokenReader(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's RFC 9068 validator with our algorithms, a required type and our claims.

    Args:
        issuer: whose tokens are accepted.
        audience: the resource they must be for.
        keys: public keys of the issuer, by `kid`.
    """

    TOKEN_TYPE = "dpop"  # noqa: S105 -- a scheme's name

    def __init__(self, issuer: str, audience: str, keys: Mapping[str, jose.PublicKey]) -> None:
        super().__init__(issuer, audience)
        self._keys = keys

    def authenticate_token(self, token_string: str) -> JWTAccessTokenClaims:
        """Verifies type and signature; `read` goes on from there.

        Raises:
            TokenInvalidError: no token that this issuer signed.
        """
        try:
            unverified = jose.take_apart(token_string)
            key = self._keys[unverified.header["kid"]]
            # Authlib lets a token without `typ` pass, and with it any other JWT of this issuer (RFC 9068 §4).
            if unverified.header.get("typ") != _TYPE:
                raise TokenInvalidError(_INVALID)
            claims = jose.verify(unverified, key)
        except (SignatureError, KeyError, TypeError) as error:
            raise TokenInvalidError(_INVALID) from error
        return JWTAccessTokenClaims(
            claims,
            unverified.header,
            {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self.resource_server},
                "sub": {"essential": True},
                "client_id": {"essential": True},
                "iat": {"essential": True},
                "exp": {"essential": True},
                "jti": {"essential": True},
            },
        )

    def read(self, token_string: str, now: float) -> AccessToken:
        """Verifies a token at this time (seconds since the epoch).

        Raises:
            TokenInvalidError: it is not to be accepted; why is not told.
        """
        claims = self.authenticate_token(token_string)
        try:
            claims.validate(now=now, leeway=jose.CLOCK_AHEAD)
            token = _typed(claims, now)
        except (JoseError, SignatureError, DetailsError, ValueError, TypeError) as error:
            raise TokenInvalidError(_INVALID) from error
        # A list that names this resource among others is no token for this resource alone.
        if claims["aud"] != self.resource_server or claims["sub"] != token.sub:
            raise TokenInvalidError(_INVALID)
        if any(
            claims.get(name) != value for name, value in _grant_claim(token.details, token.grant_id).items()
        ):
            raise TokenInvalidError(_INVALID)
        return token


def _typed(claims: Mapping[str, Any], now: float) -> AccessToken:
    issued, expires = jose.numeric_date(claims, "iat"), jose.numeric_date(claims, "exp")
    if not issued <= now + jose.CLOCK_AHEAD or not now < expires <= issued + LONGEST_LIFE:
        raise SignatureError("The token is not of this time.")
    details = rar.read_granted(claims.get("authorization_details"))
    subject_id = grant_id = None
    if isinstance(details, rar.ConsentedQuery):
        subject_id = UUID(claims["sub"].removeprefix(SUBJECT))
        grant_id = UUID(jose.text_claim(claims, "grant"))
    elif isinstance(details, rar.StatutoryQuery):
        grant_id = details.authorization
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, Mapping):
        raise SignatureError("The token is bound to no key.")
    return AccessToken(
        body_id=UUID(jose.text_claim(claims, "client_id")),
        subject_id=subject_id,
        grant_id=grant_id,
        details=details,
        jkt=jose.text_claim(confirmation, "jkt"),
        jti=UUID(jose.text_claim(claims, "jti")),
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _grant_claim(details: rar.Granted, grant_id: UUID | None) -> dict[str, str]:
    if isinstance(details, rar.ConsentedQuery):
        return {"grant": str(grant_id)}
    return {"authorization": str(grant_id)} if isinstance(details, rar.StatutoryQuery) else {}
