"""HMAC under a kept key, against the library's (RFC 2104) and RFC 4231's vectors."""

from hmac import digest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.mac import Mac


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_it_is_the_librarys(key: bytes, message: bytes) -> None:
    mac = Mac(key)
    assert mac(message) == digest(key, message, "sha256") == mac(message)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 131])
def test_keys_around_the_block(size: int) -> None:
    assert Mac(b"k" * size)(b"m") == digest(b"k" * size, b"m", "sha256")


@pytest.mark.parametrize(
    ("key", "message", "code"),
    [
        # RFC 4231 §4.3, §4.7
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_vectors(key: bytes, message: bytes, code: str) -> None:
    assert Mac(key)(message).hex() == code
