"""Sealed rows in and out of the tables. Only the two doors and the person's own rights import this room."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.permit import Person
from vault.crypto.blind import Blind
from vault.records.key_versions import retired_keys
from vault.records.references import Held
from vault.records.sealing import FIRST_VERSION, NewRecord


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """One record version as it is stored."""

    record_id: UUID
    version: int
    category: str
    furnisher: UUID
    basis: str
    display_from: date
    display_until: date | None
    how_counted: str
    state: str
    expiry_id: int
    wrapped_key: bytes
    key_check: bytes
    sealed: dict[str, bytes]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A person found by blind index, with the current versions of their records.

    Attributes:
        joined: shared with the other identities of the same person; None where there are none.
        others: those, each with their own records.
    """

    person: Person
    wrapped_key: bytes
    joined: UUID | None = None
    records: list[SealedRecord] = field(default_factory=list)
    others: "list[Found]" = field(default_factory=list)


Place = tuple[str, Blind]
"""Where a person is found: identifier scheme and blind index."""

HELD, REPAIRED, ANNULLED, SEALED, SHOWN = "held", "repaired", "annulled", "sealed", "shown"
"""States of a record."""

IDENTITY_MARK = "_scheme"
"""The sealed field that the identity record which the vault itself keeps has, and no other record."""

_FIND = text(
    "SELECT i.scheme, i.blind, s.subject_id, s.stream_id, s.wrapped_key, s.joined,"
    " r.record_id, r.version, r.category,"
    " r.furnisher, r.basis, r.display_from, r.display_until, r.how_counted, r.state, r.expiry_id,"
    " r.wrapped_key AS record_key, r.key_check, r.fields, r.sealed, r.created_at"
    " FROM (SELECT DISTINCT scheme, blind FROM unnest(CAST(:schemes AS text[]), CAST(:blinds AS bytea[]))"
    " AS t (scheme, blind)) AS asked"
    " JOIN vault.identifier i ON i.scheme = asked.scheme AND i.blind = asked.blind"
    " JOIN vault.subject s ON s.subject_id = i.subject_id"
    " LEFT JOIN vault.record r ON r.subject_id = s.subject_id AND NOT r.superseded"
    " AND r.category = ANY(CAST(:categories AS text[]))"
)
_JOINED = text(
    "SELECT s.subject_id, s.stream_id, s.wrapped_key, s.joined, r.record_id, r.version, r.category,"
    " r.furnisher, r.basis, r.display_from, r.display_until, r.how_counted, r.state, r.expiry_id,"
    " r.wrapped_key AS record_key, r.key_check, r.fields, r.sealed, r.created_at"
    " FROM vault.subject s"
    " LEFT JOIN vault.record r ON r.subject_id = s.subject_id AND NOT r.superseded"
    " AND r.category = ANY(CAST(:categories AS text[]))"
    " WHERE s.joined = ANY(CAST(:groups AS uuid[])) ORDER BY s.subject_id"
)
_OWN = text(
    "SELECT r.record_id, r.version, r.category, r.furnisher, r.basis, r.display_from, r.display_until,"
    " r.how_counted, r.state, r.expiry_id, r.wrapped_key AS record_key, r.key_check, r.fields, r.sealed,"
    " r.created_at FROM vault.record r WHERE r.subject_id = :subject_id AND NOT r.superseded"
    " ORDER BY r.created_at, r.record_id"
)
_OWN_MONTHS = text(
    "SELECT DISTINCT expiry_id FROM vault.record WHERE subject_id = :subject_id AND NOT superseded"
)
_VERSIONS = text(
    "SELECT r.record_id, r.version, r.category, r.furnisher, r.basis, r.display_from, r.display_until,"
    " r.how_counted, r.state, r.expiry_id, r.wrapped_key AS record_key, r.key_check, r.fields, r.sealed,"
    " r.created_at FROM vault.record r"
    " JOIN unnest(CAST(:records AS uuid[]), CAST(:versions AS integer[])) AS asked (record_id, version)"
    " ON r.record_id = asked.record_id AND r.version = asked.version"
    " WHERE r.subject_id = :subject_id"
)
_EVERY_VERSION = text(
    "SELECT r.record_id, r.version, r.category, r.furnisher, r.basis, r.display_from, r.display_until,"
    " r.how_counted, r.state, r.expiry_id, r.wrapped_key AS record_key, r.key_check, r.fields, r.sealed,"
    " r.created_at FROM vault.record r WHERE r.subject_id = :subject_id ORDER BY r.record_id, r.version"
    " FOR UPDATE"
)
_RESEAL_SUBJECT = text(
    "UPDATE vault.subject SET wrapped_key = :wrapped_key, root_version = :root_version"
    " WHERE subject_id = :subject_id"
)
_RESEAL_RECORDS = text(
    "UPDATE vault.record r SET wrapped_key = t.wrapped_key, key_check = t.key_check,"
    " sealed = (CAST(:sealed AS bytea[]))[t.first : t.first + t.width - 1]"
    " FROM unnest(CAST(:records AS uuid[]), CAST(:versions AS integer[]), CAST(:keys AS bytea[]),"
    " CAST(:checks AS bytea[]), CAST(:firsts AS integer[]), CAST(:widths AS integer[]))"
    " AS t (record_id, version, wrapped_key, key_check, first, width)"
    " WHERE r.subject_id = :subject_id AND r.record_id = t.record_id AND r.version = t.version"
)
_SUBJECT = text(
    "SELECT subject_id, stream_id, wrapped_key, created_at FROM vault.subject WHERE subject_id = :subject_id"
)
_IDENTITIES = text(
    "SELECT m.subject_id, m.stream_id, m.wrapped_key, m.created_at FROM vault.subject s"
    " JOIN vault.subject m ON m.subject_id = s.subject_id OR m.joined = s.joined"
    " WHERE s.subject_id = :subject_id"
    " ORDER BY m.subject_id <> s.subject_id, m.created_at, m.subject_id"
)


