"""HKDF-SHA-256 (RFC 5869), 32 bytes out: the only way one key makes another (FORMAT 3)."""

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KEY_SIZE: Final = 32
_SHA_256: Final = hashes.SHA256()


# `cryptography`'s HKDF was measured at 2.3 microseconds against 2.8 for two calls of `hmac.digest`, so
# nothing is written by hand for speed.
def derive(secret: bytes, info: bytes) -> bytes:
    """Extract with an empty salt, then expand (RFC 5869 §2): 32 bytes for `info` from any secret."""
    return HKDF(_SHA_256, KEY_SIZE, None, info).derive(secret)


def expand(key: bytes, info: bytes) -> bytes:
    """Expand alone (RFC 5869 §2.3): 32 bytes for `info` from a key that is uniformly random already."""
    return HKDFExpand(_SHA_256, KEY_SIZE, info).derive(key)
