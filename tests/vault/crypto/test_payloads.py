"""Log payloads: each opens in its own place, under its own month, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.envelopes import ExpiryKey
from vault.crypto.errors import UnsealError
from vault.crypto.payloads import PayloadSealer

EXPIRY = 203207
ORIGINS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
VALUES = st.binary(max_size=3000)
MONTHS = st.builds(lambda year, month: year * 100 + month, st.integers(2000, 9999), st.integers(1, 12))
KEYS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PayloadSealer(bytes(size), "log")


@given(index=st.integers(0, 2**64 - 1), month=MONTHS, plaintext=VALUES, origin=ORIGINS, key=KEYS)
def test_payloads_open_in_their_place_alone(
    index: int, month: int, plaintext: bytes, origin: str, key: bytes
) -> None:
    sealer, expiry = PayloadSealer(key, origin), ExpiryKey(month, bytes(32))
    sealed = sealer.until(expiry).seal(index, plaintext)
    assert sealer.until(expiry).open(index, sealed) == plaintext
    with pytest.raises(UnsealError):
        sealer.until(expiry).open(index ^ 1, sealed)
    other = month - 1 if month % 100 > 1 else month + 1
    with pytest.raises(UnsealError):
        sealer.until(ExpiryKey(other, bytes(32))).open(index, sealed)
    with pytest.raises(UnsealError):
        PayloadSealer(key, origin + "/").until(expiry).open(index, sealed)
    with pytest.raises(UnsealError):
        sealer.until(ExpiryKey(month, b"\1" * 32)).open(index, sealed)


@given(data=st.data(), plaintext=VALUES)
def test_any_flipped_bit_of_a_payload_is_found(data: st.DataObject, plaintext: bytes) -> None:
    sealer = PayloadSealer(bytes(32), "log").until(ExpiryKey(EXPIRY, bytes(32)))
    sealed = bytearray(sealer.seal(1, plaintext))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnsealError):
        sealer.open(1, bytes(sealed))
