"""The citizen's signed copy of a consent: a compact JWS the person can keep and anyone can verify."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from consent.errors import CopyError
from consent.journal import digest
from consent.oauth import jose
from consent.oauth.errors import KeyPolicyError, SignatureError

TYPE = "creditvault-consent"
MOST_KEYS = 1000
"""Keys that a published set may hold: former ones stay in it for good."""


class CopySigner:
    """Signs copies with one Ed25519 key.

    Args:
        seed: 32 secret bytes.
        of: the type of what it signs; none passes for another.

    Attributes:
        key_id: the key's thumbprint (RFC 7638), which everything it signs names.
    """

    def __init__(self, seed: bytes, of: str = TYPE) -> None:
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
        self.key_id = self._key.thumbprint()
        self._header = {"alg": "Ed25519", "typ": of, "kid": self.key_id}

    def sign(self, payload: bytes) -> str:
        """The compact JWS over exactly these bytes (RFC 7515 §7.1)."""
        return jws.serialize_compact(dict(self._header), payload, self._key, registry=jose.REGISTRY)

    def public_key(self) -> dict[str, object]:
        """The key that verifies the copies, as a JWK."""
        return dict(self._key.as_dict(private=False, kid=self.key_id, alg="Ed25519", use="sig"))


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """A copy whose signature verified.

    Attributes:
        record: the consent record (`consent_record.schema.json`).
        digest: hex SHA-256 of its text, which the entry of the access log holds as `document`.
    """

    record: Mapping[str, Any]
    digest: str


def verify_copy(copy: str, jwks: object) -> VerifiedCopy:
    """Verifies a citizen's copy.

    Args:
        copy: compact JWS, as it was given out.
        jwks: the keys of whoever gave it out, as published at `/v1/consent-keys`.

    Raises:
        CopyError: it is no copy of a consent, or none of these keys signed it.
    """
    try:
        unverified = jose.take_apart(copy.strip())
        if unverified.header.get("typ") != TYPE:
            raise CopyError("this is no copy of a consent: its header says another type")
        record = jose.KeySet(jwks, MOST_KEYS).verify(unverified)
        text = unverified.payload.decode()
    except KeyPolicyError as error:
        raise CopyError(f"the keys cannot be used: {error}") from None
    except (SignatureError, ValueError) as error:
        raise CopyError(f"this copy does not verify: {error}") from None
    return VerifiedCopy(record, digest(text))