_KNOWN = text(
    "SELECT i.scheme, i.blind, s.subject_id, s.stream_id, s.wrapped_key,"
    " EXISTS (SELECT FROM vault.record r WHERE r.subject_id = s.subject_id AND NOT r.superseded"
    " AND :mark = ANY(r.fields))"
    " FROM unnest(CAST(:schemes AS text[]), CAST(:blinds AS bytea[])) AS asked (scheme, blind)"
    " JOIN vault.identifier i ON i.scheme = asked.scheme AND i.blind = asked.blind"
    " JOIN vault.subject s ON s.subject_id = i.subject_id"
)
_HELD = text(
    "SELECT reference, subject_id, record_id, version, category, state, content FROM vault.record"
    " WHERE furnisher = :furnisher AND reference = ANY(CAST(:references AS bytea[]))"
    " ORDER BY reference, version"
)
_SUPERSEDE = text(
    "UPDATE vault.record r SET superseded = true FROM unnest(CAST(:subjects AS uuid[]),"
    " CAST(:records AS uuid[]), CAST(:versions AS integer[])) AS later (subject_id, record_id, version)"
    " WHERE r.subject_id = later.subject_id AND r.record_id = later.record_id"
    " AND r.version < later.version AND NOT r.superseded"
)
_ADD_SUBJECTS = text(
    "WITH subjects AS (INSERT INTO vault.subject (subject_id, wrapped_key, root_version, stream_id)"
    " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS bytea[]), CAST(:roots AS smallint[]),"
    " CAST(:streams AS bytea[])))"
    " INSERT INTO vault.identifier (subject_id, scheme, blind, key_version)"
    " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:schemes AS text[]), CAST(:blinds AS bytea[]),"
    " CAST(:versions AS smallint[]))"
)
_TOGETHER: Final = 128
"""Records in one statement: out of a longer array PostgreSQL cuts each field more slowly."""
_ADD_RECORDS = text(
    "INSERT INTO vault.record (subject_id, record_id, version, category, furnisher, reference, content,"
    " basis, display_from, display_until, how_counted, state, expiry_id, wrapped_key, key_check,"
    " fields, sealed) SELECT t.subject_id, t.record_id, t.version, t.category, t.furnisher, t.reference,"
    " t.content, t.basis,"
    " t.display_from, t.display_until, t.how_counted, :state, t.expiry_id, t.wrapped_key, t.key_check,"
    " (CAST(:fields AS text[]))[t.first : t.first + t.width - 1],"
    " (CAST(:sealed AS bytea[]))[t.first : t.first + t.width - 1]"
    " FROM unnest(CAST(:subjects AS uuid[]), CAST(:records AS uuid[]), CAST(:versions AS integer[]),"
    " CAST(:categories AS text[]), CAST(:furnishers AS uuid[]), CAST(:references AS bytea[]),"
    " CAST(:contents AS bytea[]), CAST(:bases AS text[]), CAST(:display_from AS date[]),"
    " CAST(:display_until AS date[]), CAST(:how_counted AS text[]), CAST(:expiries AS integer[]),"
    " CAST(:keys AS bytea[]), CAST(:checks AS bytea[]), CAST(:firsts AS integer[]),"
    " CAST(:widths AS integer[]))"
    " AS t (subject_id, record_id, version, category, furnisher, reference, content, basis, display_from,"
    " display_until, how_counted, expiry_id, wrapped_key, key_check, first, width)"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A person found by blind index, without records; `identified`: their number is sealed beside it."""

    person: Person
    wrapped_key: bytes
    identified: bool


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A person met for the first time."""

    person: Person
    wrapped_key: bytes
    root_version: int
    scheme: str
    blind: Blind


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A person's own row."""

    person: Person
    wrapped_key: bytes
    created_at: datetime


async def find(
    connection: AsyncConnection, sought: Collection[Place], categories: Sequence[str]
) -> dict[Place, Found]:
    """Persons by place, with their current records of some categories; an unknown one is absent.

    Whoever has joined identities is found with these, by a second statement.
    """
    places = _by_value(sought)
    rows = await connection.execute(
        _FIND,
        {
            "schemes": [scheme for scheme, _ in places],
            "blinds": [value for _, value in places],
            "categories": list(categories),
        },
    )
    found: dict[Place, Found] = {}
    for row in rows:
        place = places[row[0], row[1]]
        one = found.get(place)
        if one is None:
            one = found[place] = Found(Person(row[2], row[3]), row[4], row[5])
        if row[6] is not None:
            one.records.append(_record(row[6:]))
    if groups := {one.joined for one in found.values() if one.joined is not None}:
        await _find_others(connection, found.values(), groups, categories)
    return found


async def _find_others(
    connection: AsyncConnection, found: Iterable[Found], groups: Collection[UUID], categories: Sequence[str]
) -> None:
    """Fills in the other identities of whoever was found and has some."""
    rows = await connection.execute(_JOINED, {"groups": list(groups), "categories": list(categories)})
    members: dict[UUID, Found] = {}
    for row in rows:
        one = members.setdefault(row[0], Found(Person(row[0], row[1]), row[2], row[3]))
        if row[4] is not None:
            one.records.append(_record(row[4:]))
    for each in found:
        if each.joined is not None:
            each.others.extend(
                one
                for subject_id, one in members.items()
                if one.joined == each.joined and subject_id != each.person.subject_id
            )


async def own(connection: AsyncConnection, subject_id: UUID) -> list[SealedRecord]:
    """Every current record of one person, oldest first."""
    rows = await connection.execute(_OWN, {"subject_id": subject_id})
    return [_record(tuple(row)) for row in rows]


async def own_months(connection: AsyncConnection, subject_id: UUID) -> set[int]:
    """The months on which the current records of one person hang."""
    return set(await connection.scalars(_OWN_MONTHS, {"subject_id": subject_id}))


async def versions(
    connection: AsyncConnection, subject_id: UUID, named: Sequence[tuple[UUID, int]]
) -> list[SealedRecord]:
    """Exactly these record versions of one person, superseded or not; destroyed ones are absent."""
    rows = await connection.execute(
        _VERSIONS,
        {
            "subject_id": subject_id,
            "records": [record for record, _ in named],
            "versions": [version for _, version in named],
        },
    )
    return [_record(tuple(row)) for row in rows]


async def every_version(connection: AsyncConnection, subject_id: UUID) -> list[SealedRecord]:
    """Every version of every record of one person, superseded ones too; held until the transaction ends."""
    rows = await connection.execute(_EVERY_VERSION, {"subject_id": subject_id})
    return [_record(tuple(row)) for row in rows]


async def reseal(
    connection: AsyncConnection,
    subject_id: UUID,
    wrapped_key: bytes,
    root_version: int,
    records: Sequence[SealedRecord],
) -> None:
    """Puts a person's new key, and what was sealed anew under it, in the place of the old."""
    await connection.execute(
        _RESEAL_SUBJECT,
        {"subject_id": subject_id, "wrapped_key": wrapped_key, "root_version": root_version},
    )
    await connection.execute(
        _RESEAL_RECORDS,
        {
            "subject_id": subject_id,
            "records": [one.record_id for one in records],
            "versions": [one.version for one in records],
            "keys": [one.wrapped_key for one in records],
            "checks": [one.key_check for one in records],
            "sealed": [each for one in records for each in one.sealed.values()],
            "firsts": _firsts(records),
            "widths": [len(one.sealed) for one in records],
        },
    )


async def subject(connection: AsyncConnection, subject_id: UUID) -> SubjectRow | None:
    """One person by subject id."""
    row = (await connection.execute(_SUBJECT, {"subject_id": subject_id})).one_or_none()
    return None if row is None else SubjectRow(Person(row[0], row[1]), row[2], row[3])


async def identities(
    connection: AsyncConnection, subject_id: UUID, *, alone: bool = False
) -> list[SubjectRow]:
    """One person by subject id, and behind them the identities they are joined with; empty if unknown.

    Args:
        connection: to the database.
        subject_id: the identity.
        alone: whether it is asked about without the others.
    """
    rows = await connection.execute(_IDENTITIES, {"subject_id": subject_id})
    found = [SubjectRow(Person(row[0], row[1]), row[2], row[3]) for row in rows]
    return found[:1] if alone else found


async def known(connection: AsyncConnection, sought: Collection[Place]) -> dict[Place, Known]:
    """Persons by place, without their records; an unknown one is absent."""
    places = _by_value(sought)
    rows = await connection.execute(
        _KNOWN,
        {
            "schemes": [scheme for scheme, _ in places],
            "blinds": [value for _, value in places],
            "mark": IDENTITY_MARK,
        },
    )
    return {places[row[0], row[1]]: Known(Person(row[2], row[3]), row[4], row[5]) for row in rows}


async def held(
    connection: AsyncConnection, furnisher: UUID, references: Collection[bytes]
) -> dict[bytes, Held]:
    """What stands under a furnisher's references."""
    rows = await connection.execute(_HELD, {"furnisher": furnisher, "references": list(references)})
    found: dict[bytes, Held] = {}
    # The newest version comes last, and is what counts.
    for reference, subject_id, record_id, version, category, state, content in rows:
        before = found[reference].contents if reference in found else ()
        found[reference] = Held(
            subject_id.bytes, record_id, version, category, state == SHOWN, (*before, content)
        )
    return found


async def add_subjects(connection: AsyncConnection, subjects: Sequence[NewSubject]) -> None:
    """Adds persons; their streams were opened before.

    Raises:
        RetiredKeyError: a version of the root or index key that they were made with is retired meanwhile;
            make them anew.
    """
    with retired_keys():
        await connection.execute(
            _ADD_SUBJECTS,
            {
                "ids": [one.person.subject_id for one in subjects],
                "keys": [one.wrapped_key for one in subjects],
                "roots": [one.root_version for one in subjects],
                "streams": [one.person.stream_id for one in subjects],
                "schemes": [one.scheme for one in subjects],
                "blinds": [one.blind.value for one in subjects],
                "versions": [one.blind.version for one in subjects],
            },
        )


async def add_records(connection: AsyncConnection, records: Sequence[NewRecord]) -> None:
    """Adds versions of records, which supersede those before them."""
    for at in range(0, len(records), _TOGETHER):
        await connection.execute(_ADD_RECORDS, _columns(records[at : at + _TOGETHER]))
    if later := [one for one in records if one.version > FIRST_VERSION]:
        await connection.execute(
            _SUPERSEDE,
            {
                "subjects": [one.subject_id for one in later],
                "records": [one.record_id for one in later],
                "versions": [one.version for one in later],
            },
        )


def _columns(records: Sequence[NewRecord]) -> dict[str, Any]:
    """Records as the arrays of one statement; their fields travel in two flat ones."""
    return {
        "state": SHOWN,
        "subjects": [one.subject_id for one in records],
        "records": [one.record_id for one in records],
        "versions": [one.version for one in records],
        "categories": [one.frame.category for one in records],
        "furnishers": [one.frame.furnisher for one in records],
        "references": [one.frame.reference for one in records],
        "contents": [one.frame.content for one in records],
        "bases": [one.frame.basis for one in records],
        "display_from": [one.frame.window.start for one in records],
        "display_until": [one.frame.window.end for one in records],
        "how_counted": [one.frame.window.how_counted for one in records],
        "expiries": [one.expiry_id for one in records],
        "keys": [one.wrapped_key for one in records],
        "checks": [one.key_check for one in records],
        "fields": [name for one in records for name in one.sealed],
        "sealed": [each for one in records for each in one.sealed.values()],
        "firsts": _firsts(records),
        "widths": [len(one.sealed) for one in records],
    }


def _by_value(sought: Collection[Place]) -> dict[tuple[str, bytes], Place]:
    """Places by every value of their blind index: a person stands under one of them."""
    return {(place[0], value): place for place in sought for value in place[1].values}


def _firsts(records: Sequence[NewRecord | SealedRecord]) -> list[int]:
    """Where the fields of each record begin in a flat array, counted from 1."""
    widths = [len(one.sealed) for one in records]
    return list(accumulate(widths[:-1], initial=1)) if widths else []


def _record(row: Sequence[Any]) -> SealedRecord:
    *facts, names, sealed, created_at = row
    values: list[Any] = [*facts, dict(zip(names, sealed, strict=True)), created_at]
    return SealedRecord(*values)
