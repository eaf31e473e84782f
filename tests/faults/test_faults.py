"""What the vault stands on fails: every answer is 503, nothing is released, and it recovers by itself."""

from pathlib import Path

import httpx
from sqlalchemy import create_engine, text

from access_log.entry import EntryType
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import serving
from tests.flows.world import World


async def test_the_outside_lock_is_gone(world: World, tmp_path: Path) -> None:
    lock = world.settings.outside_lock_path
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1, 2])
        bank = await world.consented(http, 2, 1)
        away = lock.rename(lock.with_suffix(".away"))
        _nothing_was_opened(await bank.ask())
        _nothing_was_opened(await bank.ask())
        assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        away.rename(lock)
        # The use that was never released was given back: the one query consented to is still to be had.
        answer = await bank.ask()
        while answer.status_code == httpx.codes.FORBIDDEN:
            answer = await bank.ask()
        assert answer.status_code == httpx.codes.OK
        logged = await check_whole(world.vault)
        assert [one.entry.type for one in logged].count(EntryType.NOT_RELEASED) == 1
        check_answers(world.vault, [answer.json()], logged)
        assert (await check_uses(world.vault, logged))[bank.grant_id] == 1
        await verify_published(world.vault, server.url)


async def test_the_database_is_slow(world: World, tmp_path: Path, owner_url: str) -> None:
    settings = world.settings.model_copy(update={"statement_timeout_ms": 500})
    async with serving(settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        assert (await court.ask()).status_code == httpx.codes.OK
        owner = create_engine(owner_url)
        with owner.begin() as connection:
            connection.execute(text("SELECT FROM access_log.head FOR UPDATE"))
            _nothing_was_opened(await court.ask())
        owner.dispose()
        assert (await court.ask()).status_code == httpx.codes.OK
        await check_whole(world.vault)


async def test_the_database_drops_every_connection(
    world: World, tmp_path: Path, database_name: str, owner_url: str
) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        assert (await court.ask()).status_code == httpx.codes.OK
        admin = create_engine(owner_url.replace("creditvault_owner@", "postgres@"))
        with admin.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = :name AND pid <> pg_backend_pid()"
                ),
                {"name": database_name},
            )
        admin.dispose()
        answers = [await court.ask() for _ in range(40)]
        for answer in answers:
            if answer.status_code != httpx.codes.OK:
                _nothing_was_opened(answer)
        assert answers[-1].status_code == httpx.codes.OK
        await world.vault.engine.dispose()
        logged = await check_whole(world.vault)
        check_answers(
            world.vault, [one.json() for one in answers if one.status_code == httpx.codes.OK], logged
        )


def _nothing_was_opened(answer: httpx.Response) -> None:
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"]
    assert answer.json()["type"] == "urn:creditvault:problem:unavailable"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
