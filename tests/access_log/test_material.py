"""The document a person is given (FORMAT 4.6)."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_log.checkpoint import MAX_NOTE
from access_log.errors import FormatError
from access_log.material import MAX_MATERIAL, Kind, read_material
from tests.access_log.persons import ANN, CASE, Persons, at


def example() -> bytes:
    persons = Persons()
    persons.add(ANN, at(2026, 6))
    persons.add(CASE, at(2026, 7))
    persons.add(ANN, at(2026, 7))
    return persons.material(streams=(persons.stream(ANN), persons.stream(CASE, "court 17"))).encode()


RAW = example()


def test_what_is_written_is_read() -> None:
    assert read_material(RAW).encode() == RAW


def test_no_key_shows_in_a_repr() -> None:
    material = read_material(RAW)
    key = json.loads(RAW)["streams"][0]["months"][0]["key"]
    assert key not in repr(material)
    assert repr(material.streams[0].months[0].key) not in repr(material)


def _set(path: tuple[str | int, ...], value: object) -> Callable[[Any], object]:
    def change(plain: Any) -> None:
        *way, last = path
        for step in way:
            plain = plain[step]
        plain[last] = value

    return change


STREAM = ("streams", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(("v",), 2), "version"),
        (_set(("v",), True), "version"),
        (_set(("more",), 1), "exactly the members"),
        (lambda plain: plain.pop("origin"), "exactly the members"),
        (_set(("origin",), 5), "origin is no text"),
        (_set(("log_keys",), "key"), "log_keys are no list"),
        (_set(("log_keys",), [1]), "a key of the material is no text"),
        (_set(("checkpoint",), "x" * (MAX_NOTE + 1)), "checkpoint is no text"),
        (_set(("retention_years",), 0), "retention_years is no number"),
        (_set(("retention_years",), 5.0), "retention_years is no number"),
        (_set(("streams",), []), "the person's own and then"),
        (lambda plain: plain["streams"].reverse(), "the person's own and then"),
        (lambda plain: plain["streams"].append(plain["streams"][0]), "the person's own and then"),
        (_set(("streams",), [1]), "stream 1 of the material does not have"),
        (_set((*STREAM, "kind"), "system"), "no known kind"),
        (_set((*STREAM, "court_reference"), "x"), "exactly if it is covert"),
        (_set(("streams", 1, "court_reference"), None), "exactly if it is covert"),
        (_set((*STREAM, "months", 0, "month"), 202613), "yyyymm"),
        (_set((*STREAM, "months", 0, "month"), 196912), "no number from"),
        (_set((*STREAM, "months", 0, "key"), "AAAA"), "has 3 bytes instead of 32"),
        (_set((*STREAM, "months", 0, "key"), 1), "not base64"),
        (_set((*STREAM, "months", 1, "month"), 202606), "not in ascending order"),
        (_set((*STREAM, "entries", 1, "index"), 0), "not in ascending order"),
        (_set((*STREAM, "entries", 0, "index"), -1), "no number from"),
        (_set((*STREAM, "entries", 0, "opening"), "x"), "not a JSON object"),
        (_set((*STREAM, "entries", 0), []), "an entry of stream 1"),
    ],
)
def test_anything_else_is_refused_in_words(change: Callable[[Any], object], words: str) -> None:
    plain = json.loads(RAW)
    change(plain)
    with pytest.raises(FormatError, match=words):
        read_material(json.dumps(plain).encode())


def test_several_identities_of_one_person_have_each_a_stream_of_their_own() -> None:
    plain = json.loads(RAW)
    plain["streams"].insert(0, plain["streams"][0])
    read = read_material(json.dumps(plain).encode())
    assert [each.kind for each in read.streams][:3] == [Kind.PERSON, Kind.PERSON, Kind.COVERT]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"1" * 5000, b'{"v":NaN}', b"[" * 100_000])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        read_material(raw)


def test_a_document_that_is_too_long_is_refused() -> None:
    with pytest.raises(FormatError, match="more than"):
        read_material(bytes(MAX_MATERIAL + 1))


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=3))
def test_no_damage_ends_in_anything_but_a_refusal_or_a_reading(place: int, put: bytes) -> None:
    with suppress(FormatError):
        read_material(RAW[:place] + put + RAW[place + len(put) :])
