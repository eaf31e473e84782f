"""What an entry commits to: attributes one can open one by one (FORMAT 2).

The payload is sealed and stored beside the entry. Each value is hashed as the JSON text that is stored,
never re-serialized, under a salt of its own, so that an opening shows some attributes and says nothing
of the others. Payloads hold personal data: no message and no `repr` here contains a value.
"""

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from json.encoder import encode_basestring
from typing import Final, TypeAlias, cast

from access_log.encoding import HASH_SIZE, from_base64, to_base64
from access_log.entry import Entry, EntryType
from access_log.errors import FormatError, VerificationError
from access_log.mac import Mac

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

VERSION: Final = 1
FIRST_PREVIOUS: Final = bytes(HASH_SIZE)
"""`previous` of a stream's first entry."""

_COMMITMENT: Final = Mac(b"creditvault access-log commitment v1")
_DIGEST_VERSION: Final = b"\x01"
_PLACE: Final = ("seq", "previous")
_NO_PLACE: Final = (b"", b"")
_MAX_SEQ: Final = 2**64 - 1
_NULL: Final = "null"
_TYPES: Final = {int(each): each for each in EntryType}
_U32: Final = struct.Struct(">I").pack
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Party(Enum):
    """For whom an opening is made."""

    BODY = "body"
    PERSON = "person"
    INSPECTOR = "inspector"


@dataclass(frozen=True)
class _Layout:
    """The attributes of a type: what the body, then also the person, then also inspectors may open."""

    body: tuple[str, ...]
    person: tuple[str, ...]
    inspector: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return self.body + self.person + self.inspector

    @cached_property
    def given(self) -> frozenset[str]:
        """The names a caller may set; the place in the stream is the log's to set."""
        return frozenset(self.names) - frozenset(_PLACE)

    @cached_property
    def prefixes(self) -> tuple[bytes, ...]:
        """`u8 len(name) ‖ name` of each attribute."""
        return tuple(bytes((len(name),)) + name.encode() for name in self.names)

    @cached_property
    def rows(self) -> tuple[tuple[str, slice, bytes, bytes], ...]:
        """Of each attribute a caller may set: name, place of its salt, prefix, what is hashed if absent."""
        return tuple(
            (name, _salt_at(at), prefix, _hashed(prefix, _NULL.encode()))
            for at, (name, prefix) in enumerate(zip(self.names, self.prefixes, strict=True))
            if name not in _PLACE
        )

    @cached_property
    def place(self) -> int:
        """Where `seq` stands among the attributes; `previous` follows it."""
        return self.names.index(_PLACE[0])

    @cached_property
    def place_rows(self) -> tuple[tuple[slice, bytes], ...]:
        """Of `seq` and `previous`: place of the salt, and prefix."""
        return tuple((_salt_at(at), self.prefixes[at]) for at in range(self.place, self.place + len(_PLACE)))

    def opened(self, party: Party) -> int:
        """How many attributes, from the first, the party may open."""
        if party is Party.BODY:
            return len(self.body)
        if party is Party.PERSON:
            return len(self.body) + len(self.person)
        return len(self.names)


_QUERY: Final = _Layout(
    body=(
        "body",
        "officer",
        "officer_role",
        "purpose",
        "case_reference",
        "basis",
        "decision",
        "reason",
        "fields",
        "request_digest",
    ),
    person=("record_versions", *_PLACE),
    inspector=("subject",),
)
_EVENT: Final = _Layout(
    body=(),
    person=("event", "actor", "actor_role", "body", "object", "basis", "document", "key_checks", *_PLACE),
    inspector=("subject",),
)
_NOT_RELEASED: Final = _Layout(body=(), person=("query", "reason", *_PLACE), inspector=("subject",))
_HEARTBEAT: Final = _Layout(body=(), person=_PLACE, inspector=())

_LAYOUTS: Final[Mapping[EntryType, _Layout]] = {
    EntryType.QUERY_PERMITTED: _QUERY,
    EntryType.QUERY_REFUSED: _QUERY,
    EntryType.CONSENT: _EVENT,
    EntryType.AUTHORIZATION: _EVENT,
    EntryType.RECORD: _EVENT,
    EntryType.RIGHTS: _EVENT,
    EntryType.KEY: _EVENT,
    EntryType.INSPECTION: _EVENT,
    EntryType.OPERATOR: _EVENT,
    EntryType.NOT_RELEASED: _NOT_RELEASED,
    EntryType.HEARTBEAT: _HEARTBEAT,
}


