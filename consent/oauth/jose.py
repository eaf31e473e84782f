"""The one door for signed objects: which algorithms, which keys, how large (FAPI 2.0 §5.4, RFC 8725).

joserfc's defaults are the opposite of the profile: HS256 and RS256 pass, PS256 and Ed25519 do not, and a
header over 512 bytes, such as a DPoP proof's with an RSA key, is refused. Nothing in this package calls
joserfc without the registry of this file.
"""

import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import EdDSAAlgorithm, JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.registry import Header
from joserfc.util import urlsafe_b64decode

from consent.oauth.errors import KeyPolicyError, SignatureError

PublicKey = RSAKey | ECKey | OKPKey

ALGORITHMS: Final = ("PS256", "ES256", "Ed25519", "EdDSA")
CLOCK_AHEAD: Final = 10
"""Seconds by which another's clock may be ahead of ours (FAPI 2.0 §5.3.2.1)."""

_ALGORITHMS_OF: Final = {"RSA": ("PS256",), "EC": ("ES256",), "OKP": ("Ed25519", "EdDSA")}
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_COORDINATE_BYTES: Final = 32
_RSA_BITS: Final = range(2048, 4097)
_RSA_EXPONENTS: Final = range(65_537, 2**32)
_MAX_KEYS: Final = 16


class _EdDSA(EdDSAAlgorithm):
    """The older name of Ed25519, still sent by clients; joserfc warns of it since RFC 9864."""

    security_warning = ""


class Registry(JWSRegistry):
    """Knows no algorithm but ours, so that none can be allowed by accident."""

    max_header_length = 2048
    max_payload_length = 16_384
    algorithms: dict[str, JWSAlgModel] = {  # noqa: RUF012 -- joserfc declares it so
        "PS256": JWSRegistry.algorithms["PS256"],
        "ES256": JWSRegistry.algorithms["ES256"],
        "Ed25519": JWSRegistry.algorithms["Ed25519"],
        "EdDSA": _EdDSA(),
    }


REGISTRY: Final = Registry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A JWS in compact form, taken apart; nothing in it may be believed before `verify`."""

    header: Header
    payload: bytes
    signature: CompactSignature


def take_apart(compact: str) -> Unverified:
    """Reads a compact JWS without believing it.

    Raises:
        SignatureError: it is no compact JWS, too large, or its header asks for what we do not understand.
    """
    try:
        signature = jws.extract_compact(compact.encode("ascii"), registry=REGISTRY)
        header = signature.headers()
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise SignatureError("It is not a compact JWS of acceptable size.") from error
    # `crit` names extensions that must be understood (RFC 7515 §4.1.11); there is none that we do.
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise SignatureError("Its header asks for an extension that is not supported.")
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise SignatureError("Its algorithm is not accepted.")
    return Unverified(header, signature.payload, signature)


def verify(unverified: Unverified, key: PublicKey) -> dict[str, Any]:
    """Verifies the signature and returns the claims.

    Raises:
        SignatureError: the signature does not verify under this key, or the payload is no JSON object.
    """
    if unverified.header["alg"] not in _ALGORITHMS_OF[key.key_type]:
        raise SignatureError("Its algorithm does not fit the key.")
    try:
        good = jws.validate_compact(unverified.signature, key, registry=REGISTRY)
    except (JoseError, ValueError, TypeError) as error:
        raise SignatureError("Its signature cannot be verified.") from error
    if not good:
        raise SignatureError("Its signature does not verify.")
    return read_claims(unverified)


def read_claims(unverified: Unverified) -> dict[str, Any]:
    """The claims, believed or not: whoever has not called `verify` may only look up by them.

    Raises:
        SignatureError: the payload is no JSON object.
    """
    try:
        claims = json.loads(unverified.payload)
    except (ValueError, RecursionError) as error:
        raise SignatureError("Its payload is not JSON.") from error
    if not isinstance(claims, dict):
        raise SignatureError("Its payload is not a JSON object.")
    return claims


def numeric_date(claims: Mapping[str, Any], name: str) -> float:
    """A time claim in seconds since the epoch (RFC 7519 §2).

    Raises:
        SignatureError: absent, or not a finite number. JSON's `NaN` would pass every comparison.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SignatureError("A time claim is missing or is not a number.")
    return float(value)


