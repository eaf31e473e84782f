"""The citizen's signed copy of a consent: a compact JWS the person can keep and anyone can verify."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from consent.oauth import jose

TYPE = "creditvault-consent"


class CopySigner:
    """Signs copies with Ed25519.

    Args:
        seed: 32 secret bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
        self._header = {"alg": "Ed25519", "typ": TYPE, "kid": self._key.thumbprint()}

    def sign(self, payload: bytes) -> str:
        """The compact JWS over exactly these bytes (RFC 7515 §7.1)."""
        return jws.serialize_compact(dict(self._header), payload, self._key, registry=jose.REGISTRY)

    def public_key(self) -> dict[str, object]:
        """The key that verifies the copies, as a JWK."""
        return dict(self._key.as_dict(private=False, kid=self._key.thumbprint(), alg="Ed25519", use="sig"))