def attribute_names(entry_type: EntryType) -> tuple[str, ...]:
    """The names of a type's attributes, in the order in which they are hashed."""
    return _LAYOUTS[entry_type].names


@dataclass(frozen=True, slots=True, repr=False)
class Payload:
    """The attributes of one entry as they are stored, with the secrets that hide them.

    Attributes:
        type: The entry's type; it fixes the attributes.
        texts: The value of each attribute as the JSON text that is stored and hashed.
        salts: The attributes' salts one after the other, 32 bytes each.
        blind: What hides the commitment, 32 bytes.
        digests: The hash of each attribute; those of the place are empty until `with_place`.
    """

    type: EntryType
    texts: tuple[str, ...]
    salts: bytes
    blind: bytes
    digests: tuple[bytes, ...]

    @classmethod
    def create(cls, entry_type: EntryType, values: Mapping[str, JSON]) -> "Payload":
        """Take the values of an event and draw its salts and blind.

        Args:
            entry_type: The entry's type.
            values: Any of the type's attributes but `seq` and `previous`; absent ones are `null`.

        Raises:
            FormatError: A name is not one of the type's, or a value has no JSON form.
        """
        layout = _LAYOUTS[entry_type]
        if not values.keys() <= layout.given:
            unknown = sorted(values.keys() - layout.given)
            raise FormatError(f"an entry of type {entry_type.name} has no attribute {unknown[0]} to be given")
        # Everything but the place is hashed here, and so need not be under the head lock.
        secret = os.urandom(HASH_SIZE * (len(layout.names) + 1))
        blind, salts = secret[:HASH_SIZE], secret[HASH_SIZE:]
        texts: list[str] = []
        digests: list[bytes] = []
        given = values.get
        try:
            for name, salt, prefix, absent in layout.rows:
                value = given(name)
                if value is None:
                    texts.append(_NULL)
                    digests.append(sha256(b"\x20" + salts[salt] + absent).digest())
                    continue
                text = encode_basestring(value) if type(value) is str else _json(value)
                raw = text.encode()
                texts.append(text)
                digests.append(sha256(b"\x20" + salts[salt] + prefix + _U32(len(raw)) + raw).digest())
        except (TypeError, ValueError, RecursionError):
            raise FormatError("a value of the payload has no JSON form") from None
        texts[layout.place : layout.place] = _NULL, _NULL
        digests[layout.place : layout.place] = _NO_PLACE
        return cls(entry_type, tuple(texts), salts, blind, tuple(digests))

    def with_place(self, seq: int, previous: bytes) -> "Payload":
        """Put the payload at its place in its stream, after which it can be committed to.

        Args:
            seq: The number of the entry in its month, from 1.
            previous: Leaf hash of the stream's entry before, or `FIRST_PREVIOUS`.

        Raises:
            FormatError: The number or the length of the hash is out of bounds.
        """
        if not 1 <= seq <= _MAX_SEQ or len(previous) != HASH_SIZE:
            raise FormatError("a place in a stream is a number from 1 and a hash of 32 bytes")
        layout, texts, salts, digests = _LAYOUTS[self.type], self.texts, self.salts, self.digests
        at, behind = layout.place, layout.place + len(_PLACE)
        (number_salt, number), (link_salt, link) = layout.place_rows
        place = (str(seq), f'"{to_base64(previous)}"')
        hashed = (_digest(salts[number_salt], number, place[0]), _digest(salts[link_salt], link, place[1]))
        return Payload(
            self.type,
            (*texts[:at], *place, *texts[behind:]),
            salts,
            self.blind,
            (*digests[:at], *hashed, *digests[behind:]),
        )

    def commitment(self, label: bytes) -> bytes:
        """What the entry with this label carries: 32 bytes that bind every attribute and show none.

        Raises:
            FormatError: The payload has no place yet, or the label not 32 bytes.
        """
        self._require_place()
        return _commitment(self.type, self.digests, self.blind, label)

    def encode(self) -> bytes:
        """The plaintext to be sealed: JSON of the stored texts, salts and blind.

        Raises:
            FormatError: The payload has no place yet.
        """
        self._require_place()
        # Put together by hand: the encoder would be made anew for every payload.
        values = ",".join(map(encode_basestring, self.texts))
        return (
            f'{{"v":{VERSION},"type":{self.type:d},"blind":"{to_base64(self.blind)}",'
            f'"salts":"{to_base64(self.salts)}","values":[{values}]}}'
        ).encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Payload":
        """Read what `encode` wrote; anything that would be written otherwise is refused.

        Raises:
            FormatError: The bytes are no payload of version 1.
        """
        plain = _object(raw, ("v", "type", "blind", "salts", "values"))
        entry_type = _type(plain)
        layout = _LAYOUTS[entry_type]
        texts = plain["values"]
        if not isinstance(texts, list) or len(texts) != len(layout.names):
            raise FormatError("the payload does not have its type's number of values")
        if not all(isinstance(text, str) for text in texts):
            raise FormatError("a value of the payload is not kept as JSON text")
        salts = _bytes(plain["salts"], "the payload's salts", HASH_SIZE * len(texts))
        blind = _bytes(plain["blind"], "the payload's blind", HASH_SIZE)
        try:
            payload = cls(entry_type, tuple(texts), salts, blind, _digests(entry_type, texts, salts))
            canonical = payload.encode() == raw
        except UnicodeEncodeError:
            raise FormatError("a value of the payload is not valid Unicode") from None
        if not canonical:
            raise FormatError("the payload is not written as this format writes it")
        return payload

    def values(self) -> dict[str, JSON]:
        """Every attribute's value by name.

        Raises:
            FormatError: A stored text is not JSON.
        """
        names = _LAYOUTS[self.type].names
        return {name: _value(text) for name, text in zip(names, self.texts, strict=True)}

    def opening(self, party: Party, *, officer_by_name: bool = False) -> dict[str, JSON]:
        """What this party may see of the entry, ready to be written as JSON.

        Args:
            party: Who receives it.
            officer_by_name: Whether the law lets the person see who asked and not only in which role;
                it changes nothing for the others.

        Raises:
            FormatError: The payload has no place yet.
        """
        self._require_place()
        layout = _LAYOUTS[self.type]
        opened = layout.opened(party)
        hide_officer = party is Party.PERSON and not officer_by_name
        attributes: list[JSON] = []
        for position, name in enumerate(layout.names):
            if position < opened and not (hide_officer and name == "officer"):
                salt = self.salts[_salt_at(position)]
                attributes.append({"name": name, "salt": to_base64(salt), "value": self.texts[position]})
            else:
                attributes.append({"d": to_base64(self.digests[position])})
        return {
            "v": VERSION,
            "type": int(self.type),
            "blind": to_base64(self.blind),
            "attributes": attributes,
        }

    def _require_place(self) -> None:
        if not self.digests[_LAYOUTS[self.type].place]:
            raise FormatError("the payload has no place in its stream yet: call with_place first")


