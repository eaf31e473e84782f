"""Rates over HTTP: who asks too fast waits, without an entry, through all workers, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.flows.world import Grant
from tests.loopback import asking, bound, serving
from tests.vault.served import Served, problem, site
from vault.server.app import build_app
from vault.server.assembly import open_vault
from vault.server.settings import Settings

OFFICER, BODY = 5, 12


@pytest.fixture
async def slow(vault_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    """A vault that lets an officer ask five times a minute, and a body twelve times."""
    rates = {"officer_queries_per_minute": OFFICER, "body_queries_per_minute": BODY}
    async with site(vault_settings.model_copy(update=rates), tmp_path) as served:
        await served.enrol(1)
        yield served


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    codes = [one.status_code for one in answers]
    return {code: codes.count(code) for code in set(codes)}


async def test_an_officer_who_asks_too_fast_waits_without_an_entry(slow: Served) -> None:
    court = await slow.court(1)
    before = await slow.size()
    answers = list(await asyncio.gather(*(court.ask() for _ in range(OFFICER + 4))))
    assert statuses(answers) == {200: OFFICER, 429: 4}
    assert await slow.size() == before + OFFICER
    refused = next(one for one in answers if one.status_code == httpx.codes.TOO_MANY_REQUESTS)
    problem(refused, 429, "too-fast")
    assert 1 <= int(refused.headers["retry-after"]) <= 60 / OFFICER
    # Told to wait, and not heard before: not even a transaction.
    again = await court.ask()
    problem(again, 429, "too-fast")
    assert await slow.size() == before + OFFICER
    # Another body is not held up.
    assert (await (await slow.bank(1)).ask()).status_code == httpx.codes.OK


async def test_refused_queries_and_repeats_take_turns_too(slow: Served) -> None:
    court = await slow.court(1)
    answers = [await court.ask(purpose="credit-granting") for _ in range(OFFICER - 1)]
    assert statuses(answers) == {403: OFFICER - 1}
    assert (await court.ask(idempotency_key="one")).status_code == httpx.codes.OK
    assert (await court.ask(idempotency_key="one")).status_code == httpx.codes.TOO_MANY_REQUESTS


async def test_a_stranger_named_as_officer_takes_the_bodys_turns_and_leaves_no_row(slow: Served) -> None:
    court = await slow.court(1)
    officers = [f"4f7c1f9e-7d5c-4f1c-9b5e-{n:012x}" for n in range(BODY + 2)]
    answers = [await court.ask(officer=officer) for officer in officers]
    assert statuses(answers) == {403: BODY, 429: 2}
    async with slow.world.vault.engine.connect() as connection:
        rows = (await connection.execute(text("SELECT whose FROM consent.asking_rate"))).scalars().all()
    assert rows == [slow.world.cast["court"].body_id]


async def test_turns_hold_across_workers(slow: Served) -> None:
    """A second worker, open on the same vault, finds the bucket as the first left it."""
    settings, court = slow.world.settings, await slow.court(1)
    assert settings.database_url is not None
    port, url = bound()
    async with (
        open_vault(settings, settings.database_url) as second,
        serving(build_app(second), port),
        asking(url) as http,
    ):
        court.client._http = http
        elsewhere = Grant(court.grant_id, court.client, court.token, court.query)
        answers = [await elsewhere.ask() for _ in range(3)]
        court.client._http = slow.http
        answers += [await court.ask() for _ in range(3)]
        assert statuses(answers) == {200: OFFICER, 429: 1}
        court.client._http = http
        problem(await elsewhere.ask(), 429, "too-fast")


async def test_time_gives_turns_back(slow: Served) -> None:
    court = await slow.court(1)
    assert statuses([await court.ask() for _ in range(OFFICER)]) == {200: OFFICER}
    # A minute passes: what the database remembers of it lies so much further back.
    async with slow.world.vault.engine.begin() as connection:
        await connection.execute(
            text("UPDATE consent.asking_rate SET full_at = full_at - interval '1 minute'")
        )
    assert statuses([await court.ask() for _ in range(OFFICER + 1)]) == {200: OFFICER, 429: 1}
