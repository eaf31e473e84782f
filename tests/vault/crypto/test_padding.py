"""Padding: size classes, and one way to pad each value."""

from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import UnsealError
from vault.crypto.padding import pad, unpad

VALUES = st.binary(max_size=3000)


@given(value=VALUES)
def test_padding_reads_what_it_writes(value: bytes) -> None:
    padded = pad(value)
    assert unpad(padded) == value
    assert len(padded) in {64, 128, 256, 512} or len(padded) % 1024 == 0
    assert len(padded) - len(value) - 4 < max(64, len(padded) // 2, 1024 * (len(padded) > 512))


@given(raw=st.binary(max_size=300) | VALUES.map(pad).flatmap(lambda padded: st.just(padded[:-1] + b"\1")))
def test_whatever_unpads_pads_identically(raw: bytes) -> None:
    try:
        value = unpad(raw)
    except UnsealError:
        return
    assert pad(value) == raw
