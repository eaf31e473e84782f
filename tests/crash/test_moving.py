"""kill -9 at each step of a move to another key provider: everything opens, and the next run goes on."""

import pytest

from consent.journal import VAULT
from tests import prepared
from tests.crash.commands import killed
from tests.crash.test_keys import _started
from tests.openbao import OpenBao
from tests.vault.people import ENROLLED, OTHER, enrol, person
from vault.crypto.journal import UNNAMED
from vault.records import key_versions, moving
from vault.records.identities import VAULT_ITSELF
from vault.records.keys import INDEX, ROOT
from vault.records.reindexing import reindex
from vault.records.rewrapping import rewrap
from vault.rights.own_records import own_records
from vault.server.assembly import Vault
from vault.server.settings import Settings

_STEPS = [
    ("after-key-in-new-provider", 2),  # the first was only counted past
    ("after-version-in-use", 1),
    ("after-commit", 1),
    ("before-move-is-committed", 1),
    ("after-index-is-committed", 1),
    ("after-month-is-moved", 1),
]
_PERSONS = (ENROLLED, OTHER)


async def _opened(vault: Vault) -> list[bytes]:
    """Persons' keys, found by their numbers; whose records open, too."""
    rows = [await person(vault, n) for n in _PERSONS]
    for row in rows:
        own, _ = await own_records(vault.log, vault.keys, row.person.subject_id)
        assert sorted(one.record.category for one in own) == ["FIN", "IDN"]
    opened = await vault.keys.subject_keys(
        [(row.person.subject_id, row.wrapped_key) for row in rows], [UNNAMED] * len(rows)
    )
    return [one.key for one in opened]


def _told(_done: int, _of: int) -> None:
    """Nobody watches."""


@pytest.mark.slow
async def test_a_move_killed_at_any_step_goes_on(vault_settings: Settings, openbao: OpenBao) -> None:
    await prepared.copy(vault_settings)
    async with _started(vault_settings) as vault:
        await enrol(vault, VAULT_ITSELF, *_PERSONS)
        keys = await _opened(vault)
    held = {**openbao.settings("creditvault-killed"), "key_cache_seconds": 0, "former_key_provider": "file"}
    settings = vault_settings.model_copy(update=held)
    for step, nth in _STEPS:
        await killed(settings, step, nth, "keys", "move", "--yes")
        async with _started(settings) as vault:
            assert await _opened(vault) == keys, step
    async with _started(settings) as vault:
        root = await moving.succeed(vault.log, vault.keys, ROOT, VAULT)
        index = await moving.succeed(vault.log, vault.keys, INDEX, VAULT)
        assert (root.entry, index.entry) == (None, None)
        provider = vault.keys.provider
        assert await rewrap(vault.engine, provider, root.version, _told) == 0
        assert (await reindex(vault.keys, index.version, _told)).identifiers == 0
        assert await moving.move_months(vault.engine, vault.keys, _told) > 0, "one month was moved, not all"
        looked = await moving.look(vault.engine, vault.keys, None, _told)
        assert (looked.left, looked.persons, looked.records) == ({}, 2, 4)
        async with vault.engine.connect() as connection:
            assert await key_versions.needed(connection) == ["openbao"]
        new = moving.both(vault.keys).new
        assert (await new.versions(ROOT), await new.versions(INDEX)) == ((2,), (2,))
    async with _started(settings.model_copy(update={"former_key_provider": None})) as vault:
        assert await _opened(vault) == keys
