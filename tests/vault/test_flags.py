"""Flags from the query to the inspector: raised once, sealed, held up by nothing and holding nothing up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from stdnum.cn import ric

from tests.vault.inspection.asking import asked
from tests.vault.served import Served, site
from vault.inspection.schemas import FlagsOut
from vault.records.flags import RaisedFlag, Watching, list_flags
from vault.records.watch import MANY_PERSONS, NEIGHBOURS, SAME_PERSON, Measures
from vault.server.jobs import watch_queries
from vault.server.settings import Settings

# Every hour is within hours but at weekends, which these tests leave out of account.
MEASURES = Measures(0, 24, 3, 3, ZoneInfo("Asia/Shanghai"))


@pytest.fixture
async def watched(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    async with site(vault_settings.model_copy(update={"watch_neighbours": 3}), tmp_path) as served:
        await served.enrol(1, 2, 3)
        yield served


async def raised(served: Served) -> list[RaisedFlag]:
    log = served.world.log
    async with log.engine.connect() as connection:
        found = await list_flags(connection, log, most=100)
    return [one for one in found if one.flag is not None and one.flag.kind != "out of hours"]


async def test_the_job_flags_what_strikes_and_inspectors_read_it(watched: Served) -> None:
    watching = Watching(watched.world.log, MEASURES)
    assert await watch_queries(watching) == 0
    queries = [await asked(watched, n) for n in (1, 2, 3)]
    again = [await asked(watched, 1) for _ in range(2)]
    await watch_queries(watching)
    await watch_queries(watching)
    found = await raised(watched)
    kinds = {one.flag.kind: one.flag for one in found if one.flag is not None}
    assert len(found) == len(kinds) == 2
    court = watched.world.cast["court"]
    assert kinds[MANY_PERSONS].entries == tuple(queries)
    assert (kinds[MANY_PERSONS].body, kinds[MANY_PERSONS].officer) == (
        str(court.body_id),
        str(court.officer_id),
    )
    assert (kinds[SAME_PERSON].entries, kinds[SAME_PERSON].officer) == ((queries[0], *again), None)
    answer = await (await watched.inspector()).used("flags")
    FlagsOut.model_validate(answer)
    assert {one["kind"] for one in answer["flags"]} >= {MANY_PERSONS, SAME_PERSON}
    assert answer["next"] is None
    first = answer["flags"][0]["index"]
    rest = await (await watched.inspector()).used("flags", after=first)
    assert [one["index"] for one in rest["flags"]] == [one["index"] for one in answer["flags"][1:]]
    # The register says where flags are and no more: nothing there links one entry to another.
    async with watched.world.vault.engine.connect() as connection:
        columns = (await connection.execute(text("SELECT * FROM vault.flag LIMIT 1"))).keys()
    assert set(columns) == {"log", "flag_index", "raised_at"}


async def test_a_worker_that_starts_again_goes_on_where_it_ended(watched: Served) -> None:
    log = watched.world.log
    await Watching(log, MEASURES).run()
    await asked(watched, 1)
    await asked(watched, 2)
    await Watching(log, MEASURES).run()
    assert await raised(watched) == []
    await asked(watched, 3)
    await Watching(log, MEASURES).run()  # knows the two before only from the log
    (one,) = await raised(watched)
    assert one.flag is not None
    assert one.flag.count == 3
    await Watching(log, MEASURES).run()
    await asked(watched, 3)
    await Watching(log, MEASURES).run()
    assert len(await raised(watched)) == 1


async def test_neighbours_are_flagged_beside_the_answers(watched: Served) -> None:
    # Invented identities are far apart: three numbers in a row are asked for by hand.
    numbers = _in_a_row()
    answers = []
    for number in numbers:
        court = watched.world.client(watched.http, "court")
        player = watched.world.cast["court"]
        query = {
            "subject": {"scheme": "demo-id", "number": number},
            "purpose": "court-enforcement",
            "fields": ["FIN.type"],
            "officer": str(player.officer_id),
            "case_reference": "(2026) Demo Enforcement No. 17",
        }
        authorization = str(watched.world.cast.authorization)
        details = {"type": "statutory_query", "authorization": authorization, "actions": ["read"], **query}
        token = await court.statutory_token(details)
        answers.append((await court.query(token, query)).json())
    indexes = tuple(watched.receipt(one["receipt"]).index for one in answers)
    for _ in range(200):
        if found := await raised(watched):
            break
        await asyncio.sleep(0.02)
    (one,) = found
    assert one.flag is not None
    assert (one.flag.kind, one.flag.entries) == (NEIGHBOURS, indexes)
    assert not any(number in str(one) for number in numbers)


def _in_a_row() -> list[str]:
    numbers = [f"99000019930513{sequence}" for sequence in (101, 103, 105)]
    return [digits + ric.calc_check_digit(digits + "0") for digits in numbers]
