"""The two text encodings the formats share: strict base64 and strict decimals (FORMAT, conventions).

Both accept exactly what they would write themselves, so that nothing has two spellings.
"""

import binascii

from access_log.errors import FormatError

HASH_SIZE = 32
LARGEST = 2**63 - 1
_LARGEST_DIGITS = len(str(LARGEST))


def to_base64(data: bytes) -> str:
    """Write bytes as standard base64 with padding, on one line (RFC 4648 §4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def from_base64(text: str, what: str, size: int | None = None) -> bytes:
    """Read canonical base64.

    Args:
        text: What `to_base64` wrote; other alphabets, missing padding and set padding bits are refused.
        what: What the bytes are, for the message.
        size: The number of bytes there must be, where it is fixed.

    Raises:
        FormatError: The text is not canonical base64 of that many bytes.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"{what} is not base64") from None
    if to_base64(data) != text:
        raise FormatError(f"{what} is not canonical base64")
    if size is not None and len(data) != size:
        raise FormatError(f"{what} has {len(data)} bytes instead of {size}")
    return data


def from_decimal(text: str, what: str) -> int:
    """Read an ASCII decimal between 0 and 2^63 - 1 without leading zeroes.

    Raises:
        FormatError: The text is anything else.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _LARGEST_DIGITS):
        raise FormatError(f"{what} is not a decimal number")
    number = int(text)
    if str(number) != text or number > LARGEST:
        raise FormatError(f"{what} is not a decimal number without leading zeroes below 2^63")
    return number
