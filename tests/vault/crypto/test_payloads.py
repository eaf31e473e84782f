"""Log payloads: each opens in its own place, under its own month, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        PayloadSealer(bytes(size), dict[int, bytes]().__getitem__, "log")


@given(index=st.integers(0, 2**64 - 1), month=MONTHS, plaintext=VALUES, origin=ORIGINS, key=KEYS)
def test_payloads_open_in_their_place_alone(
    index: int, month: int, plaintext: bytes, origin: str, key: bytes
) -> None:
    sealer = PayloadSealer(key, lambda _: bytes(32), origin)
    sealed = sealer.until(month).seal(index, plaintext)
    assert sealer.until(month).open(index, sealed) == plaintext
    with pytest.raises(UnsealError):
        sealer.until(month).open(index ^ 1, sealed)
    with pytest.raises(UnsealError):
        sealer.until(month + 1).open(index, sealed)
    with pytest.raises(UnsealError):
        PayloadSealer(key, lambda _: bytes(32), origin + "/").until(month).open(index, sealed)
    with pytest.raises(UnsealError):
        PayloadSealer(key, lambda _: b"\1" * 32, origin).until(month).open(index, sealed)


@given(data=st.data(), plaintext=VALUES)
def test_any_flipped_bit_of_a_payload_is_found(data: st.DataObject, plaintext: bytes) -> None:
    sealer = PayloadSealer(bytes(32), lambda _: bytes(32), "log")
    sealed = bytearray(sealer.until(EXPIRY).seal(1, plaintext))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnsealError):
        sealer.until(EXPIRY).open(1, bytes(sealed))


def test_a_destroyed_month_is_not_remembered() -> None:
    months = {EXPIRY: bytes(32)}
    sealer = PayloadSealer(bytes(32), months.__getitem__, "log")
    sealed = sealer.until(EXPIRY).seal(1, b"1")
    assert sealer.until(EXPIRY).open(1, sealed) == b"1"
    del months[EXPIRY]
    with pytest.raises(KeyError):
        sealer.until(EXPIRY).open(1, sealed)
