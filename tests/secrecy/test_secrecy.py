"""After a full run nothing that was enrolled stands readable anywhere: database, write-ahead log, logs.

The values are unmistakable. Each is sought in every spelling it could have left in; and the search is shown
to find what was planted.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from access_log.tiles import bundles_of, tiles_of
from tests.flows.serving import serving
from tests.flows.world import World
from vault.server.embedded import EmbeddedDatabase
from vault.server.portal.fictitious import fictitious_identity

_PERSONS = range(1, 51)
_TABLES = (
    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)


def _name(n: int) -> str:
    return f"Quetzalcoatl{n:03} Zwiebelturm"


def _document(n: int) -> str:
    return f"MARKED-DOCUMENT-{n:03}"


def _reference(n: int) -> str:
    return f"MARKED-REFERENCE-{n:03}"


def _line(n: int) -> str:
    number, _ = fictitious_identity(n)
    return json.dumps(
        {
            "subject": {"scheme": "demo-id", "number": number, "name": _name(n)},
            "category": "FIN",
            "furnisher_reference": _reference(n),
            "basis": "CRI-29",
            "document": {"number": _document(n), "date": "2026-01-15", "sha256": "0" * 64},
            "fields": {
                "type": "vehicle",
                "amount_class": "10k-50k",
                "contract_start": "2026-01-15",
                "contract_end": "2029-01-15",
                "status": "performing",
            },
        }
    )


def _secrets() -> list[str]:
    found = []
    for n in _PERSONS:
        found += [fictitious_identity(n)[0], _name(n), _document(n), _reference(n)]
    return found


def _spellings(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield secret.encode("utf-16-le")
    yield secret.encode("utf-16-be")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield quote(secret).encode()
    for shift in range(3):
        # Base64 of the value wherever it begins within a group of three bytes.
        encoded = b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]
        yield encoded
        yield urlsafe_b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]


def _leaks(secrets: list[str], haystacks: dict[str, bytes]) -> list[tuple[str, int]]:
    """Where something was found: the place, and which secret by its position."""
    return [
        (place, at)
        for place, content in haystacks.items()
        for at, secret in enumerate(secrets)
        if any(spelling in content for spelling in set(_spellings(secret)))
    ]


@pytest.mark.slow
async def test_nothing_enrolled_stands_readable_anywhere(
    world: World, tmp_path: Path, postgres: EmbeddedDatabase, database_name: str
) -> None:
    planted = f"PLANTED-{uuid4().hex}"
    async with serving(world.settings, tmp_path / "server.log") as server, server.http() as http:
        response = await world.submit(http, [_line(n) for n in _PERSONS])
        assert response.json()["enrolled"] == len(_PERSONS), response.text
        await _ask_in_every_way(world, http)
        haystacks = {"published log": await _published(http), "metrics": (await http.get("/metrics")).content}
        superuser = make_url(postgres.url("postgres", database_name)).set(drivername="postgresql")
        async with await psycopg.AsyncConnection.connect(
            superuser.render_as_string(hide_password=False), autocommit=True
        ) as connection:
            await connection.execute("CREATE TABLE public.planted (value text)")
            await connection.execute("INSERT INTO public.planted VALUES (%s)", (planted,))
            await connection.execute("CHECKPOINT")
            haystacks |= await _dump(connection)
            folder = await (await connection.execute("SHOW data_directory")).fetchone()
        assert folder is not None
        haystacks |= _files(Path(folder[0]))
    haystacks["server log"] = (tmp_path / "server.log").read_bytes()
    assert b"request_served" in haystacks["server log"]
    assert any(place.startswith("pg_wal") or "/pg_wal/" in place for place in haystacks)
    # The search finds what was planted, in the dump, in a data file and in the write-ahead log.
    found = {place for place, _ in _leaks([planted], haystacks)}
    assert "table public.planted" in found
    assert any("pg_wal" in place for place in found)
    assert any("/base/" in place for place in found)
    assert _leaks(_secrets(), haystacks) == []


async def _ask_in_every_way(world: World, http: httpx.AsyncClient) -> None:
    """Permitted, refused and malformed requests, with identity numbers where they do not belong."""
    number, _ = fictitious_identity(1)
    court, bank = await world.statutory(http, 1), await world.consented(http, 2, 2)
    statuses = [(await grant.ask()).status_code for grant in (court, bank, bank, bank)]
    statuses += [
        (await court.ask(subject={"scheme": "demo-id", "number": fictitious_identity(3)[0]})).status_code,
        (await court.ask(purpose=number)).status_code,
        (await court.ask(officer=number)).status_code,
        (await court.ask(unknown=number)).status_code,
        (await court.ask(subject={"scheme": number, "number": number})).status_code,
    ]
    assert statuses == [200, 200, 200, 403, 403, 400, 400, 400, 400]
    credentials = court.client.credentials("/v1/queries", court.token)
    headers = {**credentials, "Content-Type": "application/json", "X-Number": number}
    for content in (f'{{"subject": "{number}"', f"[{number}]", number):
        answer = await http.post("/v1/queries", content=content, headers=headers)
        assert answer.status_code in (400, 401)
        assert number not in answer.text
    for path in (f"/v1/queries?number={number}", f"/{number}", f"/log/tile/{number}", f"/v1/me?{number}"):
        answer = await http.get(path)
        assert answer.status_code >= 400
        assert number not in answer.text


async def _published(http: httpx.AsyncClient) -> bytes:
    checkpoint = await http.get("/log/checkpoint")
    size = int(checkpoint.text.split("\n")[1])
    tiles = [await http.get(f"/log/{tile.path}") for tile in (*bundles_of(size), *tiles_of(size))]
    assert all(tile.status_code == 200 for tile in tiles)
    return checkpoint.content + b"".join(tile.content for tile in tiles)


async def _dump(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, bytes]:
    """Every table as text, uncompressed: a data file could hide a value in a compressed one."""
    found = {}
    tables = [row[0] for row in await (await connection.execute(_TABLES)).fetchall()]
    for table in tables:
        async with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:  # type: ignore[arg-type]
            found[f"table {table}"] = b"".join([bytes(block) async for block in copy])
    return found


def _files(folder: Path) -> dict[str, bytes]:
    """Data files and write-ahead log of the whole server, byte for byte."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ("/base/" in str(path) or "/pg_wal/" in str(path) or path.name == "log")
    }
