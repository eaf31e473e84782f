"""After a full run nothing that was enrolled stands readable anywhere: database, write-ahead log, logs.

The values are unmistakable: every kind has a stem of its own that stands nowhere else. Each stem, and each
identity number by itself, is sought in every spelling; and what was planted beside them is found.
"""

import asyncio
import hashlib
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from access_log.tiles import bundles_of, tiles_of
from demo.browser import Browser
from demo.citizen import Citizen
from demo.people import Invented
from tests.flows.serving import SERVE, environment, serving
from tests.flows.world import World
from tests.secrecy.seeking import found_in, guessable, spellings
from vault.server.embedded import EmbeddedDatabase
from vault.server.portal.fictitious import fictitious_identity

_PERSONS = range(1, 51)
_OTHERS = range(1, 11)
"""Of whom there are records of other categories too, with values that are no words of the catalogue."""
_SIGNED_IN = 7
_NAME, _LOCAL_NAME, _DOCUMENT = "Quetzalcoatl", "\u6b27\u9633\u9f98\u97ff", "MRKDOCUMENT"
_REFERENCE, _PROOF, _CASE = "MRKREFERENCE", "MRKPROOFOF", "MRKCASENUMBER"
_TRADE, _LICENCE, _ASKED_FOR = "Zwiebelturmbau", "MRKLICENCE", "MRKLOANFOR"
STEMS = (_NAME, _LOCAL_NAME, _DOCUMENT, _REFERENCE, _PROOF, _CASE, _TRADE, _LICENCE, _ASKED_FOR)
_PLANTED = "MRKPLANTED-" + "0123456789"
_TABLES = (
    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)
_OWN_FILES = "SELECT setting, (SELECT oid FROM pg_database WHERE datname = current_database())::text FROM"
_OWN_FILES += " pg_settings WHERE name = 'data_directory'"


def _submission(n: int, category: str, basis: str, fields: dict[str, str]) -> str:
    number, _ = fictitious_identity(n)
    name = f"{_NAME}{n:03}" if n % 2 else f"{_LOCAL_NAME}{n:03}"
    document = f"{_DOCUMENT}-{category}-{n:03}"
    return json.dumps(
        {
            "subject": {"scheme": "demo-id", "number": number, "name": name},
            "category": category,
            "furnisher_reference": f"{_REFERENCE}-{category}-{n:03}",
            "basis": basis,
            "document": {
                "number": document,
                "date": "2026-01-15",
                "sha256": hashlib.sha256(document.encode()).hexdigest(),
            },
            "fields": fields,
            **({"notice": {"date": "2026-01-02", "proof": f"{_PROOF}-{n:03}"}} if category == "JUD" else {}),
        }
    )


def _contracts() -> Iterable[str]:
    dates = {"contract_start": "2026-01-15", "contract_end": "2029-01-15"}
    values = {"type": "vehicle", "amount_class": "10k-50k", "status": "performing", **dates}
    return [_submission(n, "FIN", "CRI-29", values) for n in _PERSONS]


def _judgments() -> Iterable[str]:
    return [
        _submission(n, "JUD", "SPC-LIST", {"case_number": f"{_CASE}-{n:03}", "performance": "partial"})
        for n in _OTHERS
    ]


def _licences() -> Iterable[str]:
    held = {"status": "valid", "validity_start": "2026-01-15"}
    return [
        _submission(n, "LIC", "LICENSING", {"licence": _TRADE, "number": f"{_LICENCE}-{n:03}", **held})
        for n in _OTHERS
    ]


def _needles() -> dict[str, Iterable[bytes]]:
    needles: dict[str, Iterable[bytes]] = {stem: spellings(stem) for stem in STEMS}
    for n in _PERSONS:
        number, _ = fictitious_identity(n)
        # Its first 17 digits say everything; the last one is a check digit.
        needles[f"identity number {n}"] = [*spellings(number[:17]), *guessable(number)]
    # The built-in provider of the demo says another name of the person who signs in.
    needles["name at sign-in"] = spellings(fictitious_identity(_SIGNED_IN)[1])
    return needles


