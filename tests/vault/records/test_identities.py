"""Persons who come by themselves: made once, with their number sealed from the same moment on."""

import asyncio
import json

import pytest

from access_log.entry import EntryType
from access_log.streams import entries_of
from tests.vault.people import ENROLLED, UNKNOWN, blind, enrol, find, met
from vault.crypto.blind import DEMO_ID
from vault.crypto.envelopes import RecordKey
from vault.crypto.journal import UNNAMED
from vault.records import store, subjects
from vault.records.identities import IDENTITY, VAULT_ITSELF
from vault.server.assembly import Vault
from vault.server.portal.fictitious import fictitious_identity


async def meet(vault: Vault, n: int = UNKNOWN) -> bytes:
    one = await met(vault, n)
    async with vault.log.writing() as writing:
        person = await vault.identities.find_or_add(writing, one)
    return person.subject_id.bytes


async def identity(vault: Vault, n: int = UNKNOWN) -> list[dict[str, str]]:
    """Every identity record of a person, opened."""
    row = await find(vault, n)
    assert row is not None
    (key,) = await vault.keys.subject_keys([(row.person.subject_id, row.wrapped_key)], [UNNAMED])
    async with vault.engine.connect() as connection:
        records = await store.own(connection, row.person.subject_id)
    opened = []
    for one in records:
        if one.category != IDENTITY:
            continue
        (month,) = (await vault.keys.expiry.load([one.expiry_id])).values()
        record_key = RecordKey.unwrap(
            key,
            one.record_id,
            one.version,
            expiry_key=month,
            wrapped=one.wrapped_key,
            key_check=one.key_check,
        )
        sealer = record_key.fields(IDENTITY)
        opened.append({name: json.loads(sealer.open(name, sealed)) for name, sealed in one.sealed.items()})
    return opened


async def test_a_person_is_made_once_with_key_stream_identifier_and_number(vault: Vault) -> None:
    assert await find(vault, UNKNOWN) is None
    first = await meet(vault)
    assert await meet(vault) == first
    row = await find(vault, UNKNOWN)
    assert row is not None
    assert row.person.subject_id.bytes == first
    async with vault.engine.connect() as connection:
        assert await subjects.read(connection, row.person.subject_id) == row.person
        kind = await connection.exec_driver_sql(
            "SELECT kind FROM access_log.stream WHERE stream_id = %s", (row.person.stream_id,)
        )
        assert kind.scalar_one() == 1
        (record,) = await store.own(connection, row.person.subject_id)
        (entry,) = await entries_of(connection, vault.log, row.person.stream_id, row.created_at)
    assert await identity(vault) == [{"number": fictitious_identity(UNKNOWN)[0], "_scheme": DEMO_ID}]
    assert record.furnisher == VAULT_ITSELF
    # Its key check is in the log, in the person's own stream: a rollback is found.
    assert entry.entry.type is EntryType.RECORD
    assert entry.payload is not None
    told = entry.payload.values()
    assert told["object"] == [[str(record.record_id), 1, IDENTITY]]
    assert told["key_checks"] == [record.key_check.hex()]


async def test_who_was_enrolled_is_found_and_nothing_is_added(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED)
    async with vault.log.writing() as writing:
        await vault.identities.find_or_add(writing, await met(vault, ENROLLED))
    assert not writing.receipts
    assert len(await identity(vault, ENROLLED)) == 1


async def test_who_was_made_without_an_identity_gets_one_when_they_come_again(vault: Vault) -> None:
    """Earlier releases made persons so; their key is the one they had."""
    place = (DEMO_ID, await blind(vault, UNKNOWN))
    ((one, _),) = (await subjects.introduce(vault.keys, [place])).values()
    async with vault.log.writing() as writing:
        await subjects.add(vault.log, writing.connection, [one])
    assert await identity(vault) == []
    assert await meet(vault) == await meet(vault) == one.person.subject_id.bytes
    assert await identity(vault) == [{"number": fictitious_identity(UNKNOWN)[0], "_scheme": DEMO_ID}]


async def test_of_many_at_once_one_makes_the_person(vault: Vault) -> None:
    assert len(set(await asyncio.gather(*(meet(vault) for _ in range(6))))) == 1
    assert len(await identity(vault)) == 1


class TurnedAroundError(Exception):
    pass


async def meet_and_turn_around(vault: Vault) -> None:
    one = await met(vault, UNKNOWN)
    async with vault.log.writing() as writing:
        await vault.identities.find_or_add(writing, one)
        raise TurnedAroundError


async def test_a_transaction_that_fails_makes_nobody(vault: Vault) -> None:
    with pytest.raises(TurnedAroundError):
        await meet_and_turn_around(vault)
    assert await find(vault, UNKNOWN) is None
