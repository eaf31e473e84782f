"""Who asked about me: a person's own stream of the log, refusals and staff included."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.closed.log import ClosedLog
from access_log.entry import EntryType
from access_log.merkle import leaf_hash
from access_log.payload import Party
from access_log.stored_log import StoredLog
from access_log.streams import StreamEntry, entries_of
from consent import bases, bodies, consents, statutes
from vault.records import covert, store

_PARTY = Party.PERSON
QUERIES = frozenset({EntryType.QUERY_PERMITTED, EntryType.QUERY_REFUSED})


@dataclass(frozen=True, slots=True)
class AccessingBody:
    """The body that acted, as registered now; a person may turn to its contact."""

    name: str
    contact: str
    address: str


@dataclass(frozen=True, slots=True)
class AccessBasis:
    """On what a query rested.

    Attributes:
        kind: `none` where the grant that was named gives nothing about this person.
        title: of the legal basis; None for a consent.
        article: of the legal basis.
        since: when the consent was granted.
    """

    kind: Literal["authorization", "consent", "none"]
    title: str | None = None
    article: str | None = None
    since: datetime | None = None


_NO_BASIS = AccessBasis("none")


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of a person's stream, as that person sees it.

    Attributes:
        log: the log it stands in, which may be closed.
        identity: in whose stream, of the identities of the person.
        index: of the entry in that log.
        kind: static name of what happened.
        body: that acted, if one did.
        basis: of a query.
        released: False for a permitted query whose answer never left the vault.
        concerns: for the notice of that, the index of the query.
        details: the attributes the person may see; empty once their retention has ended.
        opening: proves that the entry committed to the details (FORMAT 6).
        court_reference: of the court that had its notice delayed; None where there was no delay.
        raw: the entry, 106 bytes.
    """

    log: StoredLog = field(repr=False)
    identity: UUID
    index: int
    time: datetime
    type: EntryType
    kind: str
    body: AccessingBody | None
    basis: AccessBasis | None
    released: bool
    concerns: int | None
    details: Mapping[str, Any]
    court_reference: str | None
    opening: Mapping[str, Any] | None = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def closed(self) -> str | None:
        """The name of its log, if that was closed."""
        return self.log.origin if isinstance(self.log, ClosedLog) else None

    @property
    def is_query(self) -> bool:
        """Whether somebody asked about the person."""
        return self.type in QUERIES

    @property
    def shown(self) -> int:
        """How many records a permitted query opened."""
        return sum(isinstance(what, list) for what in self._record_versions())

    @property
    def held_back(self) -> list[str]:
        """For each record a permitted query did not open although it exists, the rule (RULES 8)."""
        return [what for what in self._record_versions() if isinstance(what, str)]

    def _record_versions(self) -> list[Any]:
        """Of each record version what was to be opened of it: a list of fields, or the rule against it."""
        return [what for _, _, what in self.details.get("record_versions") or ()]


KINDS = {
    EntryType.QUERY_PERMITTED: "query permitted",
    EntryType.QUERY_REFUSED: "query refused",
    EntryType.CONSENT: "consent",
    EntryType.RECORD: "record",
    EntryType.RIGHTS: "own rights",
    EntryType.KEY: "key",
    EntryType.INSPECTION: "inspection",
    EntryType.NOT_RELEASED: "permitted but not released",
}


@dataclass(frozen=True, slots=True)
class _Told:
    """What is particular of an entry: in whose stream it stands, and the court that delayed its notice."""

    identity: UUID
    court_reference: str | None = None


async def identities(connection: AsyncConnection, subject_id: UUID, *, alone: bool = False) -> list[UUID]:
    """Of whose streams a person's accesses are: this identity, then those it is joined with.

    Args:
        connection: to the vault's database.
        subject_id: the identity the person is here under.
        alone: without the others.
    """
    rows = await store.identities(connection, subject_id, alone=alone)
    return [row.person.subject_id for row in rows]


