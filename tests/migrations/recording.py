"""A small vault in use, recorded as a release leaves it: what later releases must be able to bring to theirs.

Run in a checkout of the release, it makes the files that lie in `older/`:

    python -m tests.migrations.recording FOLDER

Everything in them comes about as in a vault: over HTTP, by the pages, through the one writer.
"""

import asyncio
import json
import lzma
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from access_log import stored
from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event
from access_log.payload import Payload
from access_log.rotate import change_keys
from consent import bodies, statutes
from consent.bases import add_basis
from consent.statutes import Delay, NamedPersons
from demo.browser import Browser
from demo.citizen import Citizen
from demo.consenting import ask_with_consent
from demo.narrator import Narrator
from demo.people import Invented
from demo.server import ServerProcess
from demo.stage import Stage
from tests.conftest import settings_in
from tests.consent.registers import OPERATOR, new_basis, registrar, terms_for
from tests.faults.dumps import dump
from tests.flows.world import Grant
from tests.migrations.statements import must_be_given, noted
from tests.prepared import set_up_cheaply
from tests.vault.served import Served, site
from vault.crypto.blind import DEMO_ID, Identifier
from vault.records.tables import access_case
from vault.rights.access_cases import open_case
from vault.rights.accesses import accesses
from vault.rights.own_consents import withdraw
from vault.server.database import migrate
from vault.server.embedded import DATABASE, OWNER, EmbeddedDatabase
from vault.server.jobs import every_job

GRANTING, ASKED, WITHDRAWN, COVERT = 2, 1, 3, 4
"""Invented persons: who grants in the browser, whom the court asks about, who withdraws, who is not told."""
DUMP, FACTS, CAST, STATEMENTS = "database.dump.xz", "facts.json", "cast.json", "statements.json"
FILES = ("keyring", "outside.lock", "outside.lock.endings", CAST)
_ORDER = "(2026) Example Court, order 17"
_TABLES = (
    "SELECT schemaname || '.' || quote_ident(tablename) FROM pg_tables"
    " WHERE schemaname IN ('access_log', 'consent', 'vault') ORDER BY 1"
)


def counted(owner_url: str) -> dict[str, int]:
    """How many rows each table of ours has."""
    engine = create_engine(owner_url)
    with engine.connect() as connection:
        names = connection.scalars(text(_TABLES)).all()
        rows = {name: int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0) for name in names}
    engine.dispose()
    return rows


async def payloads(served: Served) -> dict[str, Any]:
    """What the sealed payload of every entry says, by its index."""
    log = served.world.log
    async with log.engine.connect() as connection:
        rows = (
            await connection.execute(text("SELECT index, expiry_id, sealed FROM access_log.payload"))
        ).all()
    found = {}
    for index, expiry_id, sealed in sorted(rows):
        opened = await log.sealer.open(index, expiry_id, sealed)
        assert opened is not None
        found[str(index)] = dict(Payload.decode(opened).values())
    return found


async def answered(grant: Grant) -> list[dict[str, Any]]:
    """The fields a query under this grant is answered with."""
    response = await grant.ask()
    response.raise_for_status()
    return [dict(record["fields"]) for record in response.json()["records"]]


