"""Padding inside the AEAD, so that a stolen database shows size classes and not sizes (FORMAT 2)."""

from typing import Final

from vault.crypto.errors import UnsealError

_SMALL: Final = (64, 128, 256, 512)
_STEP: Final = 1024
_LENGTH: Final = 4


def padded_size(length: int) -> int:
    """The size class of a value of `length` bytes, its own 4 bytes of length included."""
    total = _LENGTH + length
    for size in _SMALL:
        if total <= size:
            return size
    return -(-total // _STEP) * _STEP


def pad(value: bytes) -> bytes:
    """`u32 length ‖ value ‖ zeros`, to the size class."""
    length = len(value)
    return (length.to_bytes(_LENGTH, "big") + value).ljust(padded_size(length), b"\0")


def unpad(padded: bytes) -> bytes:
    """Read what `pad` wrote, and nothing else.

    Raises:
        UnsealError: Writing the value again would give other bytes: a wrong class, a length that does not
            fit, or padding that is not zero.
    """
    value = padded[_LENGTH : _LENGTH + int.from_bytes(padded[:_LENGTH], "big")]
    if pad(value) != padded:
        raise UnsealError("the padding is not the one this format writes")
    return value
