"""A person's material: what they need to check that no entry about them is hidden (FORMAT 4.6).

It holds the month keys of their streams, the openings of their entries, and the checkpoint it was made at.
It is their own: whoever has it can find the entries about them in the published log. So no message and no
`repr` here contains a key or a value.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Final

from access_log.checkpoint import MAX_NOTE
from access_log.encoding import HASH_SIZE, LARGEST, from_base64, to_base64
from access_log.errors import FormatError
from access_log.payload import JSON

VERSION: Final = 1
MAX_MATERIAL: Final = 64 * 1024 * 1024
"""The longest material that is read, in bytes."""
MAX_STREAMS: Final = 256
MAX_MONTHS: Final = 1200
MAX_KEYS: Final = 64
MAX_TEXT: Final = 2000
MAX_KEY: Final = 4096
"""The longest verifier key: one of ML-DSA-44 has some 1,800 characters beside its name."""

_YEAR: Final = 100
_MONTHS: Final = 12
_MOST_YEARS: Final = 100
_MEMBERS: Final = ("v", "origin", "log_keys", "checkpoint", "retention_years", "streams")
_STREAM_MEMBERS: Final = ("kind", "court_reference", "months", "entries")
_BEFORE: Final = "before"


class Kind(Enum):
    """Whose stream it is."""

    PERSON = "person"
    COVERT = "covert"


@dataclass(frozen=True, slots=True)
class MonthKey:
    """The key of a stream for one UTC month (yyyymm): it makes the labels of that month (FORMAT 3)."""

    month: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """One entry of a stream by its index; the opening is None once the payload is not kept any more."""

    index: int
    opening: Mapping[str, object] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MaterialStream:
    """One stream of a person: an ordinary one, or that of a covert case that was disclosed.

    Attributes:
        kind: Which of the two.
        court_reference: Of the covert case; None for the ordinary stream.
        months: A key for every month from the one in which the stream began.
        entries: Every entry of the stream, in the order of the log.
        before: Leaf hash of its newest entry in an earlier log that was closed; None where it began here.
    """

    kind: Kind
    court_reference: str | None
    months: tuple[MonthKey, ...]
    entries: tuple[OpenedEntry, ...]
    before: bytes | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What a person was given. Nothing in it is verified yet.

    Attributes:
        origin: The log's name.
        log_keys: The log's verifier keys as the vault states them; trust those you took elsewhere.
        checkpoint: The signed checkpoint the material was made at, verbatim: all entries before are in it.
        retention_years: For how long payloads are kept, so that younger entries must have an opening.
        streams: The ordinary stream, and those of identities joined with theirs; then disclosed covert ones.
    """

    origin: str
    log_keys: tuple[str, ...]
    checkpoint: str
    retention_years: int
    streams: tuple[MaterialStream, ...]

    def encode(self) -> bytes:
        """Write the document."""
        plain = {
            "v": VERSION,
            "origin": self.origin,
            "log_keys": self.log_keys,
            "checkpoint": self.checkpoint,
            "retention_years": self.retention_years,
            "streams": [_written(stream) for stream in self.streams],
        }
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_material(raw: bytes) -> Material:
    """Read material without verifying it.

    Raises:
        FormatError: The bytes are no material of version 1; says what is wrong and where.
    """
    if len(raw) > MAX_MATERIAL:
        raise FormatError(f"the material has more than {MAX_MATERIAL:,} bytes")
    try:
        plain = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FormatError("the material is not JSON") from None
    members = _object(plain, _MEMBERS, "the material")
    version = members["v"]
    if type(version) is not int or version != VERSION:
        raise FormatError(f"the material's version is not {VERSION}")
    origin = _text(members["origin"], "the material's origin")
    keys = tuple(
        _text(each, "a key of the material", MAX_KEY)
        for each in _list(members["log_keys"], MAX_KEYS, "the material's log_keys")
    )
    streams = tuple(
        _stream(each, f"stream {at} of the material")
        for at, each in enumerate(_list(members["streams"], MAX_STREAMS, "the material's streams"), 1)
    )
    kinds = [stream.kind for stream in streams]
    own = kinds.count(Kind.PERSON)
    if own == 0 or kinds[own:] != [Kind.COVERT] * (len(kinds) - own):
        raise FormatError("the material's streams are not the person's own and then those of covert cases")
    return Material(
        origin,
        keys,
        _text(members["checkpoint"], "the material's checkpoint", MAX_NOTE),
        _number(members["retention_years"], 1, _MOST_YEARS, "the material's retention_years"),
        streams,
    )


