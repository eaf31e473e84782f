"""What holds the keys fails or lies: 503, nothing released, no entry or one that says so; it recovers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from access_log.entry import EntryType
from tests.faults import key_server
from tests.faults.key_server import Between, Data
from tests.faults.test_faults import _nothing_was_opened
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import at_port, free_port, in_this_process, serving
from tests.flows.world import Grant, World, joined
from tests.loopback import bound
from tests.loopback import serving as listening
from tests.openbao import OpenBao
from tests.softhsm import SoftToken
from vault.server.assembly import set_up
from vault.server.settings import Settings

pytestmark = pytest.mark.slow


def held_by(settings: Settings, server: OpenBao, **changes: Any) -> Settings:
    """The vault of these settings with its keys in a key server, of which nothing is remembered."""
    held = server.settings("creditvault-" + server.folder.name)
    update = {**held, "key_cache_seconds": 0, "openbao_timeout_seconds": 1.0, **changes}
    return at_port(settings.model_copy(update=update), free_port())


@pytest.fixture
async def between(openbao: OpenBao) -> AsyncIterator[Between]:
    proxy = Between(openbao)
    yield proxy
    await proxy.close()


@pytest.fixture
async def world(
    vault_settings: Settings, between: Between, openbao: OpenBao, tmp_path: Path
) -> AsyncIterator[World]:
    """A vault whose key server is reached through something that can lie."""
    async with behind(between, openbao, vault_settings, tmp_path) as world:
        yield world


@asynccontextmanager
async def behind(
    between: Between, server: OpenBao, settings: Settings, folder: Path, **changes: Any
) -> AsyncIterator[World]:
    port, url = bound()
    prefix = f"creditvault-{url.rsplit(':', maxsplit=1)[-1]}"
    settings = held_by(settings, server, openbao_url=url, openbao_prefix=prefix, **changes)
    assert settings.database_url is not None
    async with listening(between.app, port):
        await set_up(settings, settings.database_url)
        async with joined(settings, folder) as world:
            yield world


def size(world: World) -> int:
    return world.log.outside.read().size


async def test_a_key_server_that_lies_is_not_believed(world: World, between: Between) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1, 2])
        court, bank = await world.statutory(http, 1), await world.consented(http, 2, 20)
        answers = [await court.ask(), await bank.ask()]
        before_the_entry: list[Callable[[str, Data], Any]] = [
            key_server.another_version,
            key_server.another_key,
            key_server.too_few,
            key_server.a_page,
        ]
        for fault in before_the_entry:
            between.fault = fault
            begun = size(world)
            _nothing_was_opened(await court.ask())
            assert size(world) == begun, f"{fault.__name__}: what cannot be answered is not logged"
            between.fault = None
            answers.append(await court.ask())
        between.fault = between.somebody_elses
        begun = size(world)
        _nothing_was_opened(await court.ask())
        assert size(world) == begun + 1, "its entry was durable before a key was asked for"
        between.fault = None
        answers += [await bank.ask(), await court.ask()]
        assert {answer.status_code for answer in answers} == {httpx.codes.OK}
        logged = await check_whole(world.vault)
        assert [one.entry.type for one in logged].count(EntryType.NOT_RELEASED) == 1
        check_answers(world.vault, [answer.json() for answer in answers], logged)
        uses = await check_uses(world.vault, logged)
        assert uses == {court.grant_id: 6, bank.grant_id: 2}


async def test_a_key_server_that_lags_is_not_waited_for(world: World, between: Between) -> None:
    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        begun = size(world)
        between.silent = True
        _nothing_was_opened(await court.ask())
        assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        between.silent = False
        assert size(world) == begun
        assert (await court.ask()).status_code == httpx.codes.OK
        assert await check_uses(world.vault, await check_whole(world.vault)) == {court.grant_id: 1}


async def test_what_was_asked_before_costs_no_round_trip(
    vault_settings: Settings, between: Between, openbao: OpenBao, tmp_path: Path
) -> None:
    async with (
        behind(between, openbao, vault_settings, tmp_path, key_cache_seconds=60) as world,
        in_this_process(world.vault) as http,
    ):
        await world.enrol(http, [1])
        court, nobody = await world.statutory(http, 1), await world.statutory(http, 7)

        async def asked(grant: Grant) -> list[str]:
            between.asked.clear()
            assert (await grant.ask()).status_code == httpx.codes.OK
            return [path.split("/")[3] for path in between.asked if "lookup-self" not in path]

        assert await asked(nobody) == ["hmac"], "one round trip seeks a person"
        assert await asked(court) == ["decrypt"], "and one opens them: their enrolment sought them"
        assert await asked(court) == []


async def test_a_token_that_is_away_is_waited_for(
    vault_settings: Settings, soft_token: SoftToken, tmp_path: Path
) -> None:
    held = {**soft_token.settings("creditvault-away"), "key_cache_seconds": 0}
    settings = at_port(vault_settings.model_copy(update=held), free_port())
    assert settings.database_url is not None
    await set_up(settings, settings.database_url)
    async with joined(settings, tmp_path) as world, in_this_process(world.vault) as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        answers = [await court.ask()]
        begun = size(world)
        with soft_token.away():
            for _ in range(2):
                _nothing_was_opened(await court.ask())
                assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert size(world) == begun
        answers.append(await court.ask())
        assert {answer.status_code for answer in answers} == {httpx.codes.OK}
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json() for answer in answers], logged)
        assert await check_uses(world.vault, logged) == {court.grant_id: 2}


async def test_a_vault_goes_on_after_its_key_server_was_killed_sealed_or_stopped(
    vault_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "bao").mkdir()
    with OpenBao(tmp_path / "bao", durable=True) as server:
        settings = held_by(vault_settings, server)
        assert settings.database_url is not None
        await set_up(settings, settings.database_url)
        async with (
            joined(settings, tmp_path) as world,
            serving(settings, tmp_path / "server.log") as served,
            served.http() as http,
        ):
            await world.enrol(http, [1])
            court = await world.statutory(http, 1)
            answers = []
            for fail, mend in (
                (server.kill, server.restart),
                (server.seal, server.unseal),
                (server.stop_answering, server.answer_again),
            ):
                answers.append(await court.ask())
                begun = size(world)
                fail()
                _nothing_was_opened(await court.ask())
                assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
                _nothing_was_opened(await court.ask())
                mend()
                assert size(world) == begun, "what cannot be answered is not logged"
            answers.append(await court.ask())
            assert {answer.status_code for answer in answers} == {httpx.codes.OK}
            logged = await check_whole(world.vault)
            check_answers(world.vault, [answer.json() for answer in answers], logged)
            assert await check_uses(world.vault, logged) == {court.grant_id: 4}
            await verify_published(world.vault, served.url)
