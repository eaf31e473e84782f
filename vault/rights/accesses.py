"""Who asked about me: a person's own stream of the log, refusals and staff included."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Log
from access_log.payload import Party
from access_log.streams import StreamEntry, entries_of
from consent import bodies
from vault.records import store

_PARTY = Party.PERSON


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of a person's stream, as that person sees it.

    Attributes:
        index: of the entry in the log.
        kind: static name of what happened.
        details: the attributes the person may see; empty once their retention has ended.
        body: name of the body that acted, if one did.
        opening: proves that the entry committed to the details (FORMAT 6).
    """

    index: int
    time: datetime
    kind: str
    body: str | None
    details: dict[str, object]
    opening: dict[str, object] | None


KINDS = {
    EntryType.QUERY_PERMITTED: "query permitted",
    EntryType.QUERY_REFUSED: "query refused",
    EntryType.CONSENT: "consent",
    EntryType.RECORD: "record",
    EntryType.RIGHTS: "own rights",
    EntryType.NOT_RELEASED: "permitted but not released",
}


async def accesses(connection: AsyncConnection, log: Log, subject_id: UUID) -> list[Access]:
    """A person's whole stream, newest first; empty for someone the vault does not know.

    Raises:
        CryptoError: a payload was altered or moved.
    """
    row = await store.subject(connection, subject_id)
    if row is None:
        return []
    entries = await entries_of(connection, log, row.person.stream_id, row.created_at)
    opened = [(one, _details(one)) for one in entries]
    ids = {UUID(str(details["body"])) for _, details in opened if details.get("body")}
    names = await bodies.names(connection, ids) if ids else {}
    return [
        Access(
            index=one.index,
            time=datetime.fromtimestamp(one.entry.time / 1000, UTC),
            kind=KINDS.get(one.entry.type, one.entry.type.name.lower()),
            body=names.get(UUID(str(details["body"]))) if details.get("body") else None,
            details=details,
            opening=dict(one.payload.opening(_PARTY)) if one.payload is not None else None,
        )
        for one, details in opened
    ]


def _details(one: StreamEntry) -> dict[str, object]:
    """The attributes the person may open, by name: those of the opening and no other."""
    if one.payload is None:
        return {}
    opening = one.payload.opening(_PARTY)
    attributes = opening["attributes"]
    shown = {each["name"] for each in attributes if "name" in each}  # type: ignore[union-attr, index, call-overload, operator]
    return {name: value for name, value in one.payload.values().items() if name in shown}