def check_opening(entry: Entry, opening: Mapping[str, object]) -> dict[str, JSON]:
    """Check an opening against the entry it claims to open.

    Args:
        entry: The logged entry; show first that it is in the log.
        opening: The parsed JSON of an opening.

    Returns:
        The opened values by name, in order. What was withheld is missing.

    Raises:
        VerificationError: The opening is malformed, or does not open this entry.
    """
    try:
        names, digests, values = _read_opening(entry.type, opening)
        blind = _bytes(opening["blind"], "the opening's blind", HASH_SIZE)
    except FormatError as error:
        raise VerificationError(f"the opening is malformed: {error}") from None
    if not compare_digest(_commitment(entry.type, digests, blind, entry.label), entry.commitment):
        raise VerificationError("the opening does not lead to the entry's commitment: a value was altered")
    return dict(zip(names, values, strict=True))


def _read_opening(
    entry_type: EntryType, opening: Mapping[str, object]
) -> tuple[list[str], list[bytes], list[JSON]]:
    if opening.keys() != {"v", "type", "blind", "attributes"}:
        raise FormatError("it does not have exactly the members v, type, blind and attributes")
    if _type(opening) is not entry_type:
        raise FormatError("it is of another type than the entry")
    layout = _LAYOUTS[entry_type]
    attributes = opening["attributes"]
    if not isinstance(attributes, list) or len(attributes) != len(layout.names):
        raise FormatError("it does not have its type's number of attributes")
    names: list[str] = []
    digests: list[bytes] = []
    values: list[JSON] = []
    for name, prefix, attribute in zip(layout.names, layout.prefixes, attributes, strict=True):
        if not isinstance(attribute, dict):
            raise FormatError("an attribute is not a JSON object")
        if attribute.keys() == {"d"}:
            digests.append(_bytes(attribute["d"], "a withheld attribute", HASH_SIZE))
            continue
        if attribute.keys() != {"name", "salt", "value"} or attribute["name"] != name:
            raise FormatError("an attribute is neither withheld nor the one its position asks for")
        text = attribute["value"]
        if not isinstance(text, str):
            raise FormatError("a value is not kept as JSON text")
        salt = _bytes(attribute["salt"], "a salt", HASH_SIZE)
        values.append(_value(text))
        names.append(name)
        digests.append(_digest(salt, prefix, text))
    return names, digests, values