def _written(stream: MaterialStream) -> Mapping[str, object]:
    return {
        "kind": stream.kind.value,
        "court_reference": stream.court_reference,
        "months": [{"month": each.month, "key": to_base64(each.key)} for each in stream.months],
        "entries": [{"index": each.index, "opening": each.opening} for each in stream.entries],
        **({} if stream.before is None else {_BEFORE: to_base64(stream.before)}),
    }


def _stream(plain: object, where: str) -> MaterialStream:
    goes_on = isinstance(plain, dict) and _BEFORE in plain
    members = _object(plain, (*_STREAM_MEMBERS, _BEFORE) if goes_on else _STREAM_MEMBERS, where)
    kind = next((each for each in Kind if each.value == members["kind"]), None)
    if kind is None:
        raise FormatError(f"{where} is of no known kind")
    reference = members["court_reference"]
    if (reference is None) is not (kind is Kind.PERSON):
        raise FormatError(f"{where} has a court reference exactly if it is covert")
    months = tuple(
        _month(each, where) for each in _list(members["months"], MAX_MONTHS, f"the months of {where}")
    )
    entries = tuple(
        _entry(each, where) for each in _list(members["entries"], LARGEST, f"the entries of {where}")
    )
    _require_ascending([each.month for each in months], f"the months of {where}")
    _require_ascending([each.index for each in entries], f"the entries of {where}")
    return MaterialStream(
        kind,
        None if reference is None else _text(reference, f"the court reference of {where}"),
        months,
        entries,
        from_base64(
            _text(members[_BEFORE], f"the entry before {where}"), f"the entry before {where}", HASH_SIZE
        )
        if goes_on
        else None,
    )


def _month(plain: object, where: str) -> MonthKey:
    members = _object(plain, ("month", "key"), f"a month of {where}")
    month = _number(members["month"], 1970 * _YEAR + 1, 9999 * _YEAR + _MONTHS, f"a month of {where}")
    if not 1 <= month % _YEAR <= _MONTHS:
        raise FormatError(f"a month of {where} is not written yyyymm")
    key = members["key"]
    if not isinstance(key, str):
        raise FormatError(f"a key of {where} is not base64")
    return MonthKey(month, from_base64(key, f"a key of {where}", HASH_SIZE))


def _entry(plain: object, where: str) -> OpenedEntry:
    members = _object(plain, ("index", "opening"), f"an entry of {where}")
    opening = members["opening"]
    if opening is not None and not isinstance(opening, dict):
        raise FormatError(f"an opening of {where} is not a JSON object")
    return OpenedEntry(_number(members["index"], 0, LARGEST, f"an index of {where}"), opening)


def _require_ascending(numbers: Sequence[int], what: str) -> None:
    if any(one >= other for one, other in pairwise(numbers)):
        raise FormatError(f"{what} are not in ascending order, each once")


def _object(plain: object, members: tuple[str, ...], what: str) -> Mapping[str, JSON]:
    if not isinstance(plain, dict) or plain.keys() != set(members):
        raise FormatError(f"{what} does not have exactly the members {', '.join(members)}")
    return plain


def _list(plain: object, most: int, what: str) -> list[object]:
    if not isinstance(plain, list) or len(plain) > most:
        raise FormatError(f"{what} are no list of at most {most}")
    return plain


def _text(plain: object, what: str, most: int = MAX_TEXT) -> str:
    if not isinstance(plain, str) or len(plain) > most:
        raise FormatError(f"{what} is no text of at most {most} characters")
    return plain


def _number(plain: object, least: int, most: int, what: str) -> int:
    if type(plain) is not int or not least <= plain <= most:
        raise FormatError(f"{what} is no number from {least} to {most}")
    return plain


def _no_constant(_name: str) -> None:
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError
