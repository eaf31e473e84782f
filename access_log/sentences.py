"""What an entry committed to, as a sentence one can read aloud (FORMAT 2).

A sentence says only what was opened: what is withheld is called so, and what the entry itself leaves empty is
left out. Values are shown as they are, so who prints them keeps them from steering the terminal.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from access_log.entry import Entry, EntryType
from access_log.payload import JSON

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUERIES: Final = (EntryType.QUERY_PERMITTED, EntryType.QUERY_REFUSED)
_WITHHELD: Final = "(withheld)"
_WHAT: Final[Mapping[EntryType, str]] = {
    EntryType.CONSENT: "of a consent",
    EntryType.AUTHORIZATION: "of an authorization or a register",
    EntryType.RECORD: "of a record",
    EntryType.RIGHTS: "of a person's rights",
    EntryType.KEY: "about keys",
    EntryType.INSPECTION: "of an inspection",
    EntryType.OPERATOR: "of the operator",
}


def sentence(entry: Entry, opened: Mapping[str, JSON]) -> str:
    """Says in one sentence what an entry committed to.

    Args:
        entry: The entry.
        opened: What `check_opening` found in an opening of it.
    """
    if entry.type in _QUERIES:
        return _query(entry, opened)
    if entry.type is EntryType.NOT_RELEASED:
        said = _Said(opened)
        return (
            f"On {_moment(entry)} it was written down that the answer to the permitted query with the hash "
            f"{said.of('query')} never left the vault{said.part(', because ', 'reason')}."
        )
    if entry.type is EntryType.HEARTBEAT:
        return f"On {_moment(entry)} the log gave a sign of life."
    return _event(entry, opened)


def _query(entry: Entry, opened: Mapping[str, JSON]) -> str:
    said = _Said(opened)
    outcome = "permitted" if entry.type is EntryType.QUERY_PERMITTED else "refused"
    return (
        f"Body {said.of('body')} asked on {_moment(entry)} as {said.of('officer_role')}"
        f"{said.part(', officer ', 'officer')}, for {said.of('purpose')}"
        f"{said.part(', in its case ', 'case_reference')}{said.part(', on the basis ', 'basis')}"
        f"{said.part(', about person ', 'subject')}, about fields {said.of('fields')}; "
        f"{outcome}{said.part(' by ', 'reason')}{_records(entry, opened)}."
    )


def _records(entry: Entry, opened: Mapping[str, JSON]) -> str:
    versions = opened.get("record_versions")
    if entry.type is EntryType.QUERY_REFUSED or not isinstance(versions, list):
        return ""
    shown = sum(isinstance(each, list) and isinstance(each[-1], list) for each in versions if each)
    held_back = len(versions) - shown
    words = f", with {shown} record{'' if shown == 1 else 's'} opened"
    return f"{words} and {held_back} held back" if held_back else words


def _event(entry: Entry, opened: Mapping[str, JSON]) -> str:
    said = _Said(opened)
    return (
        f"On {_moment(entry)} there was an event {_WHAT[entry.type]}: {said.of('event')}"
        f"{said.part(', by ', 'actor')}{said.part(' as ', 'actor_role')}{said.part(', body ', 'body')}"
        f"{said.part(', about person ', 'subject')}{said.part(', concerning ', 'object')}"
        f"{said.part(', on the basis ', 'basis')}"
        f"{said.part(', with the document of SHA-256 ', 'document')}."
    )


class _Said:
    """Opened values as words."""

    def __init__(self, opened: Mapping[str, JSON]) -> None:
        self._opened = opened

    def of(self, name: str) -> str:
        """A value that belongs into every sentence of its type."""
        if name not in self._opened:
            return _WITHHELD
        value = self._opened[name]
        return "(not stated)" if value is None or value == [] else _words(value)

    def part(self, before: str, name: str) -> str:
        """A part that is left out where the entry has nothing there, or it is withheld."""
        value = self._opened.get(name)
        return "" if value is None else before + _words(value)


def _words(value: JSON) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False)


def _moment(entry: Entry) -> str:
    moment = _EPOCH + timedelta(milliseconds=entry.time)
    return f"{moment:%Y-%m-%d} at {moment:%H:%M:%S} UTC"