def _salt_at(at: int) -> slice:
    """Where the salt of an attribute stands among those of its payload."""
    return slice(at * HASH_SIZE, (at + 1) * HASH_SIZE)


def _digests(entry_type: EntryType, texts: Sequence[str], salts: bytes) -> tuple[bytes, ...]:
    """Hash every attribute with its salt."""
    prefixes = _LAYOUTS[entry_type].prefixes
    return tuple(
        [
            _digest(salts[_salt_at(at)], prefix, text)
            for at, (prefix, text) in enumerate(zip(prefixes, texts, strict=True))
        ]
    )


def _digest(salt: bytes, prefix: bytes, text: str) -> bytes:
    """Hash one attribute; `prefix` is `u8 len(name) ‖ name`."""
    return sha256(b"\x20" + salt + _hashed(prefix, text.encode())).digest()


def _hashed(prefix: bytes, value: bytes) -> bytes:
    """What is hashed of an attribute behind its salt."""
    return prefix + _U32(len(value)) + value


def _commitment(entry_type: EntryType, digests: Sequence[bytes], blind: bytes, label: bytes) -> bytes:
    if len(label) != HASH_SIZE:
        raise FormatError("a label has 32 bytes")
    combined = sha256(b"\x21" + bytes((entry_type, len(digests))) + b"".join(digests)).digest()
    return _COMMITMENT(blind + label + _DIGEST_VERSION + combined)


def _json(value: JSON) -> str:
    """The JSON text of a value, as `_ENCODER` writes it.

    The encoder is made anew for every value; strings, numbers and lists, which is nearly all there is, are
    written without it.
    """
    if type(value) is str:
        return encode_basestring(value)
    if type(value) is int:
        return str(value)
    if type(value) is list or type(value) is tuple:
        texts = [encode_basestring(each) if type(each) is str else _json(each) for each in value]
        return "[" + ",".join(texts) + "]"
    return _ENCODER.encode(value)


def _value(text: str) -> JSON:
    try:
        text.encode()
        return cast("JSON", json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        raise FormatError("a stored value is not JSON") from None


def _no_constant(_name: str) -> None:
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError


def _object(raw: bytes, members: tuple[str, ...]) -> Mapping[str, object]:
    try:
        plain = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FormatError("the payload is not JSON") from None
    if not isinstance(plain, dict) or tuple(plain) != members:
        raise FormatError("the payload does not have exactly its members, in order")
    return plain


def _type(plain: Mapping[str, object]) -> EntryType:
    version, kind = plain["v"], plain["type"]
    if type(version) is not int or version != VERSION:
        raise FormatError(f"its version is not {VERSION}")
    if type(kind) is not int or kind not in _TYPES:
        raise FormatError("its type is not known")
    return _TYPES[kind]


def _bytes(text: object, what: str, size: int) -> bytes:
    if not isinstance(text, str):
        raise FormatError(f"{what} is not base64")
    return from_base64(text, what, size)
