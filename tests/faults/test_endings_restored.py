"""What was withdrawn, revoked or suspended after a dump is so in the database that is restored from it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from consent import bodies, statutes
from consent.journal import Actor
from tests.faults.dumps import dump, restored
from tests.faults.test_reimported import run
from tests.flows.serving import SERVE, Server, at_port, free_port, serving
from tests.flows.world import Grant, opened
from vault.rights.own_consents import withdraw
from vault.server.embedded import EmbeddedDatabase
from vault.server.settings import Settings

pytestmark = pytest.mark.slow
_OPERATOR = Actor("operator:test", "operator")
_UNUSABLE = 2


def _over(grant: Grant, http: httpx.AsyncClient) -> Grant:
    """The same token and proof key over another connection."""
    grant.client._http = http
    return replace(grant)


async def test_a_grant_that_was_taken_back_refuses_after_a_restore(
    vault_settings: Settings, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    settings = at_port(vault_settings, free_port())
    async with opened(settings, tmp_path) as world:
        async with serving(settings, tmp_path / "server.log") as server, server.http() as http:
            await world.enrol(http, [1, 2, 3])
            court, bank = await world.statutory(http, 1), await world.consented(http, 2, 9)
            kept = await world.consented(http, 3, 9)
            for grant in (court, bank, kept):
                assert (await grant.ask()).status_code == httpx.codes.OK
            file = await asyncio.to_thread(dump, postgres, database_name, tmp_path / "nightly.dump")
            log, furnisher = world.log, world.cast["furnisher"]
            person = await world.person(2)
            await withdraw(log, world.vault.keeper.signer, person.subject_id, bank.grant_id)
            async with log.writing() as writing:
                await statutes.revoke_unsigned(writing, court.grant_id, "an order", _OPERATOR)
                await bodies.suspend_body(writing, furnisher.body_id, "an audit", _OPERATOR)
            for grant in (court, bank):
                assert (await grant.ask()).status_code == httpx.codes.FORBIDDEN
        published = tmp_path / "published"
        done = await asyncio.to_thread(run, settings, SERVE[0], "log", "publish", str(published))
        assert done.returncode == 0, done.stderr
    endings = settings.endings_of(1, "")
    with restored(postgres, file, settings) as older:
        aside = endings.rename(endings.with_name("aside"))
        lost = await asyncio.to_thread(run, older, SERVE[0], "log", "reimport", str(published))
        assert lost.returncode == _UNUSABLE
        assert "put its newest copy back" in lost.stderr
        aside.rename(endings)
        done = await asyncio.to_thread(run, older, SERVE[0], "log", "reimport", str(published), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["reapplied"] == 3
        examined = await asyncio.to_thread(run, older, SERVE[0], "log", "fsck", "--json")
        assert examined.returncode == 0, examined.stdout
        async with serving(older, tmp_path / "older.log") as back, back.http() as http:
            for grant in (court, bank):
                assert (await _over(grant, http).ask()).status_code == httpx.codes.FORBIDDEN
            assert (await _over(kept, http).ask()).status_code == httpx.codes.OK
            async with opened(older, tmp_path) as again, again.vault.engine.connect() as connection:
                found = await bodies.read_body(connection, furnisher.body_id)
                assert found is not None
                assert found.status == "suspended"
        damaged = bytearray(endings.read_bytes())
        damaged[-1] ^= 1
        endings.write_bytes(damaged)
        server = Server(older, tmp_path / "damaged.log")
        server.launch()
        assert await server.ended() == _UNUSABLE
        (said,) = [line for line in server.said().splitlines() if line.startswith("creditvault:")]
        assert "is damaged" in said
