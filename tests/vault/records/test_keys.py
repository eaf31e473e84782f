"""The vault's keys: made once, shared by workers, useless with another keyring or another database."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.openbao import OpenBao
from tests.vault.records.conftest import new_keyring
from vault.crypto.blind import DEMO_ID, Identifier
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.journal import UNNAMED
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import KeyKind
from vault.records.adopting import DIGEST, SUBJECT_HASH, KeysStayError
from vault.records.keys import (
    INDEX,
    LABEL_MASTER,
    LOG_PAYLOAD,
    LOG_SIGNING,
    ROOT,
    KeysMissingError,
    VaultKeys,
)
from vault.server.portal.fictitious import fictitious_identity
from vault.server.providers import open_provider
from vault.server.settings import Settings


async def rows(engine: AsyncEngine, table: str) -> list[object]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(f"SELECT * FROM vault.{table} ORDER BY 1"))).all())


async def test_making_keys_twice_changes_none(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    before = await rows(database, "system_key")
    await VaultKeys.create(database, keyring)
    assert await rows(database, "system_key") == before
    assert [await keyring.versions(name) for name in (ROOT, INDEX)] == [(1,), (1,)]
    assert [await keyring.versions(name) for name in (DIGEST, SUBJECT_HASH)] == [(), ()]
    again = await VaultKeys.open(database, keyring)
    names = (LABEL_MASTER, LOG_PAYLOAD, LOG_SIGNING)
    assert [again.system(name) for name in names] == [keys.system(name) for name in names]
    assert len({keys.system(name) for name in names}) == len(names)


async def test_two_that_make_keys_at_once_agree(
    database: AsyncEngine, keyring: FileKeyring, second: FileKeyring
) -> None:
    await asyncio.gather(VaultKeys.create(database, keyring), VaultKeys.create(database, second))
    one, other = await VaultKeys.open(database, keyring), await VaultKeys.open(database, second)
    assert one.system(LABEL_MASTER) == other.system(LABEL_MASTER)
    identifier = Identifier(DEMO_ID, fictitious_identity(1)[0])
    assert await one.blind([identifier]) == await other.blind([identifier])
    assert one.subject_hashes([identifier]) == other.subject_hashes([identifier])


async def test_what_a_crash_left_half_made_is_finished(database: AsyncEngine, keyring: FileKeyring) -> None:
    await keyring.create(ROOT)
    await VaultKeys.create(database, keyring)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM vault.system_key WHERE name = 'log-signing'"))
    with pytest.raises(KeysMissingError, match="creditvault migrate"):
        await VaultKeys.open(database, keyring)
    await VaultKeys.create(database, keyring)
    assert len((await VaultKeys.open(database, keyring)).system(LOG_SIGNING)) == 32


@pytest.mark.parametrize("former", [DIGEST, INDEX])
async def test_an_older_vaults_keys_are_taken_over(
    database: AsyncEngine, keyring: FileKeyring, former: str
) -> None:
    """Before they were keys of the system; and before digests had a key of their own."""
    for name in {SUBJECT_HASH, INDEX, former}:
        await keyring.create(name, KeyKind.MAC)
    await VaultKeys.create(database, keyring)
    async with database.begin() as connection:
        await connection.execute(
            text("DELETE FROM vault.system_key WHERE name = ANY(:names)"), {"names": [DIGEST, SUBJECT_HASH]}
        )
    with pytest.raises(KeysMissingError, match="creditvault migrate"):
        await VaultKeys.open(database, keyring)
    await VaultKeys.create(database, keyring)
    keys = await VaultKeys.open(database, keyring)
    identifier = Identifier(DEMO_ID, fictitious_identity(1)[0])
    assert keys.keyed_digests([b"reference"]) == [(await keyring.mac(former, b"reference", 1)).value]
    assert keys.subject_hashes([identifier]) == [
        (await keyring.mac(SUBJECT_HASH, identifier.index_message(), 1)).value
    ]


async def test_keys_that_cannot_be_taken_over_are_never_made_anew(
    database: AsyncEngine, keys: VaultKeys, openbao: OpenBao, tmp_path: Path
) -> None:
    assert keys.system(DIGEST) != keys.system(SUBJECT_HASH)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM vault.system_key WHERE name = 'digest'"))
    with pytest.raises(KeysStayError, match=r"restore vault\.system_key"):
        await VaultKeys.create(database, keys.provider)
    async with open_provider(Settings(home=tmp_path, **openbao.settings("creditvault-older"))) as held:
        with pytest.raises(KeysStayError, match="set up a new vault"):
            await VaultKeys.create(database, held)


async def test_a_database_without_keys(database: AsyncEngine, keyring: FileKeyring) -> None:
    with pytest.raises(KeysMissingError, match="creditvault migrate"):
        await VaultKeys.open(database, keyring)


@pytest.mark.usefixtures("keys")
async def test_another_keyring(database: AsyncEngine, tmp_path: Path) -> None:
    other = new_keyring(tmp_path / "other")
    with pytest.raises(ProviderRefusedError):
        await VaultKeys.open(database, other)
    await other.create(ROOT)
    with pytest.raises(UnsealError):
        await VaultKeys.open(database, other)


@pytest.mark.usefixtures("keys")
async def test_system_keys_that_change_places(database: AsyncEngine, keyring: FileKeyring) -> None:
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.system_key AS a SET wrapped = b.wrapped FROM vault.system_key AS b"
                " WHERE a.name = 'log-signing' AND b.name = 'token-signing'"
            )
        )
    with pytest.raises(UnsealError):
        await VaultKeys.open(database, keyring)


async def test_subject_keys_open_for_their_own_subject_alone(keys: VaultKeys) -> None:
    one, other = uuid4(), uuid4()
    (first, wrapped), (second, others) = await keys.new_subject_keys([one, other])
    opened = await keys.subject_keys([(other, others), (one, wrapped)], [UNNAMED] * 2)
    assert [(key.subject, key.key) for key in opened] == [(other, second.key), (one, first.key)]
    assert first.key != second.key
    with pytest.raises(UnsealError) as failed:
        await keys.subject_keys([(one, wrapped), (one, others)], [UNNAMED] * 2)
    assert failed.value.position == 1
    assert await keys.subject_keys([], []) == []


async def test_hashes_for_tokens_are_not_the_blind_index(keys: VaultKeys) -> None:
    identifiers = [Identifier(DEMO_ID, fictitious_identity(n)[0]) for n in (1, 2, 1)]
    blinds = [mac.value for mac in await keys.blind(identifiers)]
    hashes = keys.subject_hashes(identifiers)
    digests = keys.keyed_digests([one.index_message() for one in identifiers])
    assert blinds[0] == blinds[2] != blinds[1]
    assert hashes[0] == hashes[2] != hashes[1]
    assert not set(blinds) & set(hashes)
    assert not set(digests) & {*blinds, *hashes}


async def test_the_provider_keeps_macs_and_wraps_apart(keys: VaultKeys) -> None:
    with pytest.raises(ProviderRefusedError):
        await keys.provider.wrap(INDEX, b"secret", b"")
    with pytest.raises(ProviderRefusedError):
        await keys.provider.mac(ROOT, b"message")
    assert await keys.provider.create(INDEX, KeyKind.MAC) == 2
