"""Labels and streams (FORMAT 3)."""

from hmac import digest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.entry import LAST_TIME
from access_log.errors import FormatError
from access_log.labels import label, month_key, month_of, stream_key

ORIGIN = "vault.example/log/2026"


def test_the_design_vector() -> None:
    key = stream_key(bytes(32), bytes(range(16)))
    assert label(month_key(key, ORIGIN, 202607), 1).hex() == (
        "6b4824b86ec4f91402b0015a5d03674f7d65c1329de41b4c10df0bf5e25058ee"
    )


@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**64 - 1), st.text(min_size=1, max_size=60))
def test_labels_follow_the_formula(key: bytes, seq: int, origin: str) -> None:
    name = origin.encode()
    message = b"creditvault label v1" + bytes([len(name)]) + name + (203012).to_bytes(4, "big")
    month = digest(key, message, "sha256")
    assert month_key(key, origin, 203012) == month
    assert label(month, seq) == digest(month, seq.to_bytes(8, "big"), "sha256")


@pytest.mark.parametrize(
    ("time", "month"),
    [(0, 197001), (1_782_863_999_999, 202606), (1_782_864_000_000, 202607), (LAST_TIME, 999912)],
)
def test_months_are_those_of_utc(time: int, month: int) -> None:
    assert month_of(time) == month


def test_what_is_out_of_bounds_is_refused() -> None:
    key = bytes(32)
    for call in (
        lambda: stream_key(bytes(31), bytes(16)),
        lambda: stream_key(key, bytes(15)),
        lambda: month_key(bytes(31), ORIGIN, 202601),
        lambda: month_key(key, "", 202601),
        lambda: month_key(key, "x" * 256, 202601),
        lambda: month_key(key, ORIGIN, 202600),
        lambda: month_key(key, ORIGIN, 202613),
        lambda: month_key(key, ORIGIN, 1_000_001),
        lambda: label(key, 0),
        lambda: label(key, 2**64),
        lambda: label(bytes(31), 1),
        lambda: month_of(-1),
        lambda: month_of(LAST_TIME + 1),
    ):
        with pytest.raises(FormatError):
            call()
