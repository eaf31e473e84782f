"""A person's key exchanged: everything opens under the new one alone, and no query notices."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from consent.errors import UnknownError
from consent.journal import VAULT
from tests.vault.people import ENROLLED, OTHER, enrol, person
from tests.vault.served import Served
from vault.crypto.envelopes import RecordKey, SubjectKey
from vault.crypto.errors import UnsealError
from vault.crypto.journal import UNNAMED
from vault.records import store
from vault.records.identities import VAULT_ITSELF
from vault.records.resealing import RESEALED, reseal
from vault.records.store import SealedRecord
from vault.rights.own_records import OwnRecord, own_records
from vault.server.assembly import Vault

_TIMES = 5


async def _held(vault: Vault, n: int) -> tuple[SubjectKey, list[SealedRecord]]:
    row = await person(vault, n)
    (key,) = await vault.keys.subject_keys([(row.person.subject_id, row.wrapped_key)], [UNNAMED])
    async with vault.engine.connect() as connection:
        return key, await store.every_version(connection, row.person.subject_id)


async def _opens(vault: Vault, key: SubjectKey, record: SealedRecord) -> bool:
    month = (await vault.keys.expiry.load([record.expiry_id]))[record.expiry_id]
    try:
        RecordKey.unwrap(
            key,
            record.record_id,
            record.version,
            expiry_key=month,
            wrapped=record.wrapped_key,
            key_check=record.key_check,
        )
    except UnsealError:
        return False
    return True


async def _said(vault: Vault, subject: UUID) -> list[OwnRecord]:
    """What the person reads, apart from the receipt, which each look has of its own."""
    records, _ = await own_records(vault.log, vault.keys, subject)
    return [replace(one, receipt="") for one in records]


async def test_everything_is_sealed_anew_and_says_the_same(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED, OTHER)
    old, before = await _held(vault, ENROLLED)
    other = await _held(vault, OTHER)
    said = await _said(vault, old.subject)
    done = await reseal(vault.log, vault.keys, old.subject, VAULT)
    assert (done.records, done.unreadable) == (len(before), 0)
    new, after = await _held(vault, ENROLLED)
    assert await _said(vault, old.subject) == said
    assert [(one.record_id, one.version) for one in after] == [(one.record_id, one.version) for one in before]
    for one, earlier in zip(after, before, strict=True):
        assert (await _opens(vault, new, one), await _opens(vault, old, one)) == (True, False)
        assert not {one.key_check, *one.sealed.values()} & {earlier.key_check, *earlier.sealed.values()}
    # Nobody else's records changed.
    assert (await _held(vault, OTHER))[1] == other[1]
    assert (await _held(vault, OTHER))[0].key == other[0].key


async def test_what_no_key_opens_any_more_stays_as_it_is(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED)
    key, before = await _held(vault, ENROLLED)
    ended = next(one for one in before if one.category == "FIN")
    await vault.keys.provider.destroy(f"expiry-{ended.expiry_id}")
    vault.keys.expiry._held.clear()  # as in a process that starts after it
    done = await reseal(vault.log, vault.keys, key.subject, VAULT)
    assert (done.records, done.unreadable) == (len(before) - 1, 1)
    assert ended in (await _held(vault, ENROLLED))[1]


async def test_a_record_that_was_altered_is_not_sealed_anew(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED)
    key, before = await _held(vault, ENROLLED)
    async with vault.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE vault.record SET key_check = content WHERE category = 'FIN'")
    with pytest.raises(UnsealError):
        await reseal(vault.log, vault.keys, key.subject, VAULT)
    again, after = await _held(vault, ENROLLED)
    assert again.key == key.key
    assert [one.sealed for one in after] == [one.sealed for one in before]
    with pytest.raises(UnknownError):
        await reseal(vault.log, vault.keys, uuid4(), VAULT)


async def test_queries_meanwhile_are_right_before_or_right_after(served: Served) -> None:
    await served.enrol(1)
    vault = served.world.vault
    row = await person(vault, 1)
    grant = await served.court(1)
    first = await grant.ask(idempotency_key="again")
    shown = first.json()["records"]
    assert shown

    async def exchange() -> list[int]:
        return [
            (await reseal(vault.log, vault.keys, row.person.subject_id, VAULT)).entry for _ in range(_TIMES)
        ]

    async def ask() -> list[httpx.Response]:
        return [await grant.ask() for _ in range(2 * _TIMES)]

    entries, *answers = await asyncio.gather(exchange(), ask(), ask())
    assert len(set(entries)) == _TIMES
    for answer in [one for each in answers for one in each]:
        assert (answer.status_code, answer.json()["records"]) == (httpx.codes.OK, shown)
    # A repeat opens the record versions of the first answer, which have other keys now.
    assert (await grant.ask(idempotency_key="again")).json()["records"] == shown
    payload = await served.payload(entries[-1])
    _, records = await _held(vault, 1)
    assert payload["event"] == RESEALED
    assert _versions(payload["object"]) == [(one.record_id, one.version) for one in records]
    assert payload["key_checks"] == [one.key_check.hex() for one in records]


def _versions(named: Sequence[Sequence[object]]) -> list[tuple[UUID, object]]:
    return [(UUID(str(record)), version) for record, version, _ in named]
