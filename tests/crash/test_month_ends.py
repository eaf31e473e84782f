"""kill -9 at each step of the end of a month: the next run completes it, and the log said nothing untrue."""

from datetime import date

import pytest

from access_log.fsck import examine_log
from consent.bodies import add_body
from tests import prepared
from tests.consent.registers import OPERATOR, new_body
from tests.crash import killer
from tests.crash.commands import killed
from tests.vault.people import enrol, person
from tests.vault.records.hanging import hang
from tests.vault.records.test_month_ends import months, stated
from vault.crypto.errors import CryptoError
from vault.rights.own_records import own_records
from vault.server.assembly import Vault, month_ends, open_vault
from vault.server.settings import Settings

_EXPIRE = ("keys", "expire", "--json")
_LOGGED_BEFORE = {
    "before-month-ends": (),
    "before-end-is-committed": (),
    "after-it-is-written-down": ("expiry-key.ended", "expiry-key.destroyed"),
}
_BEGUN = ("expiry-key.ended",)


async def _logged(vault: Vault, month: int) -> tuple[str, ...]:
    return tuple(name for name, about in await stated(vault) if about["month"] == month)


@pytest.mark.slow
async def test_killed_at_any_step_the_next_run_completes_the_end_of_a_month(vault_settings: Settings) -> None:
    url = str(vault_settings.database_url)
    await prepared.copy(vault_settings)
    async with open_vault(vault_settings, url) as vault:
        async with vault.log.writing() as writing:
            body_id = await add_body(writing, new_body(), OPERATOR)
        for at, step in enumerate(killer.ENDING_MONTHS):
            month, n = 202401 + at, 1 + at
            await enrol(vault, body_id, n)
            subject = (await person(vault, n)).person.subject_id
            await hang(vault, subject, "FIN", month, date(2024, 1 + at, 28))
            await killed(vault_settings, step, 1, *_EXPIRE)
            said = await _logged(vault, month)
            assert said == _LOGGED_BEFORE.get(step, _BEGUN), step
            there = await vault.keys.provider.versions(f"expiry-{month}")
            # A key that is gone was announced; one of which the log says that it is destroyed is gone.
            assert there or said, step
            assert not there or "expiry-key.destroyed" not in said, step
            # Whatever stands now, the person's view is in order.
            records, _ = await own_records(vault.log, vault.keys, subject)
            assert {one.record.category for one in records} in ({"IDN"}, {"FIN", "IDN"}), step
            done = await month_ends(vault).run()
            assert await _logged(vault, month) == ("expiry-key.ended", "expiry-key.destroyed"), step
            assert (await months(vault))[month] == (False, True)
            assert await vault.keys.provider.versions(f"expiry-{month}") == ()
            assert [(one.month, one.records) for one in done.destroyed] in ([], [(month, 1)]), step
            records, _ = await own_records(vault.log, vault.keys, subject)
            assert {one.record.category for one in records} == {"IDN"}, step
        report = await examine_log(vault.log, altered=(CryptoError,), retention_years=10)
        assert report.sound, report.findings
