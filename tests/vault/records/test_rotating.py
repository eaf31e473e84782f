"""Root and index key rotated, and their old versions destroyed, with every key provider."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from consent.journal import VAULT
from tests.access_log.logs import append
from tests.vault.crypto.places import MAKERS, place_of
from tests.vault.people import ENROLLED, OTHER, UNKNOWN, enrol, find, person
from vault.crypto.journal import UNNAMED
from vault.records.identities import VAULT_ITSELF
from vault.records.keys import INDEX, ROOT
from vault.records.reindexing import Reindexed, reindex
from vault.records.resealing import reseal
from vault.records.rewrapping import rewrap
from vault.records.rotating import RotationError, destroy, rotate
from vault.server.assembly import Vault, open_vault, set_up
from vault.server.settings import Settings

_LAG = 0.2


async def _keys(vault: Vault) -> list[bytes]:
    rows = [await person(vault, n) for n in (ENROLLED, OTHER)]
    opened = await vault.keys.subject_keys(
        [(row.person.subject_id, row.wrapped_key) for row in rows], [UNNAMED] * len(rows)
    )
    return [one.key for one in opened]


@pytest.mark.parametrize("kind", MAKERS)
async def test_keys_are_rotated_with_every_provider(
    kind: str, request: pytest.FixtureRequest, vault_settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    held = place_of(kind, request, folder).settings
    stated = held.model_dump(include=held.model_fields_set - {"home"})
    # What is remembered for a while must not keep anybody from being found.
    settings = vault_settings.model_copy(update={**stated, "key_cache_seconds": _LAG})
    url = str(settings.database_url)
    await set_up(settings, url)
    async with open_vault(settings, url) as vault, open_vault(settings, url) as other:
        await enrol(vault, VAULT_ITSELF, ENROLLED, OTHER)
        keys = await _keys(vault)
        assert await _keys(other) == keys

        rotation = await rotate(vault.log, vault.keys, ROOT, VAULT)
        assert rotation.version == 2
        wrapped = await rewrap(vault.engine, vault.keys.provider, 2, lambda _done, _of: None)
        assert wrapped > len(keys)
        await destroy(vault.log, vault.keys, ROOT, 1, VAULT, backups_kept=timedelta())
        assert await _keys(other) == keys

        rotation = await rotate(vault.log, vault.keys, INDEX, VAULT)
        assert rotation.version == 2
        assert await reindex(vault.keys, 2, lambda _done, _of: None) == Reindexed(len(keys), 0)
        assert await _keys(other) == keys
        await destroy(vault.log, vault.keys, INDEX, 1, VAULT, backups_kept=timedelta())
        assert await _keys(other) == keys
        assert await find(other, UNKNOWN) is None

        subject_id = (await person(vault, ENROLLED)).person.subject_id
        assert (await reseal(other.log, other.keys, subject_id, VAULT)).unreadable == 0
        assert await vault.keys.provider.versions(ROOT) == (2,)
    async with open_vault(settings, url) as again:
        first, second = await _keys(again)
        assert (first != keys[0], second) == (True, keys[1])


async def test_what_a_version_holds_is_counted_while_the_log_goes_on(vault: Vault) -> None:
    await enrol(vault, VAULT_ITSELF, ENROLLED)
    await rotate(vault.log, vault.keys, ROOT, VAULT)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'vault.subject'::regclass")
    async with vault.engine.begin() as slow:
        await slow.execute(text("LOCK TABLE vault.subject IN ACCESS EXCLUSIVE MODE"))
        destroying = asyncio.create_task(
            destroy(vault.log, vault.keys, ROOT, 1, VAULT, backups_kept=timedelta())
        )
        async with asyncio.timeout(30):
            while not (await slow.execute(waiting)).scalar_one():
                assert not destroying.done()
            await append(vault.log)
        assert not destroying.done()
    with pytest.raises(RotationError, match="and 1 subject keys: rotate"):
        await destroying
