"""What is past its retention goes, what a hold needs stays, and the log verifies as before."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from access_log.completeness import Lookout, judge
from access_log.entry import Entry, EntryType
from access_log.fsck import examine_log
from consent.errors import StateError, UnknownError
from tests.access_log.logs import stored_entries
from tests.consent.registers import OPERATOR
from tests.vault.served import Served, copied_site
from vault.crypto.errors import CryptoError
from vault.records.covert import StreamOwners
from vault.rights import access_cases, holds
from vault.rights.accesses import Access, accesses
from vault.rights.holds import Order
from vault.rights.material import give_material
from vault.rights.removal import month_of, remove_payloads, removed_of
from vault.server import retention
from vault.server.settings import Settings

LATER = datetime.now(UTC) + timedelta(days=366 * 11)
ASKED, OTHER = 1, 2
Kept = dict[str, retention.Standing]


@pytest.fixture
async def served(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    """Two persons, about each of whom somebody asked."""
    async with copied_site(vault_settings, tmp_path) as site:
        await site.enrol(ASKED, OTHER)
        for n in (ASKED, OTHER):
            (await (await site.court(n)).ask()).raise_for_status()
        yield site


async def _seen(served: Served, n: int) -> list[Access]:
    vault, person = served.world.vault, await served.world.person(n)
    async with vault.engine.connect() as connection:
        return await accesses(connection, vault.logs, person.subject_id)


async def _place(served: Served, order: Order) -> UUID:
    async with served.world.log.writing() as writing:
        return await holds.place(writing, order, OPERATOR)


async def _standing(served: Served, now: datetime = LATER) -> Kept:
    return {one.name: one for one in await retention.standing(served.world.vault, now)}


async def _remove_payloads(served: Served) -> int:
    vault = served.world.vault
    return await remove_payloads(vault.log, vault.logs, month_of(LATER, vault.catalogue.timezone))


async def _require_sound(served: Served) -> None:
    """As `fsck` and `audit-streams` will see it in those years, and as each person may check it."""
    log = served.world.log
    report = await examine_log(log, altered=(CryptoError,), retention_years=-1, owners=StreamOwners())
    assert report.sound, report.findings
    for n in (ASKED, OTHER):
        material = await give_material(log, (await served.world.person(n)).subject_id, -1)
        assert material is not None
        entries = await stored_entries(log)
        lookout = Lookout(material.streams)
        lookout.see(0, entries)
        size = int(material.checkpoint.split("\n")[1])
        assert judge(material, lookout.found, size, Entry.decode(entries[size - 1]).time).complete


async def test_payloads_go_when_their_retention_ends_and_what_a_hold_needs_stays(served: Served) -> None:
    person = await served.world.person(ASKED)
    hold = await _place(served, Order("person", person.subject_id, "claim for damages", "order 17"))
    with pytest.raises(StateError):
        await _place(served, Order("person", person.subject_id, "another", "order 18"))
    assert (await _standing(served, datetime.now(UTC)))["payloads"].due == 0
    size = await served.size()
    before = {n: [one.index for one in await _seen(served, n)] for n in (ASKED, OTHER)}
    due = (await _standing(served))["payloads"]
    assert (due.due, due.held) == (size - len(before[ASKED]), len(before[ASKED]))

    # With the entry that says so, whose own retention ended in that year too.
    assert await _remove_payloads(served) == (due.due or 0) + 1
    types = Counter(Entry.decode(raw).type for raw in await stored_entries(served.world.log))
    assert types[EntryType.OPERATOR] == 1
    theirs, others = await _seen(served, ASKED), await _seen(served, OTHER)
    assert [one.index for one in theirs] == before[ASKED]
    assert [one.index for one in others] == before[OTHER]
    assert all(one.details and one.opening for one in theirs)
    assert theirs[0].details["event"] == holds.PLACED
    assert not any(one.details or one.opening for one in others)
    async with served.world.vault.engine.connect() as connection:
        assert await removed_of(connection, theirs) is None
        told = await removed_of(connection, others)
    assert told is not None
    assert told.entries == len(others)
    assert told.newest is not None
    await _require_sound(served)

    async with served.world.log.writing() as writing:
        await holds.lift(writing, hold, OPERATOR)
    with pytest.raises(UnknownError):
        async with served.world.log.writing() as writing:
            await holds.lift(writing, hold, OPERATOR)
    await _remove_payloads(served)
    assert not any(one.details for one in await _seen(served, ASKED))
    assert (await _standing(served))["payloads"].held == 0
    await _require_sound(served)


async def test_a_hold_on_a_case_keeps_its_row_and_its_entries(served: Served, owner_url: str) -> None:
    vault, person = served.world.vault, await served.world.person(ASKED)
    query = next(one for one in await _seen(served, ASKED) if one.is_query)
    opened = await access_cases.open_case(vault.log, vault.keys, person.subject_id, query, None)
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(
            text(
                "UPDATE vault.access_case SET state = 'answered', answered_index = opened_index,"
                " changed_at = changed_at - interval '20 years'"
            )
        )
    owner.dispose()
    hold = await _place(served, Order("case", opened.case_id, "an appeal", "order 18"))
    now = datetime.now(UTC)
    cases = (await _standing(served, now))["cases"]
    assert (cases.due, cases.held) == (0, 1)
    await _remove_payloads(served)
    left = [one for one in await _seen(served, ASKED) if one.opening]
    assert [one.details["event"] for one in left] == [access_cases.NOT_RECOGNISED]
    async with vault.log.writing() as writing:
        await holds.lift(writing, hold, OPERATOR)
    assert (await retention.remove(vault, now))["cases"] == 1


async def test_consents_go_ten_years_after_their_end_and_no_role_can_make_it_sooner(
    served: Served, owner_url: str
) -> None:
    vault = served.world.vault
    old, standing = await served.bank(ASKED), await served.bank(OTHER)
    for grant in (old, standing):
        (await grant.ask()).raise_for_status()
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(
            text(
                "UPDATE consent.consent SET granted_at = granted_at - interval '11 years',"
                " expires_at = expires_at - interval '11 years' WHERE consent_id = :id"
            ),
            {"id": old.grant_id},
        )
    owner.dispose()
    now = datetime.now(UTC)
    assert (await _standing(served, now))["consents"].due == 1
    assert await retention.remove(vault, now) == {"consents": 1}
    async with vault.engine.connect() as connection:
        left = (await connection.scalars(text("SELECT consent_id FROM consent.consent"))).all()
        assert left == [standing.grant_id]
        assert await connection.scalar(text("SELECT count(*) FROM consent.consent_event")) == 1
    for statement in (
        "SELECT consent.remove_ended(clock_timestamp(), '{}', 10)",
        "SELECT vault.remove_old_cases(clock_timestamp(), '{}')",
        "SELECT vault.remove_old_flags(clock_timestamp())",
    ):
        async with vault.engine.connect() as connection:
            with pytest.raises(DBAPIError, match="within three years"):
                await connection.execute(text(statement))


async def test_every_rule_counts_what_the_job_removes(served: Served, owner_url: str) -> None:
    assert {one.due for one in (await _standing(served, datetime.now(UTC))).values()} == {0, None}
    owner = create_engine(owner_url)
    with owner.begin() as connection:
        connection.execute(text("UPDATE access_log.request SET time = time - interval '31 days'"))
        connection.execute(
            text("INSERT INTO vault.flag (flag_index, raised_at) VALUES (1, now() - interval '11 years')")
        )
        connection.execute(
            text(
                "WITH job AS (INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, status)"
                " VALUES ('default', 'heartbeat', 'failed') RETURNING id)"
                " INSERT INTO jobs.procrastinate_events (job_id, type, at)"
                " SELECT id, 'failed', now() - interval '31 days' FROM job"
            )
        )
        connection.execute(text("UPDATE jobs.procrastinate_events SET at = now() - interval '31 days'"))
    owner.dispose()
    now = datetime.now(UTC)
    due = {name: one.due for name, one in (await _standing(served, now)).items() if one.due}
    assert due == {"requests": 2, "flags": 1, "failed_jobs": 1}
    assert await retention.remove(served.world.vault, now) == due
    assert {one.due for one in (await _standing(served, now)).values()} == {0, None}
