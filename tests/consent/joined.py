"""Which identities are joined, in memory: a simulator of `consent.merging.Joined`, and its naive model."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from consent.permit import Person


@dataclass
class Groups:
    """Persons by id, and the groups they are in."""

    people: dict[UUID, Person] = field(default_factory=dict)
    groups: list[set[UUID]] = field(default_factory=list)

    async def members(self, _connection: AsyncConnection, subject_id: UUID) -> Sequence[Person]:
        if subject_id not in self.people:
            return []
        (group,) = [each for each in self.groups if subject_id in each] or [{subject_id}]
        return [self.people[subject_id], *(self.people[each] for each in sorted(group - {subject_id}))]

    async def join(self, _connection: AsyncConnection, members: Collection[UUID]) -> None:
        self.groups = [each for each in self.groups if not each & set(members)] + [set(members)]

    async def part(self, _connection: AsyncConnection, subject_id: UUID) -> None:
        left = [each - {subject_id} for each in self.groups]
        self.groups = [each for each in left if len(each) > 1]