async def _use(served: Served, settings_home: Path, owner_url: str) -> dict[str, Any]:
    """Everything that leaves rows; returns what later releases must still find so."""
    world, log = served.world, served.world.log
    await served.enrol(ASKED, GRANTING, WITHDRAWN, COVERT)
    court = await served.court(ASKED)
    contract = await answered(court)
    await _grant_in_the_browser(served, settings_home, owner_url)
    taken_back = await served.bank(WITHDRAWN)
    await answered(taken_back)
    person = await world.person(WITHDRAWN)
    await withdraw(log, world.vault.keeper.signer, person.subject_id, taken_back.grant_id)
    standing = await served.bank(GRANTING)
    await answered(standing)
    await _ask_covertly(served)
    await (await served.inspector()).used("entry", index=0)
    asked = await world.person(ASKED)
    async with log.engine.connect() as connection:
        seen = [one for one in await accesses(connection, world.vault.logs, asked.subject_id) if one.is_query]
    await open_case(log, world.vault.keys, asked.subject_id, seen[0], "never heard of them")
    async with log.writing() as writing:
        await bodies.suspend_body(writing, world.cast["furnisher"].body_id, "an audit", OPERATOR)
    await log.append([Event(SYSTEM_STREAM, Payload.create(EntryType.HEARTBEAT, {}))])
    await world.vault.roots.catch_up()
    await world.vault.roots.crown()
    await change_keys(log, OPERATOR.name, OPERATOR.role)
    async with log.engine.connect() as connection:
        size = len(await stored.entries(connection, log.number, 0, 1 << 40))
        cases = (await connection.execute(access_case.select())).all()
    return {
        "entries": size,
        "contract": contract,
        "standing": str(standing.grant_id),
        "withdrawn": str(taken_back.grant_id),
        "suspended": str(world.cast["furnisher"].body_id),
        "cases": len(cases),
        "payloads": await payloads(served),
    }


async def _grant_in_the_browser(served: Served, home: Path, owner_url: str) -> None:
    base = str(served.http.base_url).rstrip("/")
    stage = Stage(
        base=base,
        http=served.http,
        cast=served.world.cast,
        vault=served.world.vault,
        owner_url=owner_url,
        log_key=served.world.log.key.verifier_key(),
        home=home,
        server=ServerProcess(home),
    )
    async with Browser(base) as browser:
        await ask_with_consent(stage, Narrator(), Citizen(browser, Invented.of(GRANTING)))


async def _ask_covertly(served: Served) -> None:
    """The court asks about somebody who is told only in ten years."""
    world = served.world
    number = world.vault.keys.subject_hashes(
        [Identifier.parse(DEMO_ID, Invented.of(COVERT).number, world.vault.schemes)]
    )
    async with world.log.writing() as writing:
        basis = await add_basis(
            writing,
            new_basis(code="covert-enquiry", notice_delay_days=3_650, categories=("FIN",)),
            OPERATOR,
        )
        first, second = await registrar(writing, "Ada"), await registrar(writing, "Zoe")
        terms = terms_for(
            world.cast["court"].body_id,
            basis,
            writing.now,
            fields=("FIN.type", "FIN.status"),
            scope=NamedPersons(subjects=tuple(each.hex() for each in number)),
            delayed_notice=Delay(_ORDER, writing.now + timedelta(days=3_600)),
        )
        proposed = await statutes.propose(writing, first.proposes(terms, writing.now))
        await statutes.approve(writing, proposed, second.approves(proposed, terms, writing.now))
    usual = await served.court(COVERT)
    details = {
        "type": "statutory_query",
        "authorization": str(proposed),
        "actions": ["read"],
        **usual.query,
    }
    token = await usual.client.statutory_token(details)
    await answered(Grant(proposed, usual.client, token, usual.query))


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


@asynccontextmanager
async def _vault(postgres: EmbeddedDatabase, home: Path) -> AsyncIterator[Served]:
    settings = settings_in(home, postgres, DATABASE)
    await set_up_cheaply(settings)
    async with site(settings, home) as served:
        yield served


async def record(folder: Path) -> None:
    """Makes the vault, uses it, and puts its files into the folder."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        home.mkdir()
        postgres = EmbeddedDatabase(Path(place) / "postgresql")
        _, revision = migrate(postgres.url(OWNER))
        with noted() as statements:
            async with _vault(postgres, home) as served:
                facts = await _use(served, home, postgres.url(OWNER))
                for job in every_job(served.world.vault):
                    await job.run()
        facts = {"revision": revision, "rows": counted(postgres.url(OWNER)), **facts}
        dumped = dump(postgres, DATABASE, Path(place) / "database.dump")
        (folder / DUMP).write_bytes(lzma.compress(dumped.read_bytes()))
        for name in FILES:
            if (home / name).exists():  # A release that did not know a file yet leaves none.
                shutil.copy(home / name, folder / name)
        _write(folder / FACTS, facts)
        _write(folder / STATEMENTS, {"sent": sorted(statements), "given": must_be_given(postgres.url(OWNER))})
        postgres.stop()


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
