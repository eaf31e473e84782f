"""Groups of identities in the database are those of a naive model, whatever is joined and parted."""

from hashlib import sha256
from uuid import UUID

from sqlalchemy import text

from consent.permit import Person
from tests.consent.joined import Groups
from vault.records import store
from vault.records.joining import JoinedSubjects
from vault.server.assembly import Vault

PEOPLE, STEPS = 9, 100


async def test_groups_are_those_of_the_model(vault: Vault) -> None:
    joined = JoinedSubjects()
    people = [Person(UUID(int=each), each.to_bytes(16, "big")) for each in range(1, PEOPLE + 1)]
    model = Groups({one.subject_id: one for one in people})
    async with vault.engine.connect() as connection:
        for person in people:
            await connection.execute(
                text(
                    "INSERT INTO vault.subject (subject_id, wrapped_key, stream_id, root_version)"
                    " VALUES (:subject, '', :stream, 1)"
                ),
                {"subject": person.subject_id, "stream": person.stream_id},
            )
        for step in range(STEPS):
            chance = sha256(step.to_bytes(2, "big")).digest()
            who, whom = (people[each % PEOPLE].subject_id for each in chance[:2])
            if step % 3 == 0:
                for each in (joined, model):
                    await each.part(connection, who)
            else:
                members = {
                    each.subject_id for one in (who, whom) for each in await model.members(connection, one)
                }
                for each in (joined, model):
                    await each.join(connection, members)
            for person in people:
                first, *others = await joined.members(connection, person.subject_id)
                expected, *rest = await model.members(connection, person.subject_id)
                assert (first, set(others)) == (expected, set(rest)), step
            alone = await store.identities(connection, who, alone=True)
            assert [row.person.subject_id for row in alone] == [who]
        left = await connection.scalars(
            text("SELECT count(*) FROM vault.subject WHERE joined IS NOT NULL GROUP BY joined")
        )
        assert sorted(left) == sorted(map(len, model.groups))
        assert await joined.members(connection, UUID(int=PEOPLE + 1)) == []
