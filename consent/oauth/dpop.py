"""DPoP proofs: whoever sends the request holds the key (RFC 9449 §4.3, numbered as there).

 1. at most one DPoP header            7. the jwk is no private key
 2. a single, well-formed JWT          8. htm is the method
 3. all required claims                9. htu is the URI, without query and fragment
 4. typ is dpop+jwt                   10. the nonce is one we gave
 5. alg is asymmetric and ours        11. created within an acceptable window
 6. the signature verifies            12. ath is the token's hash, the key the token's

That a proof is used once is no matter of its bytes: see `replay.py`. This file does no I/O.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from consent.oauth import jose
from consent.oauth.errors import KeyPolicyError, NonceRequiredError, ProofInvalidError, SignatureError

LONGEST_PROOF: Final = 8192
MAX_AGE: Final = 60
"""Seconds after which a proof is too old."""

_MARGIN: Final = 60
_NONCE_LABEL: Final = b"creditvault dpop nonce v1"
_NONCE_BYTES: Final = 18
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that verified.

    Attributes:
        jkt: thumbprint of its key (RFC 7638, SHA-256, base64url).
        jti: its id; with `jkt` it may be used once.
        expires_at: from then on it is too old anyway, by any of our clocks.
    """

    jkt: str
    jti: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NonceKey:
    """One key of nonces.

    Attributes:
        key: 32 secret bytes, the same for all workers.
        since: from when nonces are made with it, seconds since the epoch.
    """

    key: bytes
    since: float = 0.0


class Nonces:
    """Nonces that every worker can check and none has to store: an HMAC over the present period.

    Args:
        keys: gives every key that is known, the oldest first; the first makes nonces from the beginning.
        period: seconds a nonce is handed out; it is accepted for the next period too.
    """

    def __init__(self, keys: Callable[[], Sequence[NonceKey]], period: int = 120) -> None:
        self._keys = keys
        self._period = period

    def current(self, now: float) -> str:
        """The nonce to hand out at this time (seconds since the epoch)."""
        key = [one for one in self._keys() if one.since <= now][-1]
        return self._of(key, int(now) // self._period)

    def accepts(self, nonce: object, now: float) -> bool:
        """Whether we gave this nonce, in this period or the one before."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        number = int(now) // self._period
        return any(
            hmac.compare_digest(nonce, self._of(key, at))
            for key in self._alive(now)
            for at in (number, number - 1)
        )

    def _alive(self, now: float) -> list[NonceKey]:
        """The keys whose nonces may still be good: also the next, as another worker's clock may be ahead."""
        keys = self._keys()
        ended = [one for one, next_one in pairwise(keys) if next_one.since <= now - 2 * self._period]
        return list(keys[len(ended) :])

    @staticmethod
    def _of(key: NonceKey, number: int) -> str:
        mac = hmac.digest(key.key, _NONCE_LABEL + number.to_bytes(8), "sha256")
        return urlsafe_b64encode(mac[:_NONCE_BYTES]).decode()


class ProofChecker:
    """Checks proofs of requests to one origin.

    Args:
        issuer: its configured base URL, without a path. The Host header is never asked.
        nonces: when given, every proof must carry one of them.
    """

    def __init__(self, issuer: str, nonces: Nonces | None = None) -> None:
        self.nonces = nonces
        self._issuer = issuer

    def check(
        self,
        headers: Sequence[str],
        *,
        method: str,
        path: str,
        now: float,
        token_hash: str | None = None,
        token_jkt: str | None = None,
    ) -> Proof:
        """Checks the proof of one request.

        Args:
            headers: every DPoP header of the request.
            method: of the request.
            path: of the request, percent-encoded, without query.
            now: seconds since the epoch.
            token_hash: base64url SHA-256 of the access token presented with it, if any.
            token_jkt: thumbprint that token is bound to.

        Raises:
            ProofInvalidError: a check fails.
            NonceRequiredError: everything holds but the nonce.
        """
        if len(headers) != 1 or len(headers[0]) > LONGEST_PROOF:  # (1)
            raise ProofInvalidError("Send exactly one DPoP header, with one proof.")
        claims, jkt = _read(headers[0])  # (2), (4) to (7)
        try:
            jti, issued = jose.text_claim(claims, "jti"), jose.numeric_date(claims, "iat")  # (3)
        except SignatureError as error:
            raise ProofInvalidError("The proof lacks a claim.") from error
        if claims.get("htm") != method:  # (8)
            raise ProofInvalidError("The proof's htm is not the method of this request.")
        if not self._is_uri(claims.get("htu"), path):  # (9)
            raise ProofInvalidError("The proof's htu is not the URI of this request.")
        if not now - MAX_AGE <= issued <= now + jose.CLOCK_AHEAD:  # (11)
            raise ProofInvalidError("The proof was not made just now: check the clock.")
        if token_hash is not None and (claims.get("ath") != token_hash or jkt != token_jkt):  # (12)
            raise ProofInvalidError("The proof is not for this access token: ath, or the key, is another.")
        # (10) comes last: a nonce is handed out only for a proof that would be good otherwise.
        if self.nonces is not None and not self.nonces.accepts(claims.get("nonce"), now):
            raise NonceRequiredError(self.nonces.current(now))
        return Proof(jkt, jti, datetime.fromtimestamp(issued + MAX_AGE + _MARGIN, UTC))

    def _is_uri(self, htu: object, path: str) -> bool:
        if not isinstance(htu, str):
            return False
        expected = self._issuer + path
        return htu == expected or _normalized(htu) == (_normalized(expected) or expected)


def token_hash(digest: bytes) -> str:
    """The `ath` of a token, from its SHA-256 digest."""
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _read(proof: str) -> tuple[dict[str, Any], str]:
    """The claims of a proof whose signature verifies, and the thumbprint of its key."""
    try:
        key, jkt = _key_of(proof.partition(".")[0])
        return jose.verify(jose.take_apart(proof), key), jkt
    except SignatureError as error:
        raise ProofInvalidError("The proof is not a well-formed, signed dpop+jwt.") from error
    except KeyPolicyError as error:
        raise ProofInvalidError("The proof's key is not of the accepted kinds and sizes.") from error


@lru_cache(maxsize=1024)
def _key_of(header_segment: str) -> tuple[jose.PublicKey, str]:
    """The key in a proof's header, and its thumbprint.

    A client's proofs share their header to the byte, so that the key is imported once. What is kept here
    proves nothing: each proof's signature is verified under it.

    Raises:
        SignatureError: typ or header are not those of a proof.
        KeyPolicyError: the jwk is missing, private, or not of the profile.
    """
    header = jose.take_apart(header_segment + "..").header
    if header.get("typ") != "dpop+jwt":
        raise SignatureError("Its typ is not dpop+jwt.")
    key = jose.import_public_key(header.get("jwk"))
    return key, key.thumbprint()


@lru_cache(maxsize=1024)
def _normalized(uri: str) -> str | None:
    """The URI after syntax- and scheme-based normalization, without query and fragment (RFC 3986 §6.2)."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if not scheme or not host or parts.username is not None:
        return None
    authority = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        authority += f":{port}"
    path = "/".join(quote(unquote_to_bytes(part), safe="-._~!$&'()*+,;=:@") for part in parts.path.split("/"))
    return f"{scheme}://{authority}{path or '/'}"
