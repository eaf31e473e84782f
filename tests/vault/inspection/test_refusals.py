"""Inspections that end, are refused, or find content that is gone: each in a vault of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import create_engine

from consent import bodies
from demo.cast import OPERATOR
from tests.vault.inspection.asking import asked, recent, seen
from tests.vault.served import Served, problem


async def test_an_entry_whose_content_is_gone_is_shown_as_it_stands(served: Served, owner_url: str) -> None:
    await served.enrol(1)
    index = await asked(served, 1)
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM access_log.payload WHERE index = {index}")
    engine.dispose()
    answer = await (await served.inspector()).used("entry", index=index)
    assert (answer["stream"], answer["attributes"], answer["opening"]) == ("unknown", {}, None)
    assert served.receipt(answer["receipt"]).index == index


Ending = Callable[[Served], Awaitable[None]]


async def _suspend(served: Served) -> None:
    async with served.world.log.writing() as writing:
        body_id = served.world.cast["inspectorate"].body_id
        await bodies.suspend_body(writing, body_id, "under inquiry", OPERATOR)


async def _stand_down(served: Served) -> None:
    async with served.world.log.writing() as writing:
        officer_id = served.world.cast["inspectorate"].officer_id
        await bodies.stand_down_officer(writing, officer_id, "left", OPERATOR)


@pytest.mark.parametrize(("ending", "rule"), [(_suspend, "11.1"), (_stand_down, "11.3")])
async def test_what_ends_takes_effect_on_the_next_use_of_a_token_already_issued(
    served: Served, ending: Ending, rule: str
) -> None:
    await served.enrol(1)
    index = await asked(served, 1)
    inspector = await served.inspector()
    await inspector.used("entry", index=index)
    told = len(await seen(served, 1))
    await ending(served)
    for what, body in (("entry", {"index": index}), ("entries", recent()), ("overdue-covert-cases", {})):
        before = await served.size()
        refused = problem(await inspector.use(what, **body), 403, "refused")
        assert refused["rule"] == f"RULES {rule}"
        assert "attributes" not in refused
        assert await served.size() == before + 1
    assert len(await seen(served, 1)) == told


async def test_a_body_that_lost_the_capacity_and_an_officer_of_another_body(
    served: Served, owner_url: str
) -> None:
    cast, log = served.world.cast, served.world.log
    foreign = await served.inspector()
    details = {
        "type": "inspection",
        "officer": str(cast["court"].officer_id),
        "case_reference": "INSPECTION-7",
    }
    token = await foreign.client.statutory_token(details)
    refused = problem(await replace(foreign, token=token).use("entry", index=0), 403, "refused")
    assert refused["rule"] == "RULES 11.3"
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE consent.body SET capacities = '{{ask}}' WHERE body_id = '{cast['inspectorate'].body_id}'"
        )
    engine.dispose()
    refused = problem(await foreign.use("entry", index=0), 403, "refused")
    assert refused["rule"] == "RULES 11.2"
    assert log.running
