"""Which identities are joined, because they are one person's: the column, and nothing of why.

Who joins them, by whose order, is `consent.merging`.

Joined identities share a value, and nothing else hangs on it: no key, no record, no stream.
"""

from collections.abc import Collection, Sequence
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.permit import Person
from vault.records import store

_JOIN = text("UPDATE vault.subject SET joined = :joined WHERE subject_id = ANY(CAST(:members AS uuid[]))")
_PART = text(
    "WITH leaving AS (SELECT subject_id, joined FROM vault.subject WHERE subject_id = :subject_id),"
    " staying AS (SELECT s.subject_id FROM vault.subject s JOIN leaving l ON s.joined = l.joined"
    " AND s.subject_id <> l.subject_id)"
    " UPDATE vault.subject s SET joined = NULL WHERE s.subject_id = :subject_id"
    " OR (s.subject_id IN (SELECT subject_id FROM staying) AND (SELECT count(*) FROM staying) = 1)"
)


class JoinedSubjects:
    """The identities of this vault, for who merges them (`consent.merging.Joined`)."""

    async def members(self, connection: AsyncConnection, subject_id: UUID) -> Sequence[Person]:
        """This identity first, then those it is joined with; empty where the vault knows nobody so."""
        return [each.person for each in await store.identities(connection, subject_id)]

    async def join(self, connection: AsyncConnection, members: Collection[UUID]) -> None:
        """These are one group from now on, and belong to no other."""
        await connection.execute(_JOIN, {"joined": uuid4(), "members": list(members)})

    async def part(self, connection: AsyncConnection, subject_id: UUID) -> None:
        """This one belongs to no group from now on, nor does whoever would be left alone in it."""
        await connection.execute(_PART, {"subject_id": subject_id})