async def accesses(
    connection: AsyncConnection, logs: Sequence[StoredLog], subject_id: UUID, *, alone: bool = False
) -> list[Access]:
    """All entries about a person, newest first; empty for someone the vault does not know.

    They are those of the person's own stream, of covert cases that were disclosed to them, and the same of
    each identity they are joined with.

    Args:
        connection: to the vault's database.
        logs: its logs, the oldest first.
        subject_id: the person.
        alone: without the identities they are joined with.

    Raises:
        CryptoError: a payload was altered or moved.
    """
    rows = await store.identities(connection, subject_id, alone=alone)
    own_ids = [row.person.subject_id for row in rows]
    cases = {each: await covert.disclosed_to(connection, each) for each in own_ids}
    found: list[Access] = []
    for log in reversed(logs):
        entries: list[StreamEntry] = []
        told: dict[int, _Told] = {}
        for row in rows:
            identity = row.person.subject_id
            own = await entries_of(connection, log, row.person.stream_id, row.created_at)
            told |= {one.index: _Told(identity) for one in own}
            entries += own
            for case in cases[identity]:
                told_later = await entries_of(connection, log, case.stream_id, case.opened_at)
                told |= {one.index: _Told(identity, case.court_reference) for one in told_later}
                entries += told_later
        entries.sort(key=lambda one: one.index, reverse=True)
        found += await _seen(connection, log, own_ids, entries, told)
    return found


async def _seen(
    connection: AsyncConnection,
    log: StoredLog,
    own_ids: Sequence[UUID],
    entries: Sequence[StreamEntry],
    told: Mapping[int, _Told],
) -> list[Access]:
    """Entries of one log as the person sees them."""
    opened = [(one, _details(one)) for one in entries]
    acting = await _bodies(connection, _ids("body", (details for _, details in opened)))
    rested = await _bases(
        connection, own_ids, _ids("basis", (details for one, details in opened if _is_query(one)))
    )
    places = {leaf_hash(one.entry.encode()).hex(): one.index for one in entries}
    concerned = {one.index: places.get(str(details.get("query"))) for one, details in opened}
    unreleased = {index for index in concerned.values() if index is not None}
    return [
        Access(
            log=log,
            identity=told[one.index].identity,
            index=one.index,
            time=datetime.fromtimestamp(one.entry.time / 1000, UTC),
            type=one.entry.type,
            kind=KINDS.get(one.entry.type, one.entry.type.name.lower()),
            body=acting.get(_id(details.get("body"))),
            basis=rested.get(_id(details.get("basis")), _NO_BASIS) if _is_query(one) and details else None,
            released=one.entry.type is EntryType.QUERY_PERMITTED and one.index not in unreleased,
            concerns=concerned[one.index],
            details=details,
            court_reference=told[one.index].court_reference,
            opening=one.payload.opening(_PARTY) if one.payload is not None else None,
            raw=one.entry.encode(),
        )
        for one, details in opened
    ]


async def receipt(connection: AsyncConnection, access: Access) -> str:
    """The receipt of an entry against the newest released checkpoint of its log (FORMAT 7).

    Raises:
        LogClosedError: its log was closed as it stood, and no checkpoint covers it here.
        LogUnavailableError: the outside lock cannot be read now.
        LogStateError: entries or tiles are missing.
    """
    return await access.log.receipt(connection, access.index, access.raw)


async def _bodies(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID | None, AccessingBody]:
    found: dict[UUID | None, AccessingBody] = {}
    for body_id in ids:
        body = await bodies.read_body(connection, body_id)
        if body is not None:
            found[body_id] = AccessingBody(body.name, body.contact.contact, body.contact.address)
    return found


async def _bases(
    connection: AsyncConnection, own_ids: Sequence[UUID], ids: Collection[UUID]
) -> dict[UUID | None, AccessBasis]:
    """What these grants are. A consent of somebody else is none that this person is told of."""
    if not ids:
        return {}
    own = {one.consent_id: one for each in own_ids for one in await consents.of_person(connection, each)}
    found: dict[UUID | None, AccessBasis] = {
        each: AccessBasis("consent", since=own[each].granted_at) for each in ids if each in own
    }
    for each in ids - own.keys():
        authorization = await statutes.read_authorization(connection, each)
        if authorization is None:
            continue
        law = await bases.read_basis(connection, authorization.terms.basis)
        if law is not None:
            found[each] = AccessBasis("authorization", law.title, law.article)
    return found


def _ids(name: str, details: Iterable[Mapping[str, Any]]) -> set[UUID]:
    return {found for each in details if (found := _id(each.get(name))) is not None}


def _id(value: object) -> UUID | None:
    """An id of a payload; a basis that is a code of the catalogue is none."""
    try:
        return UUID(str(value)) if value is not None else None
    except ValueError:
        return None


def _is_query(one: StreamEntry) -> bool:
    return one.entry.type in QUERIES


def _details(one: StreamEntry) -> dict[str, Any]:
    """The attributes the person may open, by name: those of the opening and no other."""
    if one.payload is None:
        return {}
    attributes: Any = one.payload.opening(_PARTY)["attributes"]
    shown = {each["name"] for each in attributes if "name" in each}
    return {name: value for name, value in one.payload.values().items() if name in shown}
