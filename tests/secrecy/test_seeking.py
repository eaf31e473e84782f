"""The search itself can fail a test: it finds a value in every spelling, wherever that begins."""

import hashlib
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secrecy.seeking import found_in, guessable, spellings

_VALUE = "Zwiebelturm 99-\N{LATIN SMALL LETTER U WITH DIAERESIS}\u5f20"
_SPELLED: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "hex": lambda raw: raw.hex().encode(),
    "base64": b64encode,
    "base64 of addresses": urlsafe_b64encode,
    "address": lambda raw: quote(raw.decode()).encode(),
    "JSON": lambda raw: json.dumps(raw.decode()).encode(),
    "JSON in base64": lambda raw: b64encode(json.dumps(raw.decode(), ensure_ascii=False).encode()),
}


@pytest.mark.parametrize("spelled", _SPELLED)
@pytest.mark.parametrize("before", range(4))
def test_every_spelling_is_found(spelled: str, before: int) -> None:
    around = "x" * before + _VALUE + "y" * 5
    place = {"somewhere": b"\0noise" + _SPELLED[spelled](around.encode()) + b"noise\0"}
    assert found_in({"it": spellings(_VALUE)}, place) == {("it", "somewhere")}
    assert found_in({"another": spellings("Another tower 98")}, place) == set()


def test_a_digest_without_a_key_is_found() -> None:
    digest = hashlib.sha256(b"demo-id\x00110101")
    place = {"raw": hashlib.sha512(b"110101").digest(), "hex": digest.hexdigest().encode()}
    assert found_in({"it": guessable("110101")}, place) == {("it", "raw"), ("it", "hex")}


@given(content=st.binary(max_size=200), needle=st.binary(min_size=8, max_size=20), at=st.integers(0, 200))
def test_one_pass_over_words_finds_what_seeking_one_by_one_finds(
    content: bytes, needle: bytes, at: int
) -> None:
    for place in (content, content[:at] + needle + content[at:]):
        assert bool(found_in({"it": [needle]}, {"here": place})) == (needle in place)


def test_what_is_reversed_is_found() -> None:
    assert found_in({"it": spellings("abcdef-123")}, {"here": b"..321-fedcba.."}) == {("it", "here")}


def test_what_could_be_found_by_chance_is_not_sought() -> None:
    with pytest.raises(ValueError, match="too short"):
        list(spellings("MRKDOC"))
