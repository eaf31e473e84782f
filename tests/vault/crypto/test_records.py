"""Fields and record keys: what opens, and everything that must not."""

import hmac
import pickle
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.envelopes import (
    ExpiryKey,
    RecordKey,
    SubjectKey,
    expiry_key_aad,
    subject_key_aad,
    system_key_aad,
)
from vault.crypto.errors import UnsealError
from vault.crypto.fields import FieldSealer
from vault.crypto.padding import padded_size

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
VALUES = st.binary(max_size=3000)
VERSIONS = st.integers(0, 2**32 - 1)
EXPIRY = 203207


class Bench:
    """One person's record version, wrapped."""

    def __init__(self) -> None:
        self.subject_key = SubjectKey.generate(uuid4())
        self.expiry_key = ExpiryKey.generate(EXPIRY)
        self.record = uuid4()
        self.version = 3
        self.record_key = RecordKey.generate(self.subject_key, self.record, self.version)
        self.wrapped = self.record_key.wrap(self.expiry_key)
        self.check = self.record_key.check()

    def unwrap(
        self,
        *,
        subject_key: SubjectKey | None = None,
        record: UUID | None = None,
        version: int | None = None,
        expiry_key: ExpiryKey | None = None,
        wrapped: bytes | None = None,
        check: bytes | None = None,
    ) -> RecordKey:
        return RecordKey.unwrap(
            subject_key or self.subject_key,
            record or self.record,
            self.version if version is None else version,
            expiry_key=expiry_key or self.expiry_key,
            wrapped=self.wrapped if wrapped is None else wrapped,
            key_check=self.check if check is None else check,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


@given(values=st.dictionaries(NAMES, VALUES, max_size=6), category=NAMES, version=VERSIONS)
def test_what_is_sealed_opens(values: dict[str, bytes], category: str, version: int) -> None:
    subject_key, expiry_key, record = SubjectKey.generate(uuid4()), ExpiryKey.generate(EXPIRY), uuid4()
    new = RecordKey.generate(subject_key, record, version)
    sealed = new.fields(category).seal(values)
    read = RecordKey.unwrap(
        subject_key,
        record,
        version,
        expiry_key=expiry_key,
        wrapped=new.wrap(expiry_key),
        key_check=new.check(),
    ).fields(category)
    assert {field: read.open(field, text) for field, text in sealed.items()} == values
    assert all(len(sealed[field]) == 30 + padded_size(len(value)) for field, value in values.items())


@given(value=VALUES, data=st.data())
def test_any_flipped_bit_of_a_field_is_found(value: bytes, data: st.DataObject) -> None:
    sealer = Bench().record_key.fields("FIN")
    sealed = bytearray(sealer.seal({"type": value})["type"])
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnsealError):
        sealer.open("type", bytes(sealed))


@given(value=VALUES, data=st.data())
def test_a_field_cut_or_lengthened_does_not_open(value: bytes, data: st.DataObject) -> None:
    sealer = Bench().record_key.fields("FIN")
    sealed = sealer.seal({"type": value})["type"]
    with pytest.raises(UnsealError):
        sealer.open("type", sealed[: data.draw(st.integers(0, len(sealed) - 1))])
    with pytest.raises(UnsealError):
        sealer.open("type", sealed + data.draw(st.binary(min_size=1, max_size=20)))


def test_a_moved_field_does_not_open(bench: Bench) -> None:
    key, record, version = bench.record_key._key, bench.record, bench.version
    sealed = bench.record_key.fields("FIN").seal({"type": b"1"})["type"]
    other = SubjectKey(uuid4(), bench.subject_key.key)
    elsewhere = {
        "subject": RecordKey(key, other, record, version).fields("FIN"),
        "record": RecordKey(key, bench.subject_key, uuid4(), version).fields("FIN"),
        "version": RecordKey(key, bench.subject_key, record, version + 1).fields("FIN"),
        "category": bench.record_key.fields("TAX"),
        "key": Bench().record_key.fields("FIN"),
    }
    for sealer in elsewhere.values():
        with pytest.raises(UnsealError):
            sealer.open("type", sealed)
    with pytest.raises(UnsealError):
        bench.record_key.fields("FIN").open("status", sealed)
    assert bench.record_key.fields("FIN").open("type", sealed) == b"1"


@given(category=NAMES, field=NAMES, at=st.integers(1, 79))
def test_category_and_field_cannot_be_split_elsewhere(category: str, field: str, at: int) -> None:
    whole = category + field
    if not 0 < at < len(whole) or whole[:at] == category:
        return
    key = Bench().record_key
    sealed = key.fields(category).seal({field: b"1"})[field]
    with pytest.raises(UnsealError):
        key.fields(whole[:at]).open(whole[at:], sealed)


def test_one_value_sealed_twice_differs(bench: Bench) -> None:
    sealed = bench.record_key.fields("FIN").seal({str(at): b"same" for at in range(50)})
    assert len({text[2:14] for text in sealed.values()}) == 50


