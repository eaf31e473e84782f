"""Two workers share database, keys and outside lock: one chain, and nothing is used twice."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.crash.load import prepare
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import Server, serving
from tests.flows.world import World

_REPETITIONS = 5
_PARALLEL = 24


async def test_two_workers_under_load_keep_one_chain(world: World, tmp_path: Path) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server, server.http() as http:
        load = await prepare(world, http)
        before = _work_done(server)
        await load.run(clients=24, most=500)
        assert all(after > before[worker] for worker, after in _work_done(server).items()), "one was idle"
        logged = await check_whole(world.vault)
        proven = [one for one in load.asked if one.proven]
        assert len(proven) == len(load.asked)
        check_answers(world.vault, [one.answer for one in proven], logged)
        standing = await check_uses(world.vault, logged)
        for grant in load.grants:
            assert (
                grant.max_uses is None or standing[grant.grant_id] == grant.max_uses or grant.max_uses > 100
            )
        await verify_published(world.vault, server.url)


async def test_of_parallel_uses_of_a_proof_or_a_last_use_exactly_one_succeeds(
    world: World, tmp_path: Path
) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server, server.http() as http:
        await world.enrol(http, [1, 2])
        court = await world.statutory(http, 1)
        for _ in range(_REPETITIONS):
            proof = court.client.proof("POST", "/v1/queries", court.token)
            answers = await asyncio.gather(*(court.ask(proof=proof) for _ in range(_PARALLEL)))
            statuses = Counter(answer.status_code for answer in answers)
            assert statuses == {httpx.codes.OK: 1, httpx.codes.UNAUTHORIZED: _PARALLEL - 1}
        for _ in range(_REPETITIONS):
            bank = await world.consented(http, 2, 1)
            answers = await asyncio.gather(*(bank.ask() for _ in range(_PARALLEL)))
            statuses = Counter(answer.status_code for answer in answers)
            assert statuses == {httpx.codes.OK: 1, httpx.codes.FORBIDDEN: _PARALLEL - 1}
        await check_uses(world.vault, await check_whole(world.vault))


async def test_of_parallel_queries_under_one_key_one_is_charged_and_all_are_answered(
    world: World, tmp_path: Path
) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server, server.http() as http:
        await world.enrol(http, [2])
        for at in range(_REPETITIONS):
            bank = await world.consented(http, 2, 1)
            answers = await asyncio.gather(*(bank.ask(idempotency_key=f"{at}") for _ in range(_PARALLEL)))
            assert {answer.status_code for answer in answers} == {httpx.codes.OK}
            logged = await check_whole(world.vault)
            indexes = check_answers(world.vault, [answer.json() for answer in answers], logged)
            assert len(set(indexes)) == 1
            assert (await check_uses(world.vault, logged))[bank.grant_id] == 1


async def test_numbers_are_the_sum_over_workers_the_dead_ones_included(world: World, tmp_path: Path) -> None:
    async with serving(world.settings, tmp_path / "server.log", workers=2) as server:
        async with server.http() as http:
            await asyncio.gather(*(http.get("/healthz") for _ in range(_PARALLEL)))
            told = await asyncio.gather(*(_healthy(http) for _ in range(_PARALLEL)))
            assert set(told) == {_PARALLEL}
        first = psutil.Process(server.pid).children()
        for worker in first:
            worker.kill()
        psutil.wait_procs(first)
        async with server.http() as http:
            await server.ready()
            assert await _healthy(http) == _PARALLEL
            await http.get("/healthz")
            assert await _healthy(http) == _PARALLEL + 1


async def _healthy(http: httpx.AsyncClient) -> float:
    """How many times `/healthz` was answered, by the numbers of the server."""
    (counted,) = (
        sample.value
        for family in text_string_to_metric_families((await http.get("/metrics")).text)
        for sample in family.samples
        if sample.name == "creditvault_http_requests_total" and sample.labels["route"] == "/healthz"
    )
    return counted


def _work_done(server: Server) -> dict[int, float]:
    """Seconds of processor time of each worker."""
    return {child.pid: child.cpu_times().user for child in psutil.Process(server.pid).children()}
