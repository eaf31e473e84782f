"""The vault's keys: made once, shared by workers, useless with another keyring or another database."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from vault.crypto.blind import DEMO_ID, Identifier
from vault.crypto.envelopes import ExpiryKey
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.crypto.journal import UNNAMED
from vault.crypto.keyfile import Argon2Cost
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import KeyKind
from vault.records.keys import (
    INDEX,
    LABEL_MASTER,
    LOG_PAYLOAD,
    LOG_SIGNING,
    ROOT,
    SUBJECT_HASH,
    KeysMissingError,
    LogSealer,
    VaultKeys,
)
from vault.server.portal.fictitious import fictitious_identity

PASSPHRASE = "correct horse battery staple"
CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)
ZONE = ZoneInfo("Asia/Shanghai")


def new_keyring(path: Path) -> FileKeyring:
    return FileKeyring.create_file(path, PASSPHRASE, CHEAP)


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return new_keyring(tmp_path / "keyring")


@pytest.fixture
def second(keyring: FileKeyring, tmp_path: Path) -> FileKeyring:
    """The same file, as another worker process opens it."""
    assert keyring.destroy_policy == "now"
    return FileKeyring.open(tmp_path / "keyring", PASSPHRASE)


@pytest.fixture
async def keys(database: AsyncEngine, keyring: FileKeyring) -> VaultKeys:
    await VaultKeys.create(database, keyring)
    return await VaultKeys.open(database, keyring)


async def rows(engine: AsyncEngine, table: str) -> list[object]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(f"SELECT * FROM vault.{table} ORDER BY 1"))).all())


def plain(keys: Mapping[int, ExpiryKey]) -> dict[int, bytes]:
    return {month: key.key for month, key in keys.items()}


async def test_making_keys_twice_changes_none(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    before = await rows(database, "system_key")
    await VaultKeys.create(database, keyring)
    assert await rows(database, "system_key") == before
    assert [await keyring.versions(name) for name in (ROOT, INDEX, SUBJECT_HASH)] == [(1,)] * 3
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
    assert await one.subject_hashes([identifier]) == await other.subject_hashes([identifier])


async def test_what_a_crash_left_half_made_is_finished(database: AsyncEngine, keyring: FileKeyring) -> None:
    await keyring.create(ROOT)
    await VaultKeys.create(database, keyring)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM vault.system_key WHERE name = 'log-signing'"))
    with pytest.raises(KeysMissingError, match="creditvault migrate"):
        await VaultKeys.open(database, keyring)
    await VaultKeys.create(database, keyring)
    assert len((await VaultKeys.open(database, keyring)).system(LOG_SIGNING)) == 32


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
    hashes = await keys.subject_hashes(identifiers)
    digests = await keys.keyed_digests([one.index_message() for one in identifiers])
    assert blinds[0] == blinds[2] != blinds[1]
    assert hashes[0] == hashes[2] != hashes[1]
    assert not set(blinds) & set(hashes)
    assert digests == blinds  # one key: the messages keep the two apart, see `enrol`


async def test_expiry_keys_are_made_once_for_all_workers(
    keys: VaultKeys, database: AsyncEngine, second: FileKeyring
) -> None:
    other = await VaultKeys.open(database, second)
    months = [203601, 203612, 204001]
    made, theirs = await asyncio.gather(keys.expiry_keys(months), other.expiry_keys(months))
    third = await (await VaultKeys.open(database, second)).expiry_keys(months)
    assert plain(made) == plain(theirs) == plain(third)
    assert [made[month].id for month in months] == months
    assert len(set(plain(made).values())) == len(months)
    assert len(await rows(database, "expiry_key")) == len(months)


async def test_an_expiry_key_that_was_destroyed(
    keys: VaultKeys, database: AsyncEngine, keyring: FileKeyring
) -> None:
    await keys.expiry_keys([203601, 203602])
    await keyring.destroy("expiry-203601")
    later = await VaultKeys.open(database, keyring)
    with pytest.raises(ProviderRefusedError):
        await later.load_expiry_keys([203601])
    with pytest.raises(UnsealError, match="203601 is gone"):
        later.expiry_key(203601)
    await later.load_expiry_keys([203602])
    assert later.expiry_key(203602).id == 203602
    await later.load_expiry_keys([209901])  # loading makes none
    with pytest.raises(UnsealError):
        later.expiry_key(209901)


async def test_an_expiry_key_moved_to_another_month(keys: VaultKeys, database: AsyncEngine) -> None:
    await keys.expiry_keys([203601, 203602])
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE vault.expiry_key AS a SET wrapped = b.wrapped FROM vault.expiry_key AS b"
                " WHERE a.expiry_id = 203601 AND b.expiry_id = 203602"
            )
        )
    later = await VaultKeys.open(database, keys.provider)
    with pytest.raises(UnsealError):
        await later.load_expiry_keys([203601])


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        (datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC), 203611),
        (datetime(2026, 11, 30, 16, 0, tzinfo=UTC), 203612),  # midnight in the pack's zone
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), 203701),
    ],
)
async def test_payloads_are_sealed_for_the_month_their_retention_ends(
    keys: VaultKeys, moment: datetime, month: int
) -> None:
    sealer = LogSealer(keys, "creditvault.test/log", 10, ZONE)
    time_ms = int(moment.timestamp() * 1000)
    await sealer.prepare(time_ms)
    expiry, sealed = sealer.seal(7, time_ms, b"plaintext")
    assert expiry == month
    assert b"plaintext" not in sealed
    assert await sealer.open(7, month, sealed) == b"plaintext"
    for index, expiry_id, ciphertext in (
        (8, month, sealed),
        (7, month, sealed[:-1] + b"x"),
        (7, 209912, sealed),
    ):
        with pytest.raises(UnsealError):
            await sealer.open(index, expiry_id, ciphertext)


async def test_a_payload_of_another_log_does_not_open(keys: VaultKeys) -> None:
    one, other = (LogSealer(keys, f"creditvault.test/{name}", 10, ZONE) for name in ("one", "other"))
    now = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
    await one.prepare(now)
    expiry, sealed = one.seal(0, now, b"plaintext")
    with pytest.raises(UnsealError):
        await other.open(0, expiry, sealed)


async def test_the_provider_keeps_macs_and_wraps_apart(keys: VaultKeys) -> None:
    with pytest.raises(ProviderRefusedError):
        await keys.provider.wrap(INDEX, b"secret", b"")
    with pytest.raises(ProviderRefusedError):
        await keys.provider.mac(ROOT, b"message")
    assert await keys.provider.create(INDEX, KeyKind.MAC) == 2
