"""Months end: their keys are destroyed, nothing that may be shown goes with them, and it is written down."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from access_log.fsck import examine_log
from access_log.log import SYSTEM_STREAM
from access_log.streams import entries_of
from tests.consent.registers import OPERATOR
from tests.vault.people import person
from tests.vault.records.hanging import hang, record_key
from vault.crypto.errors import CryptoError, ProviderRefusedError
from vault.crypto.keyring import FileKeyring
from vault.crypto.provider import DelayedDestroy, DestroyPolicy
from vault.records.holding import move_on
from vault.records.keys import VaultKeys
from vault.records.log_sealer import LogSealer
from vault.records.month_ends import MonthEnds
from vault.rights.accesses import accesses
from vault.rights.holds import Order, lift, place
from vault.rights.own_records import own_records
from vault.server.assembly import Vault, month_ends
from vault.server.providers import KeepsKeysError, require_destruction

LONG_AGO, AHEAD = 202401, 203801


async def subject_of(vault: Vault, n: int) -> UUID:
    return (await person(vault, n)).person.subject_id


async def stated(vault: Vault) -> list[tuple[str, Any]]:
    """What the log says of expiry keys, oldest first."""
    async with vault.engine.connect() as connection:
        entries = await entries_of(connection, vault.log, SYSTEM_STREAM, datetime.now(UTC))
    values = [one.payload.values() for one in reversed(entries) if one.payload is not None]
    return [
        (str(each["event"]), each["object"])
        for each in values
        if str(each.get("event")).startswith("expiry-key.")
    ]


async def months(vault: Vault) -> dict[int, tuple[bool, bool]]:
    """Of each month whether it has its wrapped key, and whether its destruction was written down."""
    async with vault.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT expiry_id, wrapped IS NOT NULL, destroyed_at IS NOT NULL FROM vault.expiry_key")
        )
        return {row[0]: (row[1], row[2]) for row in rows}


async def require_sound(vault: Vault) -> None:
    report = await examine_log(
        vault.log, altered=(CryptoError,), retention_years=vault.settings.payload_years
    )
    assert report.sound, report.findings


async def test_a_month_that_is_over_ends_with_what_hangs_on_it(enrolled: Vault) -> None:
    vault = enrolled
    subject = await subject_of(vault, 1)
    over = await hang(vault, subject, "FIN", LONG_AGO, date(2024, 1, 31))
    kept = await hang(vault, await subject_of(vault, 2), "FIN", AHEAD, date(2038, 1, 5))
    (due,) = await month_ends(vault).due()
    assert (due.month, due.records, due.lasting) == (LONG_AGO, 1, 0)
    ran = await month_ends(vault).run()
    final = vault.catalogue.today(datetime.now(UTC)) + timedelta(days=vault.settings.backup_days)
    assert [(one.month, one.records, one.final_on) for one in ran.destroyed] == [(LONG_AGO, 1, final)]
    assert not ran.held_up
    assert await vault.keys.provider.versions(f"expiry-{LONG_AGO}") == ()
    assert (await months(vault))[LONG_AGO] == (False, True)
    assert await stated(vault) == [
        ("expiry-key.ended", {"month": LONG_AGO, "records": 1, "payloads": 0}),
        ("expiry-key.destroyed", {"month": LONG_AGO, "records": 1, "final_on": final.isoformat()}),
    ]
    with pytest.raises(KeyError):
        await record_key(vault.engine, vault.keys, subject, over)
    await record_key(vault.engine, vault.keys, await subject_of(vault, 2), kept)
    # The person's own view goes on, with what is left of them.
    records, receipt = await own_records(vault.log, vault.keys, subject)
    assert [one.record.category for one in records] == ["IDN"]
    assert receipt is not None
    # Nothing is left for the next run.
    assert await month_ends(vault).due() == []
    assert (await month_ends(vault).run()).destroyed == ()
    await require_sound(vault)


async def test_what_may_still_be_shown_holds_its_month_up_if_it_cannot_be_carried_on(enrolled: Vault) -> None:
    vault = enrolled
    subject = await subject_of(vault, 1)
    record = await hang(vault, subject, "FIN", LONG_AGO, None)
    async with vault.engine.begin() as connection:
        await connection.execute(
            text("UPDATE vault.record SET key_check = :other WHERE record_id = :record_id"),
            {"other": bytes(32), "record_id": record.record_id},
        )
    ran = await month_ends(vault).run()
    assert (ran.carried.records, ran.carried.stuck) == (0, 1)
    assert [(one.month, one.lasting) for one in ran.held_up] == [(LONG_AGO, 1)]
    assert ran.destroyed == ()
    assert (await months(vault))[LONG_AGO] == (True, False)
    # What is annulled is shown never again, and holds nothing up.
    async with vault.engine.begin() as connection:
        await connection.execute(
            text("UPDATE vault.record SET state = 'annulled' WHERE record_id = :record_id"),
            {"record_id": record.record_id},
        )
    assert [one.month for one in (await month_ends(vault).run()).destroyed] == [LONG_AGO]


def travelled(vault: Vault, today: date) -> MonthEnds:
    """As if it were that day."""
    return MonthEnds(
        vault.log, vault.keys, vault.catalogue, grace_days=3, backup_days=35, today=lambda _: today
    )


@pytest.mark.parametrize(
    ("today", "due"),
    [
        (date(2028, 2, 29), False),  # a leap day is the last of its month
        (date(2028, 3, 1), False),
        (date(2028, 3, 3), False),  # three days of grace
        (date(2028, 3, 4), True),
        (date(2029, 3, 1), True),
    ],
)
async def test_a_month_ends_when_its_grace_is_over(enrolled: Vault, today: date, due: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    vault = enrolled
    subject = await subject_of(vault, 1)
    await hang(vault, subject, "FIN", 202802, date(2028, 2, 29))
    ends = travelled(vault, today)
    ran = await ends.run()
    assert (202802 in [one.month for one in ran.destroyed]) is due
    # The identity hangs on the rolling month, and lasts: it is never destroyed.
    records, _ = await own_records(vault.log, vault.keys, subject)
    assert sorted(one.record.category for one in records) == (["IDN"] if due else ["FIN", "IDN"])


async def test_two_clocks_must_agree_that_a_month_is_over(enrolled: Vault) -> None:
    vault = enrolled
    await hang(vault, await subject_of(vault, 1), "FIN", 202802, date(2028, 2, 29))
    days = iter([date(2030, 1, 1)])
    ends = MonthEnds(
        vault.log,
        vault.keys,
        vault.catalogue,
        grace_days=3,
        backup_days=35,
        today=lambda _: next(days, date(2028, 2, 1)),  # the first clock alone is wrong
    )
    assert 202802 not in [one.month for one in (await ends.run()).destroyed]
    assert (await months(vault))[202802] == (True, False)


async def test_payloads_whose_retention_ended_are_gone_in_order(enrolled: Vault) -> None:
    vault = enrolled
    subject = await subject_of(vault, 1)
    async with vault.engine.begin() as connection:
        before = await accesses(connection, vault.logs, subject)
        month = await connection.scalar(text("SELECT min(expiry_id) FROM access_log.payload"))
    assert all(one.details for one in before)
    year, number = divmod(int(month or 0), 100)
    ends = travelled(vault, date(year + 1, number, 1))
    assert month in [one.month for one in (await ends.run()).destroyed]
    # By the clock of this process the month lasts, so it holds the key: by then none does.
    keys = await VaultKeys.open(vault.engine, vault.keys.provider)
    vault.log.sealer = LogSealer(keys, vault.log.origin, 10, vault.catalogue.timezone)
    async with vault.engine.connect() as connection:
        after = await accesses(connection, vault.logs, subject)
    # The person still sees that there were entries; what they said is gone.
    assert [one.index for one in after] == [one.index for one in before]
    assert not any(one.details for one in after)
    # An examination whose clock says that retention lasts finds a key that was destroyed too early.
    report = await examine_log(vault.log, altered=(CryptoError,), retention_years=10)
    assert {"the key of its payload was destroyed, and its retention has not ended"} <= {
        one.reason for one in report.findings
    }


async def test_what_a_legal_hold_keeps_is_moved_on_and_nothing_else_with_it(enrolled: Vault) -> None:
    vault = enrolled
    held, other = [await subject_of(vault, n) for n in (1, 2)]
    over = await hang(vault, held, "FIN", LONG_AGO, date(2024, 1, 31))
    async with vault.log.writing() as writing:
        hold = await place(writing, Order("person", held, "a suit", "court 7"), OPERATOR)
    async with vault.engine.connect() as connection:
        seen = await accesses(connection, vault.logs, held)
        (unheld, *_) = await accesses(connection, vault.logs, other)
    every = [one.index for one in seen] + [unheld.index]
    # As if they had been logged when this month was the end of their retention.
    await move_on(vault.engine, vault.keys, vault.logs, {1: every}, before=999912, month=LONG_AGO)
    assert [one.month for one in (await month_ends(vault).run()).destroyed] == [LONG_AGO]
    async with vault.engine.connect() as connection:
        kept = await accesses(connection, vault.logs, held)
        gone = await accesses(connection, vault.logs, other)
        rows = await connection.execute(
            text("SELECT DISTINCT expiry_id FROM access_log.payload WHERE index = ANY(:held)"),
            {"held": every[:-1]},
        )
        moved_to = list(rows.scalars())
    assert [one.details for one in kept] == [one.details for one in seen]
    assert [bool(one.details) for one in gone] == [one.index != unheld.index for one in gone]
    assert moved_to == [vault.catalogue.rolling_month(vault.catalogue.today(datetime.now(UTC)))]
    # The record that hung on the month is gone all the same: a hold keeps evidence, not records.
    with pytest.raises(KeyError):
        await record_key(vault.engine, vault.keys, held, over)
    async with vault.log.writing() as writing:
        await lift(writing, hold, OPERATOR)


@pytest.mark.parametrize("lost", ["after 2", "after 3", "after 4"])
async def test_a_run_that_was_cut_off_is_completed(enrolled: Vault, lost: str) -> None:
    vault = enrolled
    await hang(vault, await subject_of(vault, 1), "FIN", LONG_AGO, date(2024, 1, 31))
    cut = month_ends(vault)
    await cut._end(LONG_AGO)
    if lost != "after 2":
        await cut._remove(LONG_AGO)
    if lost == "after 4":
        await cut._destroy(LONG_AGO)
    assert [name for name, _ in await stated(vault)] == ["expiry-key.ended"]
    ran = await month_ends(vault).run()
    assert [(one.month, one.records) for one in ran.destroyed] == [(LONG_AGO, 1)]
    assert [name for name, _ in await stated(vault)] == ["expiry-key.ended", "expiry-key.destroyed"]


async def test_a_key_that_comes_back_with_an_old_keyring_is_destroyed_again(enrolled: Vault) -> None:
    vault = enrolled
    await hang(vault, await subject_of(vault, 1), "FIN", LONG_AGO, date(2024, 1, 31))
    old = vault.settings.keyring_path.read_bytes()
    await month_ends(vault).run()
    vault.settings.keyring_path.write_bytes(old)
    assert await vault.keys.provider.versions(f"expiry-{LONG_AGO}") == (1,)
    assert [one.month for one in (await month_ends(vault).run()).destroyed] == [LONG_AGO]
    assert await vault.keys.provider.versions(f"expiry-{LONG_AGO}") == ()
    assert [name for name, _ in await stated(vault)][-2:] == ["expiry-key.destroyed"] * 2


class _Keeping(FileKeyring):
    """A provider that says of itself what a test wants: what it destroys it destroys."""

    policy: DestroyPolicy = "none"

    @property
    def destroy_policy(self) -> DestroyPolicy:
        return self.policy


@pytest.mark.parametrize(("policy", "days"), [("none", None), (DelayedDestroy(30), 65)])
async def test_the_day_of_finality_is_that_of_the_provider(
    enrolled: Vault, policy: DestroyPolicy, days: int | None
) -> None:
    vault = enrolled
    passphrase = vault.settings.read_passphrase()
    assert passphrase is not None
    provider = _Keeping.open(vault.settings.keyring_path, passphrase)
    provider.policy = policy
    keys = await VaultKeys.open(vault.engine, provider)
    ends = MonthEnds(vault.log, keys, vault.catalogue, grace_days=3, backup_days=35)
    await hang(vault, await subject_of(vault, 1), "FIN", LONG_AGO, date(2024, 1, 31))
    (done,) = (await ends.run()).destroyed
    today = vault.catalogue.today(datetime.now(UTC))
    assert done.final_on == (None if days is None else today + timedelta(days=days))
    assert (await stated(vault))[-1][1]["final_on"] == (done.final_on and done.final_on.isoformat())


async def test_a_provider_that_destroys_nothing_must_be_allowed(vault: Vault) -> None:
    passphrase = vault.settings.read_passphrase()
    assert passphrase is not None
    provider = _Keeping.open(vault.settings.keyring_path, passphrase)
    with pytest.raises(KeepsKeysError, match="CREDITVAULT_PROVIDER_MAY_KEEP_KEYS"):
        require_destruction(provider, vault.settings)
    require_destruction(provider, vault.settings.model_copy(update={"provider_may_keep_keys": True}))
    require_destruction(vault.keys.provider, vault.settings)


async def test_a_provider_that_only_says_it_destroyed_is_not_believed(enrolled: Vault) -> None:
    vault = enrolled
    await hang(vault, await subject_of(vault, 1), "FIN", LONG_AGO, date(2024, 1, 31))

    class Lying(FileKeyring):
        async def destroy(self, name: str, version: int | None = None) -> None:
            """Does nothing."""

    passphrase = vault.settings.read_passphrase()
    assert passphrase is not None
    keys = await VaultKeys.open(vault.engine, Lying.open(vault.settings.keyring_path, passphrase))
    with pytest.raises(ProviderRefusedError, match="has it still"):
        await MonthEnds(vault.log, keys, vault.catalogue, grace_days=3, backup_days=35).run()
    assert [name for name, _ in await stated(vault)] == ["expiry-key.ended"]
    assert [one.month for one in (await month_ends(vault).run()).destroyed] == [LONG_AGO]