@pytest.mark.slow
async def test_nothing_enrolled_stands_readable_anywhere(
    world: World, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        for lines, code, category in (
            (_contracts(), "furnisher", "FIN"),
            (_judgments(), "court", "JUD"),
            (_licences(), "licensing", "LIC"),
        ):
            response = await world.submit(http, lines, code=code, category=category)
            assert response.json()["rejected"] == 0, response.text
        sent = await _ask_in_every_way(world, http)
        await _sign_in(server.url)
        haystacks = await _change_keys(world)
        assert len((await (await world.statutory(http, 1)).ask()).json()["records"]) == 1
        haystacks |= {
            "published log": await _published(http),
            "metrics": (await http.get("/metrics")).content,
        }
        superuser = make_url(postgres.url("postgres", database_name)).set(drivername="postgresql")
        async with await psycopg.AsyncConnection.connect(
            superuser.render_as_string(hide_password=False), autocommit=True
        ) as connection:
            await connection.execute("CREATE TABLE public.planted (value text)")
            await connection.execute("INSERT INTO public.planted VALUES (%s)", (_PLANTED,))
            await connection.execute("CHECKPOINT")
            haystacks |= await _dump(connection)
            haystacks |= await _files(connection)
        haystacks |= {
            str(path): path.read_bytes() for path in world.settings.home.iterdir() if path.is_file()
        }
    log = haystacks[str(tmp_path / "server.log")] = (tmp_path / "server.log").read_bytes()
    assert b"request_served" in log
    # The search finds what was planted: in the dump, in a data file and in the write-ahead log.
    planted = {place for _, place in found_in({"planted": spellings(_PLANTED)}, haystacks)}
    assert "table public.planted" in planted
    assert any("/pg_wal/" in place for place in planted)
    assert any("/base/" in place for place in planted)
    assert found_in({**_needles(), **sent}, haystacks) == set()


async def _ask_in_every_way(world: World, http: httpx.AsyncClient) -> dict[str, Iterable[bytes]]:
    """Permitted, refused and malformed requests, with identity numbers where they do not belong.

    Returns:
        What else is not to be found: the tokens, and digests of a body that others could guess.
    """
    number, _ = fictitious_identity(1)
    case = {"case_reference": f"{_ASKED_FOR} application 7"}
    court, bank = await world.statutory(http, 1), await world.consented(http, 2, 2)
    first = await court.ask()
    assert len(first.json()["records"]) == 1
    statuses = [(await bank.ask(**case)).status_code for _ in range(3)]
    statuses += [
        (await court.ask(subject={"scheme": "demo-id", "number": fictitious_identity(3)[0]})).status_code,
        (await court.ask(idempotency_key=number)).status_code,
        (await court.ask(purpose=number)).status_code,
        (await court.ask(officer=number)).status_code,
        (await court.ask(unknown=number)).status_code,
        (await court.ask(fields=[number])).status_code,
        (await court.ask(subject={"scheme": number, "number": number})).status_code,
        (await court.ask(subject={"scheme": "demo-id", "number": number[:-1]})).status_code,
        (await court.ask(subject={"scheme": "demo-id", "number": {number: number}})).status_code,
    ]
    assert statuses == [200, 200, 403, 403, 200, 400, 400, 400, 400, 400, 400, 400]
    await _send_what_is_malformed(world, http, court.client.credentials("/v1/queries", court.token), number)
    body = hashlib.sha256(first.request.content).digest()
    return {
        "token of the court": [court.token.rpartition(".")[2].encode()],
        "token of the bank": [bank.token.rpartition(".")[2].encode()],
        "body of a query": [body, hashlib.sha256(court.grant_id.bytes + body).digest()],
    }


async def _send_what_is_malformed(
    world: World, http: httpx.AsyncClient, credentials: dict[str, str], number: str
) -> None:
    headers = {**credentials, "Content-Type": "application/json", "X-Number": number, "User-Agent": number}
    for content in (f'{{"subject": "{number}"', f"[{number}]", number, f"\xff{number}", number * 5000):
        answer = await http.post("/v1/queries", content=content.encode("latin-1"), headers=headers)
        assert answer.status_code in (400, 401, 413)
        assert number not in answer.text
    for path in (f"/v1/queries?number={number}", f"/{number}", f"/log/tile/{number}", f"/v1/me?{number}"):
        for method in ("GET", "POST"):
            answer = await http.request(method, path, headers={"Authorization": f"DPoP {number}"})
            assert answer.status_code >= httpx.codes.BAD_REQUEST
            assert number not in answer.text
    for form in ({"client_id": number}, {"grant_type": number, "client_assertion": number}):
        for path in ("/oauth/token", "/oauth/par"):
            answer = await http.post(path, data=form)
            assert answer.status_code >= httpx.codes.BAD_REQUEST
            assert number not in answer.text
    rejected = await world.submit(http, [f'{{"subject": "{number}", "{number}": 1}}', number])
    assert rejected.json()["rejected"] == 2
    assert number not in rejected.text


async def _change_keys(world: World) -> dict[str, bytes]:
    """Every key is changed under what was enrolled, while the server runs; returns what the commands said."""
    subject = str((await world.person(1)).subject_id)
    said = {}
    for arguments in (
        ("rotate", "root", "--yes", "--json"),
        ("rotate", "index", "--yes", "--json"),
        ("rotate-subject", subject, "--yes", "--json"),
        ("destroy", "index", "1", "--backups-too", "--yes", "--json"),
        ("destroy", "root", "1", "--backups-too", "--yes", "--json"),
        ("expire", "--json"),
        ("list", "--json"),
    ):
        ran = await asyncio.create_subprocess_exec(
            SERVE[0],
            "keys",
            *arguments,
            env=environment(world.settings),
            stdout=PIPE,
            stderr=PIPE,
        )
        printed, told = await ran.communicate()
        assert ran.returncode == 0, (arguments, told)
        said[f"keys {arguments[0]} {arguments[1]}"] = printed + told
    return said


async def _sign_in(base: str) -> None:
    """A person signs in, looks at everything of their own, and mistypes an address."""
    person = Invented.of(_SIGNED_IN)
    async with Browser(base) as browser:
        citizen = Citizen(browser, person)
        page = await citizen.open(f"{base}/accesses")
        assert urlsplit(page.url).path == "/accesses"
        records = await citizen.ask("/v1/me/records")
        assert _TRADE in json.dumps(records)
        for path in ("/v1/me", "/v1/me/accesses", "/v1/me/consents"):
            await citizen.ask(path)
        assert (await browser.get(f"/accesses/{person.number}")).status_code >= httpx.codes.BAD_REQUEST


async def _published(http: httpx.AsyncClient) -> bytes:
    checkpoint = await http.get("/log/checkpoint")
    size = int(checkpoint.text.split("\n")[1])
    tiles = [await http.get(f"/log/{tile.path}") for tile in (*bundles_of(size), *tiles_of(size))]
    assert all(tile.status_code == httpx.codes.OK for tile in tiles)
    return checkpoint.content + b"".join(tile.content for tile in tiles)


async def _dump(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, bytes]:
    """Every table as text, uncompressed: a data file could hide a value in a compressed one."""
    found = {}
    tables = [row[0] for row in await (await connection.execute(_TABLES)).fetchall()]
    assert {"vault.record", "access_log.payload", "consent.consent", "jobs.procrastinate_jobs"} <= set(tables)
    for table in tables:
        async with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:
            text = b"".join([bytes(block) async for block in copy])
        found[f"table {table}"] = text
        # What stands in binary columns, as bytes.
        binary = b"\n".join(bytes.fromhex(each.decode()) for each in re.findall(rb"\\\\x([0-9a-f]+)", text))
        found[f"binary columns of {table}"] = binary
    return found


async def _files(connection: psycopg.AsyncConnection[tuple[str, str]]) -> dict[str, bytes]:
    """This database's files, byte for byte, and the server's write-ahead log and messages."""
    row = await (await connection.execute(_OWN_FILES)).fetchone()
    assert row is not None
    folder, own = Path(row[0]), row[1]
    places = [folder / "base" / own, folder / "pg_wal", folder / "global"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in [*files, folder / "log"]}
