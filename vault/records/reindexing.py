"""Blind indexes by older versions of the index key, made anew from the numbers that are sealed beside them.

Whoever is looked for is looked for under every version that is left, so a person is found before, while and
after their index changes; and nobody is added under an older one, so nobody is added twice (`key_versions`).
A batch takes no head lock. A number counts only if the index it stands beside follows from it.

Whose number is not sealed is left, and keeps the older version alive: they get their identity record when
next they are met (`identities`), and the next run finds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vault.crypto.blind import Identifier
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.crypto.errors import InvalidIdentifierError, UnsealError
from vault.crypto.journal import Purpose, for_job
from vault.records import key_versions
from vault.records.identities import NUMBER, SCHEME
from vault.records.keys import INDEX, VaultKeys
from vault.records.rewrapping import Progress

BATCH: Final = 500
_FIRST: Final = (UUID(int=0), "")
_decode = msgspec.json.Decoder(str).decode

_IDENTIFIERS = text(
    "SELECT i.subject_id, i.scheme, i.blind, s.wrapped_key AS subject_key, r.record_id, r.version,"
    " r.category, r.expiry_id, r.wrapped_key, r.key_check, r.fields, r.sealed"
    " FROM (SELECT subject_id, scheme, blind FROM vault.identifier"
    " WHERE (subject_id, scheme) > (CAST(:subject AS uuid), CAST(:scheme AS text)) AND key_version < :version"
    " ORDER BY subject_id, scheme LIMIT :count) i"
    " JOIN vault.subject s ON s.subject_id = i.subject_id"
    " LEFT JOIN vault.record r ON r.subject_id = i.subject_id AND :mark = ANY(r.fields)"
    " ORDER BY i.subject_id, i.scheme"
)
_MOVE = text(
    "UPDATE vault.identifier i SET blind = t.fresh, key_version = t.version"
    " FROM unnest(CAST(:subjects AS uuid[]), CAST(:schemes AS text[]), CAST(:olds AS bytea[]),"
    " CAST(:fresh AS bytea[]), CAST(:versions AS smallint[])) AS t (subject_id, scheme, old, fresh, version)"
    " WHERE i.subject_id = t.subject_id AND i.scheme = t.scheme AND i.blind = t.old"
)


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What a run did.

    Attributes:
        identifiers: how many have an index by the newest version now.
        left: how many have none, because their number is not sealed.
    """

    identifiers: int
    left: int


async def reindex(keys: VaultKeys, version: int, progress: Progress) -> Reindexed:
    """Makes anew whatever blind index a version of the index key before this one made.

    It may be stopped at any moment, repeated, and run twice at once.

    Args:
        keys: the vault's keys.
        version: the one in use.
        progress: told how many are behind it, of how many.

    Raises:
        UnsealError: somebody's key was altered; those before are done.
        ProviderError: the provider does not answer; do it again.
    """
    job = for_job(f"reindex.{uuid4()}")
    async with keys.engine.connect() as connection:
        total = await _left(connection, version)
    done, seen, after = 0, 0, _FIRST
    while True:
        asked = {"subject": after[0], "scheme": after[1], "version": version}
        async with keys.engine.begin() as connection:
            rows = (await connection.execute(_IDENTIFIERS, {**asked, "count": BATCH, "mark": SCHEME})).all()
            if not rows:
                break
            done += await _move(connection, await _made_anew(keys, rows, job))
        after = (rows[-1].subject_id, rows[-1].scheme)
        seen += len({(row.subject_id, row.scheme) for row in rows})
        progress(seen, total)
    async with keys.engine.begin() as connection:
        await key_versions.note_emptied(connection, INDEX)
        return Reindexed(done, await _left(connection, version))


async def _left(connection: AsyncConnection, version: int) -> int:
    held = await key_versions.held(connection)
    return sum(one.count for one in held if one.name == INDEX and one.version < version)


async def _made_anew(
    keys: VaultKeys, rows: Sequence[Row[Any]], job: Purpose
) -> list[tuple[Row[Any], int, bytes]]:
    """Each row whose number is known, with the version and value of its new index."""
    sealed = [row for row in rows if row.record_id is not None]
    wrapped = {row.subject_id: row.subject_key for row in sealed}
    opened = await keys.subject_keys(list(wrapped.items()), [job] * len(wrapped))
    persons = {key.subject: key for key in opened}
    months = await keys.expiry.load({row.expiry_id for row in sealed})
    numbers = [(row, found) for row in sealed if (found := _number(row, persons, months)) is not None]
    blinds = await keys.blind([number for _, number in numbers])
    return [
        (row, blind.version, blind.value)
        for (row, number), blind in zip(numbers, blinds, strict=True)
        if row.scheme == number.scheme and row.blind in blind.values
    ]


def _number(
    row: Row[Any], persons: Mapping[UUID, SubjectKey], months: Mapping[int, ExpiryKey]
) -> Identifier | None:
    """The number an identity record holds; None where it does not open."""
    month = months.get(row.expiry_id)
    if month is None:
        return None
    try:
        sealer = RecordKey.unwrap(
            persons[row.subject_id],
            row.record_id,
            row.version,
            expiry_key=month,
            wrapped=row.wrapped_key,
            key_check=row.key_check,
        ).fields(row.category)
        fields = dict(zip(row.fields, row.sealed, strict=True))
        scheme, number = (_decode(sealer.open(name, fields[name])) for name in (SCHEME, NUMBER))
        return Identifier(scheme, number)
    except (UnsealError, InvalidIdentifierError, msgspec.DecodeError, KeyError):
        return None


async def _move(connection: AsyncConnection, made: Sequence[tuple[Row[Any], int, bytes]]) -> int:
    moved = await connection.execute(
        _MOVE,
        {
            "subjects": [row.subject_id for row, _, _ in made],
            "schemes": [row.scheme for row, _, _ in made],
            "olds": [row.blind for row, _, _ in made],
            "fresh": [value for _, _, value in made],
            "versions": [version for _, version, _ in made],
        },
    )
    return moved.rowcount
