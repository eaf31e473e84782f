import asyncio

import pytest

from tests.vault.people import UNKNOWN, blind, find
from vault.crypto.blind import DEMO_ID
from vault.crypto.journal import UNNAMED
from vault.records import subjects
from vault.server.assembly import Vault


async def meet(vault: Vault) -> bytes:
    mac = await blind(vault, UNKNOWN)
    async with vault.log.writing() as writing:
        person = await subjects.find_or_add(vault.log, vault.keys, writing, DEMO_ID, mac)
    return person.subject_id.bytes


async def test_a_person_is_made_once_with_key_stream_and_identifier(vault: Vault) -> None:
    assert await find(vault, UNKNOWN) is None
    first = await meet(vault)
    assert await meet(vault) == first
    row = await find(vault, UNKNOWN)
    assert row is not None
    assert row.person.subject_id.bytes == first
    (key,) = await vault.keys.subject_keys([(row.person.subject_id, row.wrapped_key)], [UNNAMED])
    assert key.subject == row.person.subject_id
    async with vault.engine.connect() as connection:
        assert await subjects.read(connection, row.person.subject_id) == row.person
        kind = await connection.exec_driver_sql(
            "SELECT kind FROM access_log.stream WHERE stream_id = %s", (row.person.stream_id,)
        )
        assert kind.scalar_one() == 1


async def test_of_many_at_once_one_makes_the_person(vault: Vault) -> None:
    assert len(set(await asyncio.gather(*(meet(vault) for _ in range(6))))) == 1


class TurnedAroundError(Exception):
    pass


async def meet_and_turn_around(vault: Vault) -> None:
    mac = await blind(vault, UNKNOWN)
    async with vault.log.writing() as writing:
        await subjects.find_or_add(vault.log, vault.keys, writing, DEMO_ID, mac)
        raise TurnedAroundError


async def test_a_transaction_that_fails_makes_nobody(vault: Vault) -> None:
    with pytest.raises(TurnedAroundError):
        await meet_and_turn_around(vault)
    assert await find(vault, UNKNOWN) is None
