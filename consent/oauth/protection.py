"""The door of every protected resource: a valid token, and proof that its holder sends the request.

 1. one Authorization header, scheme DPoP; a bearer token is refused whatever it says
 2. the token: signature, type, issuer, audience, times (RFC 9068 §4), or known from a request before
 3. the token has not ended
 4. the proof: every check of RFC 9449 §4.3, bound to this token

CPU only: whether the proof was seen before, the token was revoked and the grant stands is asked of the
database, in the transaction that answers (`replay.py`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import time
from typing import Final
from uuid import UUID

from consent.oauth import jose, rar
from consent.oauth.dpop import Nonces, ProofChecker, token_hash
from consent.oauth.errors import (
    AccessError,
    CredentialsMalformedError,
    CredentialsMissingError,
    NonceRequiredError,
)
from consent.oauth.known_tokens import MOST, KnownTokens
from consent.oauth.tokens import AccessToken, TokenReader
from consent.permit import Flow, Route, TokenGrant

LONGEST_TOKEN: Final = 16_384
_SCHEME: Final = "dpop"


@dataclass(frozen=True, slots=True)
class Presented:
    """What was presented with a request, and verified.

    Attributes:
        token: the access token's content.
        proof_jti: id of the proof; `(jkt, proof_jti)` is to be recorded before anything is answered.
        proof_expires_at: until when that record must be kept.
    """

    token: AccessToken
    proof_jti: str
    proof_expires_at: datetime

    @property
    def body_id(self) -> UUID:
        """The client."""
        return self.token.body_id

    @property
    def client_id(self) -> str:
        """The client's id as text."""
        return self.token.client_id

    @property
    def sub(self) -> str:
        """`body:<uuid>` or `subject:<uuid>`."""
        return self.token.sub

    @property
    def subject_id(self) -> UUID | None:
        """The person who consented; None for a token of the body's own."""
        return self.token.subject_id

    @property
    def details(self) -> rar.Granted:
        """The one object of `authorization_details`."""
        return self.token.details

    @property
    def jkt(self) -> str:
        """Thumbprint of the key of token and proof."""
        return self.token.jkt

    @property
    def token_jti(self) -> UUID:
        """The token's id."""
        return self.token.jti

    @property
    def token_expires_at(self) -> datetime:
        """When the token ends."""
        return self.token.expires_at

    @property
    def grant_id(self) -> UUID | None:
        """The consent or authorization behind the token."""
        return self.token.grant_id

    def token_grant(self) -> TokenGrant | None:
        """The same as `decide` reads it; None when the token is for no query."""
        details = self.token.details
        if isinstance(details, rar.StatutoryQuery):
            return TokenGrant(
                route=Route.STATUTORY,
                flow=Flow.CLIENT,
                grant_id=details.authorization,
                purpose=details.purpose,
                fields=frozenset(details.fields),
                subject_hash=bytes.fromhex(details.subject_hash),
                officer_id=details.officer,
                case_reference=details.case_reference,
            )
        if isinstance(details, rar.ConsentedQuery) and self.token.grant_id is not None:
            return TokenGrant(
                route=Route.CONSENTED,
                flow=Flow.CODE,
                grant_id=self.token.grant_id,
                purpose=details.purpose,
                fields=frozenset(details.fields),
                subject_id=self.token.subject_id,
            )
        return None


class Protection:
    """Verifies tokens and proofs of requests to one resource server.

    Args:
        issuer: base URL of this server, without a path; `htu` is held against it, never against Host.
        audience: the resource, as tokens name it.
        keys: public keys of the issuer, by `kid`.
        nonces: when given, every proof must carry one.
        resource_metadata: URL of the document of RFC 9728.
        cached_tokens: how many verified tokens are remembered.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: Mapping[str, jose.PublicKey],
        *,
        nonces: Nonces | None = None,
        resource_metadata: str | None = None,
        cached_tokens: int = MOST,
        clock: Callable[[], float] = time,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._cached_tokens = cached_tokens
        self.trust(keys)
        self._proofs = ProofChecker(issuer, nonces)
        self._resource_metadata = resource_metadata
        self._clock = clock

    def trust(self, keys: Mapping[str, jose.PublicKey]) -> None:
        """Accepts tokens of these keys alone from now on; what was verified by others is forgotten."""
        reader = TokenReader(self._issuer, self._audience, keys)
        self._known = KnownTokens(reader, self._cached_tokens)

    def verify(self, authorization: Sequence[str], dpop: Sequence[str], method: str, path: str) -> Presented:
        """Verifies what one request presents.

        Args:
            authorization: every Authorization header of the request.
            dpop: every DPoP header of the request.
            method: of the request.
            path: of the request, percent-encoded, without query.

        Raises:
            CredentialsMissingError: no access token under the scheme DPoP.
            CredentialsMalformedError: two Authorization headers, or one of another form.
            TokenInvalidError: the token is not to be accepted.
            ProofInvalidError: the proof is missing or fails a check.
            NonceRequiredError: the proof must carry a nonce.
        """
        now = self._clock()
        text = _token_text(authorization)
        digest = hashlib.sha256(text.encode()).digest()
        token = self._known.read(text, digest, now)
        proof = self._proofs.check(
            dpop,
            method=method,
            path=path,
            now=now,
            token_hash=token_hash(digest),
            token_jkt=token.jkt,
        )
        return Presented(token, proof.jti, proof.expires_at)

    def challenge(self, error: AccessError) -> dict[str, str]:
        """The headers of a 401 that answers this error (RFC 9449 §7.1, RFC 9728 §5.1)."""
        parameters = [f'algs="{" ".join(jose.ALGORITHMS)}"']
        if error.code is not None:
            parameters += [f'error="{error.code}"', f'error_description="{error}"']
        if self._resource_metadata is not None:
            parameters.append(f'resource_metadata="{self._resource_metadata}"')
        headers = {"WWW-Authenticate": "DPoP " + ", ".join(parameters)}
        if isinstance(error, NonceRequiredError):
            headers["DPoP-Nonce"] = error.nonce
        return headers

    def fresh_nonce(self) -> dict[str, str]:
        """Headers that hand out the present nonce with an answer (RFC 9449 §8.2); empty without nonces."""
        nonces = self._proofs.nonces
        return {} if nonces is None else {"DPoP-Nonce": nonces.current(self._clock())}


def _token_text(headers: Sequence[str]) -> str:
    """The token of the one Authorization header."""
    if not headers:
        raise CredentialsMissingError("Present an access token under the scheme DPoP.")
    if len(headers) > 1:
        raise CredentialsMalformedError("Send exactly one Authorization header.")
    scheme, _, text = headers[0].partition(" ")
    if scheme.lower() != _SCHEME:
        raise CredentialsMissingError("Present an access token under the scheme DPoP.")
    if not 0 < len(text) <= LONGEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialsMalformedError("The Authorization header must be: DPoP, one space, the token.")
    return text