@pytest.mark.parametrize("name", ["", "x" * 256, "猫" * 86])
def test_a_name_that_fits_no_length_byte_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(ValueError, match="between 1 and 255"):
        bench.record_key.fields("FIN").seal({name: b""})
    with pytest.raises(ValueError, match="between 1 and 255"):
        bench.record_key.fields(name)


@given(data=st.data())
def test_any_flipped_bit_of_a_wrapped_record_key_is_found(data: st.DataObject) -> None:
    bench = Bench()
    assert len(bench.wrapped) == 62
    wrapped = bytearray(bench.wrapped)
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnsealError):
        bench.unwrap(wrapped=bytes(wrapped))
    check = bytearray(bench.check)
    bit = data.draw(st.integers(0, len(check) * 8 - 1))
    check[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnsealError, match="key check"):
        bench.unwrap(check=bytes(check))


def test_a_moved_record_key_does_not_open(bench: Bench) -> None:
    bench.unwrap()
    with pytest.raises(UnsealError):
        bench.unwrap(subject_key=SubjectKey.generate(bench.subject_key.subject))
    with pytest.raises(UnsealError):
        bench.unwrap(subject_key=SubjectKey(uuid4(), bench.subject_key.key))
    with pytest.raises(UnsealError):
        bench.unwrap(record=uuid4())
    with pytest.raises(UnsealError):
        bench.unwrap(version=bench.version + 1)
    with pytest.raises(UnsealError):
        bench.unwrap(expiry_key=ExpiryKey(EXPIRY + 1, bench.expiry_key.key))
    with pytest.raises(UnsealError):
        bench.unwrap(expiry_key=ExpiryKey.generate(EXPIRY))


def test_a_record_moves_to_another_month_and_keeps_its_check(bench: Bench) -> None:
    later = ExpiryKey.generate(203308)
    sealed = bench.record_key.fields("FIN").seal({"type": b"1"})["type"]
    moved = bench.unwrap().wrap(later)
    assert bench.unwrap(expiry_key=later, wrapped=moved).fields("FIN").open("type", sealed) == b"1"
    with pytest.raises(UnsealError):
        bench.unwrap(wrapped=moved)


def test_the_key_check_is_compared_in_constant_time_before_any_field_key_exists(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    compare, prepare = hmac.compare_digest, FieldSealer.__init__

    def comparing(left: bytes, right: bytes) -> bool:
        happened.append("compared")
        return compare(left, right)

    def preparing(self: FieldSealer, key: bytes, place: bytes, category: str) -> None:
        happened.append("prepared")
        prepare(self, key, place, category)

    monkeypatch.setattr(hmac, "compare_digest", comparing)
    monkeypatch.setattr(FieldSealer, "__init__", preparing)
    with pytest.raises(UnsealError):
        bench.unwrap(check=bytes(32))
    assert happened == ["compared"]
    bench.unwrap().fields("FIN")
    assert happened == ["compared", "compared", "prepared"]


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_wrapped_key_of_another_length_is_refused(bench: Bench, length: int) -> None:
    odd = RecordKey(bytes(length), bench.subject_key, bench.record, bench.version)
    with pytest.raises(UnsealError):
        bench.unwrap(wrapped=odd.wrap(bench.expiry_key), check=odd.check())


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SubjectKey(uuid4(), bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        ExpiryKey(EXPIRY, bytes(size))


@pytest.mark.parametrize("expiry_id", [0, 13, 2032, 203200, 203213, 20320701, 199912, -203207])
def test_what_is_no_month_is_no_expiry_id(expiry_id: int) -> None:
    with pytest.raises(ValueError, match="month"):
        ExpiryKey.generate(expiry_id)
    with pytest.raises(ValueError, match="month"):
        expiry_key_aad(expiry_id)


def test_keys_do_not_show_themselves(bench: Bench) -> None:
    for holder in (bench.subject_key, bench.expiry_key, bench.record_key, bench.record_key.fields("FIN")):
        for shown in (repr(holder), str(holder), f"{holder}"):
            for key in (bench.subject_key.key, bench.expiry_key.key, bench.record_key._key):
                assert repr(key) not in shown
                assert key.hex() not in shown


def test_what_the_provider_binds_keys_to() -> None:
    subject = UUID("00112233-4455-6677-8899-aabbccddeeff")
    assert subject_key_aad(subject) == b"creditvault subject key v1" + subject.bytes
    assert expiry_key_aad(EXPIRY) == b"creditvault expiry key v1\x00\x03\x19\xc7"
    assert system_key_aad("label", 2) == b"creditvault system key v1\x05label\x00\x00\x00\x02"


def test_errors_cross_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(UnsealError("moved", 4)))  # noqa: S301 -- our own bytes
    assert (str(error), error.position) == ("moved", 4)
