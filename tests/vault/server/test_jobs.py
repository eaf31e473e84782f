"""Each job does its work, and runs where the settings ask for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from structlog.testing import capture_logs

from access_log.entry import Entry, EntryType
from tests.vault.served import Served
from vault.server.assembly import Vault
from vault.server.jobs import every_job, heartbeat, make_partitions, remove_expired_rows, warn_of_ends


async def test_a_heartbeat_is_an_entry(vault: Vault) -> None:
    index = await heartbeat(vault.log)
    async with vault.engine.connect() as connection:
        raw = await connection.scalar(
            text("SELECT entry FROM access_log.entry WHERE index = :index"), {"index": index}
        )
    assert Entry.decode(raw).type is EntryType.HEARTBEAT


async def test_partitions_are_made_ahead_and_only_once(vault: Vault) -> None:
    for _ in range(2):
        await make_partitions(vault.log)
        async with vault.engine.connect() as connection:
            count = await connection.scalar(
                text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_log.entry'::regclass")
            )
        assert count == 3


async def test_what_has_expired_is_removed_and_the_rest_stays(vault: Vault) -> None:
    now = datetime.now(UTC)
    add = text("INSERT INTO consent.dpop_proof (proof_hash, expires_at) VALUES (:hash, :expires_at)")
    async with vault.engine.begin() as connection:
        for number, age in enumerate((-1, 1)):
            await connection.execute(
                add, {"hash": bytes([number]) * 32, "expires_at": now + timedelta(hours=age)}
            )
    assert await remove_expired_rows(vault.log) == 1
    assert await remove_expired_rows(vault.log) == 0


async def test_a_log_is_published_where_a_folder_is_named(vault: Vault, tmp_path: Path) -> None:
    alone = {job.name for job in every_job(vault)}
    assert {"heartbeat", "append_roots", "watch", "expire_consents", "warn_of_ends", "end_months"} <= alone
    assert not {"publish", "witness"} & alone
    settings = vault.settings.model_copy(update={"publish_dir": tmp_path})
    jobs = {job.name: job for job in every_job(replace(vault, settings=settings))}
    assert jobs.keys() == {*alone, "publish"}
    await jobs["publish"].run()
    assert (tmp_path / "checkpoint").exists()


async def test_operators_are_warned_of_what_ends_within_a_month(served: Served) -> None:
    assert await warn_of_ends(served.world.vault) == 0
    soon = text("UPDATE consent.authorization SET valid_until = clock_timestamp() + :days * interval '1 day'")
    for days, warned in ((29, 1), (31, 0)):
        async with served.world.vault.engine.begin() as connection:
            await connection.execute(soon, {"days": days})
        with capture_logs() as events:
            assert await warn_of_ends(served.world.vault) == warned
        assert [(event["event"], event["kind"]) for event in events] == [
            ("ends_soon", "authorization")
        ] * warned
