"""kill -9 while keys are rotated or destroyed: everything opens, and the next run takes up what was begun."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from consent.journal import VAULT
from tests import prepared
from tests.access_log.logs import check_chain
from tests.crash.commands import killed
from tests.vault.people import blind, enrol, person
from vault.crypto.journal import UNNAMED
from vault.records import key_versions, rotating
from vault.records.announced import announce
from vault.records.copy_keys import CopyKeys, make_key
from vault.records.identities import VAULT_ITSELF
from vault.records.keys import CONSENT_SIGNING, INDEX, ROOT
from vault.records.reindexing import reindex
from vault.records.rewrapping import rewrap
from vault.rights.own_records import own_records
from vault.server.assembly import Vault, open_vault
from vault.server.settings import Settings

_PERSONS = range(1, 4)

# The command starts the log first, which raises once before the rotation.
_ROTATING = [
    ("before-keyring-is-placed", 1),
    ("after-keyring", 1),
    ("after-version-in-use", 1),
    ("before-commit", 1),
    ("after-commit", 1),
    ("after-raise", 2),
    ("after-system-keys", 1),
    ("before-move-is-committed", 1),
    ("after-move-is-committed", 1),
    ("before-emptied", 1),
]
_RESEALING = [
    ("before-moving", 1, False),
    ("after-resealing", 1, False),
    ("before-commit", 1, False),
    ("after-commit", 1, True),
    ("after-raise", 2, True),
]
_REINDEXING = [
    ("after-keyring", 1),
    ("after-commit", 1),
    ("before-index-is-committed", 1),
    ("after-index-is-committed", 1),
    ("before-emptied", 1),
]
_ANNOUNCING = [
    ("before-commit", 1),
    ("after-commit", 1),
]
_DESTROYING = [
    ("after-destroyed", 1),
    ("after-commit", 1),
    ("before-keyring-is-placed", 1),
    ("after-keyring", 1),
]


async def _keys(vault: Vault) -> list[bytes]:
    rows = [await person(vault, n) for n in _PERSONS]
    opened = await vault.keys.subject_keys(
        [(row.person.subject_id, row.wrapped_key) for row in rows], [UNNAMED] * len(rows)
    )
    return [one.key for one in opened]


@asynccontextmanager
async def _with_persons(settings: Settings) -> AsyncIterator[list[bytes]]:
    """A vault with persons, and their keys."""
    await prepared.copy(settings)
    async with _started(settings) as vault:
        await enrol(vault, VAULT_ITSELF, *_PERSONS)
        keys = await _keys(vault)
    yield keys
    async with _started(settings) as vault:
        assert await _keys(vault) == keys


@asynccontextmanager
async def _started(settings: Settings) -> AsyncIterator[Vault]:
    """A vault that finds everything in order at its start."""
    async with open_vault(settings, str(settings.database_url)) as vault:
        await check_chain(vault.log)
        yield vault


async def _rotated(vault: Vault) -> tuple[int, set[int]]:
    """Rotates, or goes on; returns the version in use, and those that hold something."""
    rotation = await rotating.rotate(vault.log, vault.keys, ROOT, VAULT)
    await rewrap(vault.engine, vault.keys.provider, rotation.version, lambda _done, _of: None)
    async with vault.engine.connect() as connection:
        holding = {one.version for one in await key_versions.held(connection) if one.name == ROOT}
    return rotation.version, holding


@pytest.mark.slow
async def test_a_rotation_killed_at_any_step_goes_on(vault_settings: Settings) -> None:
    async with _with_persons(vault_settings) as keys:
        for version, (step, nth) in enumerate(_ROTATING, start=2):
            await killed(vault_settings, step, nth, "keys", "rotate", "--yes")
            async with _started(vault_settings) as vault:
                assert await _keys(vault) == keys, step
                assert await _rotated(vault) == (version, {version}), step
                made = await vault.keys.provider.versions(ROOT)
                assert made == tuple(range(1, version + 1)), step


@pytest.mark.slow
async def test_an_index_key_rotation_killed_at_any_step_goes_on(vault_settings: Settings) -> None:
    # `_keys` finds each person by their number.
    async with _with_persons(vault_settings) as keys:
        for version, (step, nth) in enumerate(_REINDEXING, start=2):
            await killed(vault_settings, step, nth, "keys", "rotate", INDEX, "--yes")
            async with _started(vault_settings) as vault:
                assert await _keys(vault) == keys, step
                rotation = await rotating.rotate(vault.log, vault.keys, INDEX, VAULT)
                assert rotation.version == version, step
                assert (await reindex(vault.keys, version, lambda _done, _of: None)).left == 0, step
                assert await _keys(vault) == keys, step
                assert {mac.version for mac in (await blind(vault, _PERSONS[0])).older} == {
                    *range(1, version)
                }, step


@pytest.mark.slow
async def test_an_announcement_killed_at_any_step_stands_or_is_made_again(vault_settings: Settings) -> None:
    await prepared.copy(vault_settings)
    version = 1
    for step, nth in _ANNOUNCING:
        await killed(vault_settings, step, nth, "keys", "rotate", CONSENT_SIGNING, "--another", "--yes")
        version += step == "after-commit"
        async with _started(vault_settings) as vault:
            known = [one.version for one in vault.keys.announced.versions(CONSENT_SIGNING)]
            assert known == [*range(1, version + 1)], step
            assert len((await CopyKeys(vault.keys.announced).published())["keys"]) == version, step
            done = await announce(vault.log, partial(make_key, vault.keys), CONSENT_SIGNING, VAULT)
            # What was begun is made, what stands is not made twice.
            assert (done.version, done.entry is None) == (max(version, 2), version > 1), step
            version = done.version


@pytest.mark.slow
async def test_a_change_of_the_passphrase_killed_at_any_step_leaves_one_that_opens(
    vault_settings: Settings, tmp_path: Path
) -> None:
    await prepared.copy(vault_settings)
    new = tmp_path / "new"
    new.write_text("another passphrase")
    new.chmod(0o600)
    # The handover is placed before the keyring.
    for step, nth, changed in (("before-keyring-is-placed", 2, False), ("after-keyring", 1, True)):
        async with _started(vault_settings) as running:
            await killed(vault_settings, step, nth, "keys", "passphrase", "--new-file", str(new), "--yes")
            await running.keys.provider.create("after")
            handed = vault_settings.keyring_path.with_name("keyring.handover")
            assert handed.exists(), step
            os.utime(handed, (0, 0))
        opens = vault_settings.model_copy(update={"passphrase_file": new}) if changed else vault_settings
        async with _started(opens):
            assert not handed.exists(), step


@pytest.mark.slow
async def test_a_destruction_killed_at_any_step_is_repeated(vault_settings: Settings) -> None:
    async with _with_persons(vault_settings) as keys:
        for version, (step, nth) in enumerate(_DESTROYING, start=1):
            async with _started(vault_settings) as vault:
                await _rotated(vault)
            await killed(
                vault_settings, step, nth, "keys", "destroy", ROOT, str(version), "--backups-too", "--yes"
            )
            async with _started(vault_settings) as vault:
                assert await _keys(vault) == keys, step
                await rotating.destroy(vault.log, vault.keys, ROOT, version, VAULT, backups_kept=timedelta())
                assert await vault.keys.provider.versions(ROOT) == (version + 1,), step


@pytest.mark.slow
async def test_a_persons_key_is_changed_whole_or_not_at_all(vault_settings: Settings) -> None:
    async with _with_persons(vault_settings) as keys:
        async with _started(vault_settings) as vault:
            subject_id = (await person(vault, _PERSONS[0])).person.subject_id
        for step, nth, changed in _RESEALING:
            await killed(vault_settings, step, nth, "keys", "rotate-subject", str(subject_id), "--yes")
            async with _started(vault_settings) as vault:
                first, *others = await _keys(vault)
                assert (first != keys[0], others) == (changed, keys[1:]), step
                own, _ = await own_records(vault.log, vault.keys, subject_id)
                assert sorted(one.record.category for one in own) == ["FIN", "IDN"], step
                keys[0] = first
