"""Finding a value again in whatever spelling it may have left."""

import hashlib
import json
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

_GROUP = 3  # bytes that base64 spells together
_WORD = 4
_SHORTEST = 8  # bytes: four stand by chance somewhere in megabytes of base64, these do not


def spellings(value: str) -> Iterator[bytes]:
    """A text as it stands in files, logs, addresses, headers and documents, wherever it begins there.

    Raises:
        ValueError: it is so short that one of its spellings could be found by chance.
    """
    every = list(_spellings(value))
    if min(map(len, every)) < _SHORTEST:
        msg = f"{value!r} is too short to be sought: a spelling of it has fewer than {_SHORTEST} bytes"
        raise ValueError(msg)
    yield from every


def _spellings(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield from {plain, value.lower().encode(), value.upper().encode(), value[::-1].encode()}
    yield value.encode("utf-16-le")
    yield value.encode("utf-16-be")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield quote(value).encode()
    yield quote(value, safe="").lower().encode()
    yield json.dumps(value)[1:-1].encode()
    for before in range(_GROUP):
        # Base64 of it wherever it begins within a group; the groups at its ends hold its neighbours too.
        aligned = bytes(before) + plain
        whole = slice(4 if before else 0, len(aligned) // _GROUP * 4)
        yield b64encode(aligned)[whole]
        yield urlsafe_b64encode(aligned)[whole]


def guessable(value: str) -> Iterator[bytes]:
    """Digests without a key: whoever can list all values can look them up."""
    for message in (value, f"demo-id\0{value}", f"demo-id:{value}"):
        for algorithm in ("sha256", "sha512", "sha1", "md5"):
            digest = hashlib.new(algorithm, message.encode(), usedforsecurity=False).digest()
            yield digest
            yield digest.hex().encode()


def found_in(needles: Mapping[str, Iterable[bytes]], haystacks: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Where something was found: its name, and the place.

    Raises:
        ValueError: a needle is so short that it could be missed.
    """
    sought = [(name, needle, _words(needle)) for name, each in needles.items() for needle in set(each)]
    words = {word for *_, each in sought for word in each}
    found = set()
    for place, content in haystacks.items():
        whole = memoryview(content)[: len(content) // _WORD * _WORD]
        present = words.intersection(whole.cast("I"))
        found |= {
            (name, place)
            for name, needle, each in sought
            if not present.isdisjoint(each) and needle in content
        }
    return found


def _words(needle: bytes) -> tuple[int, ...]:
    """Words of four bytes, of which one is read wherever the needle stands in what is read word by word.

    Seeking thousands of needles one by one in hundreds of megabytes takes minutes; nearly all of them are
    ruled out by one pass over the words.
    """
    if len(needle) < _SHORTEST:
        msg = f"a needle has at least {_SHORTEST} bytes"
        raise ValueError(msg)
    return tuple(int.from_bytes(needle[at : at + _WORD], sys.byteorder) for at in range(_WORD))
