"""What the vault stands on fails: every answer is 503, nothing is released, and it recovers by itself."""

import asyncio
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, create_engine, text

from access_log.entry import EntryType
from tests.flows.audit import check_answers, check_uses, check_whole, verify_published
from tests.flows.serving import in_this_process, serving
from tests.flows.world import World
from vault.server.embedded import EmbeddedDatabase

_POOL = 16
_SLOW = 10.0
_DROP_CONNECTIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
)


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
        assert answer.status_code == httpx.codes.OK
        logged = await check_whole(world.vault)
        assert [one.entry.type for one in logged].count(EntryType.NOT_RELEASED) == 1
        check_answers(world.vault, [answer.json()], logged)
        assert (await check_uses(world.vault, logged))[bank.grant_id] == 1
        await verify_published(world.vault, server.url)


async def test_every_waiting_request_learns_of_an_outside_lock_that_is_no_file(
    world: World, tmp_path: Path
) -> None:
    lock = world.settings.outside_lock_path
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1, 2])
        court, bank = await world.statutory(http, 1), await world.consented(http, 2, 20)
        away = lock.rename(lock.with_suffix(".away"))
        lock.mkdir()
        for answer in await asyncio.gather(*(grant.ask() for grant in [court, bank] * 10)):
            _nothing_was_opened(answer)
        lock.rmdir()
        away.rename(lock)
        answers = await asyncio.gather(*(grant.ask() for grant in [court, bank] * 10))
        assert {answer.status_code for answer in answers} == {httpx.codes.OK}
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json() for answer in answers], logged)
        assert any(one.entry.type is EntryType.NOT_RELEASED for one in logged)
        uses = await check_uses(world.vault, logged)
        assert uses == {court.grant_id: 10, bank.grant_id: 10}
        await verify_published(world.vault, server.url)


async def test_the_outside_lock_is_written_but_not_synced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worn_out(_descriptor: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    async with in_this_process(world.vault) as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        held = world.log.outside.read()
        monkeypatch.setattr(os, "fdatasync", worn_out)
        _nothing_was_opened(await court.ask())
        assert world.log.outside.read() == held, "what is not known to be durable is not raised"
        monkeypatch.undo()
        answer = await court.ask()
        logged = await check_whole(world.vault)
        check_answers(world.vault, [answer.json()], logged)
        assert await check_uses(world.vault, logged) == {court.grant_id: 1}


async def test_the_keyring_is_gone(world: World, tmp_path: Path) -> None:
    keyring = world.settings.keyring_path
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        size = (await _checkpoint(http))[1]
        away = keyring.rename(keyring.with_suffix(".away"))
        _nothing_was_opened(await court.ask())
        assert (await http.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert (await _checkpoint(http))[1] == size, "what cannot be answered is not logged"
        away.rename(keyring)
        assert (await court.ask()).status_code == httpx.codes.OK
        await check_uses(world.vault, await check_whole(world.vault))


async def test_the_database_may_only_be_read(
    world: World, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        for setting in ("on", "off"):
            with _administering(postgres) as connection:
                connection.execute(
                    text(f"ALTER DATABASE {database_name} SET default_transaction_read_only = {setting}")
                )
                connection.execute(_DROP_CONNECTIONS, {"name": database_name})
            answers = [await court.ask() for _ in range(_POOL + 2)]
            expected = httpx.codes.OK if setting == "off" else httpx.codes.SERVICE_UNAVAILABLE
            assert answers[-1].status_code == expected
            for answer in answers:
                if answer.status_code != httpx.codes.OK:
                    _nothing_was_opened(answer)
        await world.vault.engine.dispose()
        uses = await check_uses(world.vault, await check_whole(world.vault))
        assert uses[court.grant_id] == sum(answer.status_code == httpx.codes.OK for answer in answers)


async def test_the_database_is_slow(world: World, tmp_path: Path, owner_url: str) -> None:
    settings = world.settings.model_copy(update={"statement_timeout_ms": 500})
    async with serving(settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        assert (await court.ask()).status_code == httpx.codes.OK
        owner = create_engine(owner_url)
        with owner.begin() as connection:
            connection.execute(text("SELECT FROM access_log.head FOR UPDATE"))
            started = time.monotonic()
            for answer in await asyncio.gather(*(court.ask() for _ in range(8))):
                _nothing_was_opened(answer)
            assert time.monotonic() - started < _SLOW
        owner.dispose()
        assert (await court.ask()).status_code == httpx.codes.OK
        await check_whole(world.vault)


async def test_the_database_drops_every_connection(
    world: World, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        await world.enrol(http, [1])
        court = await world.statutory(http, 1)
        assert (await court.ask()).status_code == httpx.codes.OK
        with _administering(postgres) as connection:
            connection.execute(_DROP_CONNECTIONS, {"name": database_name})
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


@contextmanager
def _administering(postgres: EmbeddedDatabase) -> Iterator[Connection]:
    """A connection of the superuser, who stands outside the vault."""
    admin = create_engine(postgres.url("postgres", "postgres"), isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            yield connection
    finally:
        admin.dispose()


async def _checkpoint(http: httpx.AsyncClient) -> list[str]:
    return (await http.get("/log/checkpoint")).text.split("\n")


def _nothing_was_opened(answer: httpx.Response) -> None:
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"]
    assert answer.json()["type"] == "urn:creditvault:problem:unavailable"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
