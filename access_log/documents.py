"""Documents that entries commit to, and published lists of them (FORMAT 5.2, 5.3). Verifier's side."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from access_log.errors import FormatError

VERSION: Final = 1
"""Of every document and every list."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A document with what shows that an entry commits to it; nothing in it is verified yet.

    Attributes:
        receipt: The receipt of the entry (FORMAT 7).
        opening: The opening of that entry (FORMAT 2).
        document: What the entry commits to, verbatim.
    """

    receipt: str
    opening: Mapping[str, object]
    document: str

    @classmethod
    def of(cls, value: object) -> "Committed":
        """Read one member of a list.

        Raises:
            FormatError: It is no such member.
        """
        if not isinstance(value, dict) or set(value) != {"receipt", "opening", "document"}:
            raise FormatError("it has not the members receipt, opening and document")
        opening = value["opening"]
        if not isinstance(opening, dict):
            raise FormatError("its opening is no object")
        return cls(text_of(value["receipt"]), opening, text_of(value["document"]))


def text_of(value: object) -> str:
    """A text of a JSON object, as it can be hashed and shown.

    Raises:
        FormatError: It is no text, or not one of whole characters.
    """
    if not isinstance(value, str):
        raise FormatError("a member that should be a text is none")
    try:
        value.encode()
    except UnicodeError:
        raise FormatError("a text has half a character") from None
    return value


def parse_object(raw: str | bytes, what: str, members: tuple[str, ...]) -> dict[str, object]:
    """Read a JSON object of this version that has exactly these members.

    Raises:
        FormatError: It is none; the message calls it `what`.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise FormatError(f"{what} is not JSON") from None
    if not isinstance(found, dict) or set(found) != set(members):
        raise FormatError(f"{what} is no JSON object with exactly {', '.join(members)}")
    if type(found["v"]) is not int or found["v"] != VERSION:
        raise FormatError(f"{what} is not of version {VERSION}")
    return found


def parse_list(raw: str | bytes, what: str, name: str) -> list[object]:
    """The members of a published list, as they stand there.

    Raises:
        FormatError: It is none; the message calls it `what`.
    """
    found = parse_object(raw, what, ("v", name))[name]
    if not isinstance(found, list):
        raise FormatError(f"{what} has no list of {name}")
    return found


def write_object(members: Mapping[str, object]) -> str:
    """Write a JSON object of this version."""
    return json.dumps({"v": VERSION, **members}, ensure_ascii=False, separators=(",", ":"))


def write_list(name: str, committed: Iterable[tuple[str, Mapping[str, object], str]]) -> str:
    """Write a list from (receipt, opening, document) of each, oldest first."""
    return write_object(
        {
            name: [
                {"receipt": receipt, "opening": opening, "document": document}
                for receipt, opening, document in committed
            ]
        }
    )
