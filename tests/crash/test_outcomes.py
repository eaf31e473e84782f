"""A commit that raises, lost or persisted: 503, nothing released, and every use given back once."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from access_log.entry import EntryType
from access_log.errors import LogUnavailableError
from access_log.receipt import parse_receipt
from tests.crash.outcomes import Commits, Outcome
from tests.flows.audit import Logged, check_answers, check_uses, check_whole
from tests.flows.serving import in_this_process
from tests.flows.world import Grant, World, contract
from vault.server.assembly import Vault, open_vault
from vault.server.embedded import EmbeddedDatabase

OUTCOMES: list[Outcome] = ["lost", "persisted"]
_SETTLED_WITHIN = 15.0
_UNAVAILABLE, _OK, _REFUSED = (
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.OK,
    httpx.codes.FORBIDDEN,
)


@pytest.fixture
def commits(postgres: EmbeddedDatabase, database_name: str) -> Iterator[Commits]:
    breaking = Commits(postgres.url("postgres", database_name))
    breaking.install()
    yield breaking
    breaking.remove()


async def _settled(vault: Vault) -> None:
    """Waits until nothing is owed to the log any more."""
    deadline = time.monotonic() + _SETTLED_WITHIN
    while vault.disclosure._owed.standing():
        assert time.monotonic() < deadline, "what is owed was never written"
        await asyncio.sleep(0.05)


def _of_type(logged: list[Logged], entry_type: EntryType) -> list[Logged]:
    return [one for one in logged if one.entry.type is entry_type]


async def _asked(*grants: Grant) -> list[int]:
    return [answer.status_code for answer in await asyncio.gather(*(grant.ask() for grant in grants))]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_queries_whose_commit_raises(world: World, commits: Commits, outcome: Outcome) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1, 2])
        court, bank = await world.statutory(http, 1), await world.consented(http, 2, 3)
        commits.outcome = outcome
        assert await _asked(court, court, court, bank, bank, bank) == [_UNAVAILABLE] * 6
        commits.outcome = None
        await _settled(world.vault)
        logged = await check_whole(world.vault)
        assert +(await check_uses(world.vault, logged)) == {}
        stood = 6 if outcome == "persisted" else 0
        assert len(_of_type(logged, EntryType.QUERY_PERMITTED)) == stood
        assert len(_of_type(logged, EntryType.NOT_RELEASED)) == stood
        # Every use is there again, and not one more.
        assert sorted(await _asked(bank, bank, bank, bank)) == [_OK, _OK, _OK, _REFUSED]
        uses = await check_uses(world.vault, await check_whole(world.vault))
        assert uses == {bank.grant_id: 3}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_repeat_of_a_query_whose_commit_raised_is_a_query_of_its_own(
    world: World, commits: Commits, outcome: Outcome
) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [2])
        bank = await world.consented(http, 2, 1)
        commits.outcome = outcome
        assert (await bank.ask(idempotency_key="one")).status_code == _UNAVAILABLE
        commits.outcome = None
        # At once: the very batch that settles what is owed holds the repeat.
        answer = await bank.ask(idempotency_key="one")
        assert answer.status_code == _OK
        await _settled(world.vault)
        await _one_use_one_answer(world, bank, answer)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_repeat_at_another_worker_leaves_nothing_owed(
    world: World, commits: Commits, outcome: Outcome
) -> None:
    settings = world.settings
    assert settings.database_url is not None
    async with open_vault(settings, settings.database_url) as other, in_this_process(world.vault) as http:
        await world.enrol(http, [2])
        bank = await world.consented(http, 2, 1)
        commits.outcome = outcome
        assert (await bank.ask(idempotency_key="one")).status_code == _UNAVAILABLE
        commits.outcome = None
        async with in_this_process(other) as elsewhere:
            bank.client._http = elsewhere
            answer = await bank.ask(idempotency_key="one")
            assert answer.status_code == _OK
            await _settled(world.vault)
            await _one_use_one_answer(world, bank, answer)


async def test_a_repeat_raises_what_its_first_worker_could_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(*_arguments: object) -> None:
        raise LogUnavailableError("the outside lock cannot be used")

    settings = world.settings
    assert settings.database_url is not None
    async with open_vault(settings, settings.database_url) as other, in_this_process(world.vault) as http:
        await world.enrol(http, [2])
        bank = await world.consented(http, 2, 1)
        monkeypatch.setattr(world.vault.log.outside, "raise_to", unusable)
        assert (await bank.ask(idempotency_key="one")).status_code == _UNAVAILABLE
        async with in_this_process(other) as elsewhere:
            bank.client._http = elsewhere
            answer = await bank.ask(idempotency_key="one")
            assert answer.status_code == _OK
            monkeypatch.undo()
            await _settled(world.vault)
            await _one_use_one_answer(world, bank, answer)


async def _one_use_one_answer(world: World, bank: Grant, answer: httpx.Response) -> None:
    """The one use was charged, its answer's entry stands, and there is no second answer."""
    logged = await check_whole(world.vault)
    (index,) = check_answers(world.vault, [answer.json()], logged)
    taken_back = {one.values["query"] for one in _of_type(logged, EntryType.NOT_RELEASED)}
    assert logged[index].leaf.hex() not in taken_back, "an answer that was given was taken back"
    assert await check_uses(world.vault, logged) == {bank.grant_id: 1}
    assert await _asked(bank) == [_REFUSED]
    repeated = await bank.ask(idempotency_key="one")
    assert parse_receipt(repeated.json()["receipt"]).index == index
    assert repeated.json()["records"] == answer.json()["records"]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_records_whose_commit_raises(world: World, commits: Commits, outcome: Outcome) -> None:
    lines = [contract(n) for n in range(1, 6)]
    async with in_this_process(world.vault) as http:
        commits.outcome = outcome
        assert (await world.submit(http, lines)).status_code == _UNAVAILABLE
        commits.outcome = None
        again = (await world.submit(http, lines)).json()
        expected = (0, 5) if outcome == "persisted" else (5, 0)
        assert (again["enrolled"], again["standing"], again["rejected"]) == (*expected, 0)
        logged = await check_whole(world.vault)
        assert len(_of_type(logged, EntryType.RECORD)) == len(lines)