def text_claim(claims: Mapping[str, Any], name: str, *, longest: int = 256) -> str:
    """A claim of printable ASCII.

    Raises:
        SignatureError: absent, empty, too long, or holding other characters.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise SignatureError("A text claim is missing or too long.")
    if not value.isascii() or not value.isprintable():
        raise SignatureError("A text claim holds characters that are not accepted.")
    return value


def import_public_key(jwk: object) -> PublicKey:
    """A public key of the profile, rebuilt from its required members alone.

    Args:
        jwk: a JSON Web Key: RSA of 2048 to 4096 bits, EC on P-256, or OKP on Ed25519.

    Raises:
        KeyPolicyError: it is private or symmetric, of another kind or size, or not for signatures.
    """
    if not isinstance(jwk, Mapping):
        raise KeyPolicyError("A key must be a JSON object.")
    if not _SECRET_MEMBERS.isdisjoint(jwk):
        raise KeyPolicyError(
            "A key must be public: a private one that was sent is secret no more, so make a new one."
        )
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _ALGORITHMS_OF:
        raise KeyPolicyError("A key must be of kty RSA, EC or OKP: make one for PS256, ES256 or Ed25519.")
    _check_use(jwk, kind)
    try:
        if kind == "RSA":
            return _import_rsa(jwk)
        if kind == "EC":
            return _import_p256(jwk)
        return _import_ed25519(jwk)
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        raise KeyPolicyError("A key's members are not well formed: export it anew as a JWK.") from error


def _check_use(jwk: Mapping[str, Any], kind: str) -> None:
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise KeyPolicyError("A key must be for signatures: its use, if stated, sig; its key_ops, verify.")
    if jwk.get("alg", _ALGORITHMS_OF[kind][0]) not in _ALGORITHMS_OF[kind]:
        raise KeyPolicyError(
            "A key must be for PS256, ES256 or Ed25519, as its kty is: mend alg, or leave it out."
        )


def _import_rsa(jwk: Mapping[str, Any]) -> RSAKey:
    modulus, exponent = (int.from_bytes(_decode(jwk.get(name))) for name in ("n", "e"))
    if modulus.bit_length() not in _RSA_BITS or exponent not in _RSA_EXPONENTS:
        raise KeyPolicyError("An RSA key must have 2048 to 4096 bits and the exponent 65537: make a new one.")
    return RSAKey.import_key({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})


def _import_p256(jwk: Mapping[str, Any]) -> ECKey:
    if jwk.get("crv") != "P-256":
        raise KeyPolicyError("An EC key must be on the curve P-256: make a new one.")
    if any(len(_decode(jwk.get(name))) != _COORDINATE_BYTES for name in ("x", "y")):
        raise KeyPolicyError("A coordinate must have 32 bytes (RFC 7518 §6.2.1.2).")
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]})


def _import_ed25519(jwk: Mapping[str, Any]) -> OKPKey:
    if jwk.get("crv") != "Ed25519":
        raise KeyPolicyError("An OKP key must be on the curve Ed25519: make a new one.")
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]})


def _decode(value: object) -> bytes:
    if not isinstance(value, str):
        raise KeyPolicyError("A key's members are not well formed: export it anew as a JWK.")
    try:
        return urlsafe_b64decode(value.encode("ascii"))
    except binascii.Error as error:
        raise KeyPolicyError("A key's members are not base64url.") from error


class KeySet:
    """The registered keys of one client, or those of whoever signs copies (RFC 7517 §5).

    Args:
        jwks: a JSON Web Key Set of public keys; during a rotation it holds the old and the new one.
        most: how many it may hold.

    Raises:
        KeyPolicyError: it is no key set, holds none or too many, or one of them does not meet the profile.
    """

    def __init__(self, jwks: object, most: int = _MAX_KEYS) -> None:
        entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
        if not isinstance(entries, list) or not 1 <= len(entries) <= most:
            raise KeyPolicyError(f'Send {{"keys": [...]}} with 1 to {most:,} public keys.')
        self._keys = [(import_public_key(entry), entry.get("kid")) for entry in entries]

    def knows(self, kid: object) -> bool:
        """Whether a key is named so; without a name (None) every key is meant."""
        return kid is None or any(kid == known for _, known in self._keys)

    def verify(self, unverified: Unverified) -> dict[str, Any]:
        """Verifies the signature under the key its `kid` names, or without one under any that fits.

        Raises:
            SignatureError: none of the keys verifies it.
        """
        stated, algorithm = unverified.header.get("kid"), unverified.header["alg"]
        for key, kid in self._keys:
            if stated not in (None, kid) or algorithm not in _ALGORITHMS_OF[key.key_type]:
                continue
            try:
                return verify(unverified, key)
            except SignatureError:
                continue
        raise SignatureError("No registered key verifies the signature.")
