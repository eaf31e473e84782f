"""kill -9 while a person is erased: none of it stands, or all; and the same command gives the certificate."""

import pytest

from consent import consents
from tests import prepared
from tests.consent.registers import new_consent, register_all
from tests.crash import killer
from tests.crash.commands import killed
from tests.vault.people import enrol, person
from tests.vault.rights.test_erasure import Scene, certified, examined
from vault.server.assembly import open_vault
from vault.server.settings import Settings

_WHOLE = {"vault.subject": 1, "vault.identifier": 1, "vault.record": 2, "access_log.stream": 1}
_GONE_AFTER = ("after-erasure-is-committed", "before-certificate")


@pytest.mark.slow
async def test_killed_at_any_step_a_person_stands_whole_or_is_gone(vault_settings: Settings) -> None:
    await prepared.copy(vault_settings)
    async with open_vault(vault_settings, str(vault_settings.database_url)) as vault:
        registered = await register_all(vault.log)
        for n, step in enumerate(killer.ERASING, start=1):
            await enrol(vault, registered.bank, n)
            row = await person(vault, n)
            async with vault.log.writing() as writing:
                await consents.grant(writing, row.person, new_consent(registered.bank), vault.keeper)
            scene = Scene(vault, registered, row.person.subject_id, row.person.stream_id)
            order = await scene.ordered("erased" if n % 2 else "kept")
            await killed(vault_settings, step, 1, "erase", "carry-out", str(order))
            left = await scene.left()
            if step in _GONE_AFTER:
                assert left.keys() <= {"vault.erased_subject", "access_log.stream"}, step
            else:
                assert left == _WHOLE, step
            await vault.log.start()  # as after a restart: what a crash left beside the outside lock is read
            certificate = await scene.erase(order)
            assert (await certified(scene, certificate))["order"] == str(order)
            assert (await scene.left()).keys() <= {"vault.erased_subject", "access_log.stream"}, step
        await examined(vault)
