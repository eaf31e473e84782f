"""The index key rotated: everybody is found throughout, nobody is made twice, and old versions can go."""

import asyncio
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from consent.journal import VAULT
from tests.vault.people import ENROLLED, OTHER, UNKNOWN, blind, enrol, find, met, person
from tests.vault.served import Served
from vault.crypto.blind import DEMO_ID, Blind
from vault.crypto.provider import KeyKind
from vault.records import key_versions, reindexing, rotating, subjects
from vault.records.identities import VAULT_ITSELF
from vault.records.key_versions import RetiredKeyError
from vault.records.keys import INDEX
from vault.records.reindexing import Reindexed, reindex
from vault.records.rotating import RotationError, rotate
from vault.server.assembly import Vault

_PERSONS = (ENROLLED, OTHER, 3, 4)
_ANOTHER_BODY = UUID(int=1)


class _StoppedError(Exception):
    """The job was killed."""


def _go_on(_done: int, _of: int) -> None:
    """Nobody watches."""


def _stop(_done: int, _of: int) -> None:
    raise _StoppedError


async def _versions(vault: Vault) -> set[int]:
    async with vault.engine.connect() as connection:
        return {one.version for one in await key_versions.held(connection) if one.name == INDEX}


async def _ids(vault: Vault) -> list[UUID]:
    return [(await person(vault, n)).person.subject_id for n in _PERSONS]


async def test_everybody_is_found_while_it_goes_on_and_nobody_is_made_twice(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "BATCH", 1)
    await enrol(vault, VAULT_ITSELF, *_PERSONS)
    before = await _ids(vault)
    stale = await blind(vault, UNKNOWN)
    rotation = await rotate(vault.log, vault.keys, INDEX, VAULT)
    assert (rotation.version, await _versions(vault)) == (2, {1})
    with pytest.raises(_StoppedError):
        await reindex(vault.keys, 2, _stop)
    assert await _versions(vault) == {1, 2}
    assert await _ids(vault) == before
    # Whoever is brought now is found, or made under the newest version.
    await enrol(vault, _ANOTHER_BODY, *_PERSONS, UNKNOWN)
    assert await _ids(vault) == before
    async with vault.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM vault.subject")) == len(_PERSONS) + 1
    # What was made with the old version alone, in a process that had not heard yet, is refused.
    ((late, _),) = (await subjects.introduce(vault.keys, [(DEMO_ID, Blind(1, stale.value))])).values()
    with pytest.raises(RetiredKeyError) as refused:
        async with vault.log.writing() as writing:
            await subjects.add(vault.log, writing.connection, [late])
    assert refused.value.retryable  # Pages and routes answer 503.
    assert await rotate(vault.log, vault.keys, INDEX, VAULT) == rotating.Rotation(INDEX, 2, None)
    assert await reindex(vault.keys, 2, _go_on) == Reindexed(len(_PERSONS) - 1, 0)
    assert await _versions(vault) == {2}
    assert await _ids(vault) == before
    assert await find(vault, 77) is None
    await rotating.destroy(vault.log, vault.keys, INDEX, 1, VAULT, backups_kept=timedelta())
    assert await _ids(vault) == before
    assert await find(vault, 77) is None
    assert (await blind(vault, ENROLLED)).older == ()


async def test_who_has_no_sealed_number_keeps_the_old_version_until_they_are_met(vault: Vault) -> None:
    """Earlier releases made persons who came by themselves without an identity record."""
    ((new, _),) = (await subjects.introduce(vault.keys, [(DEMO_ID, await blind(vault, UNKNOWN))])).values()
    async with vault.log.writing() as writing:
        await subjects.add(vault.log, writing.connection, [new])
    await rotate(vault.log, vault.keys, INDEX, VAULT)
    assert await reindex(vault.keys, 2, _go_on) == Reindexed(0, 1)
    assert await _versions(vault) == {1}
    with pytest.raises(RotationError, match="still holds 1 identifiers"):
        await rotating.destroy(vault.log, vault.keys, INDEX, 1, VAULT, backups_kept=timedelta())
    async with vault.log.writing() as writing:
        found = await vault.identities.find_or_add(writing, await met(vault, UNKNOWN))
    assert found == new.person
    assert await reindex(vault.keys, 2, _go_on) == Reindexed(1, 0)
    assert (await person(vault, UNKNOWN)).person == new.person


async def test_a_number_under_another_index_is_not_believed(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED)
    await rotate(vault.log, vault.keys, INDEX, VAULT)
    async with vault.engine.begin() as connection:
        await connection.execute(text("UPDATE vault.identifier SET blind = sha256(blind)"))
    assert await reindex(vault.keys, 2, _go_on) == Reindexed(0, 1)


async def test_queries_find_whom_they_ask_about_throughout(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "BATCH", 1)
    await served.enrol(1, 2, 3)
    vault = served.world.vault
    known, unknown = await served.court(1), await served.court(UNKNOWN)
    shown = (await known.ask()).json()["records"]
    assert shown

    async def rotated() -> None:
        for _ in range(3):
            rotation = await rotate(vault.log, vault.keys, INDEX, VAULT)
            await reindex(vault.keys, rotation.version, _go_on)
            await rotating.destroy(
                vault.log, vault.keys, INDEX, rotation.version - 1, VAULT, backups_kept=timedelta()
            )

    async def asked() -> list[tuple[httpx.Response, httpx.Response]]:
        return [(await known.ask(), await unknown.ask()) for _ in range(10)]

    _, answers = await asyncio.gather(rotated(), asked())
    for found, nobody in answers:
        assert (found.status_code, found.json()["records"]) == (httpx.codes.OK, shown)
        assert (nobody.status_code, nobody.json()["records"]) == (httpx.codes.OK, [])
    assert await vault.keys.provider.create(INDEX, KeyKind.MAC) == 5
