"""The log as it is served: whoever downloads it can verify it, and nothing unraised is in it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_log.api import log_router
from access_log.checkpoint import VerifierKey, open_note
from access_log.errors import VerificationError
from access_log.key_history import follow, parse_history
from access_log.log import Log
from access_log.merkle import leaf_hash
from access_log.rotate import change_keys
from access_log.tiles import Tile, decode_bundle, hashes_in, tile_root
from access_log.verify import verify_log
from access_log.web import Website
from tests.access_log.logs import append, as_owner, keys_of, root_of, stored_entries
from tests.loopback import bound, serving

SIZE = 600  # two full tiles and 88 entries


@dataclass(frozen=True)
class _Fetched:
    """A source for the verifier, which runs in a thread, over the application in this loop."""

    http: AsyncClient
    loop: asyncio.AbstractEventLoop

    def read(self, path: str, limit: int) -> bytes | None:
        response = asyncio.run_coroutine_threadsafe(self.http.get(f"/log/{path}"), self.loop).result()
        return response.content[: limit + 1] if response.is_success else None


@pytest.fixture
def app(log: Log) -> FastAPI:
    app = FastAPI()
    app.include_router(log_router(log))
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://log.test") as client:
        yield client


@pytest.fixture
async def filled(log: Log) -> Log:
    for _ in range(4):
        await append(log, SIZE // 4)
    return log


async def audit(log: Log, http: AsyncClient) -> int:
    source = _Fetched(http, asyncio.get_running_loop())
    found = await asyncio.to_thread(verify_log, source, keys_of(log))
    return found.checkpoint.size


async def get(http: AsyncClient, tile: Tile) -> bytes:
    response = await http.get(f"/log/{tile.path}")
    assert response.status_code == 200, tile.path
    assert response.headers["content-type"] == "application/octet-stream"
    assert "immutable" in response.headers["cache-control"]
    return response.content


async def test_the_checkpoint_and_the_key(filled: Log, http: AsyncClient) -> None:
    response = await http.get("/log/checkpoint")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=2"
    key = (await http.get("/log/key")).text
    assert key.endswith("\n")
    checkpoint = open_note(response.content, [VerifierKey.parse(key.strip())])
    assert (checkpoint.size, checkpoint.root) == (SIZE, root_of(await stored_entries(filled)))


@pytest.mark.parametrize("batches", [[], [1], [255, 1], [256, 1], [SIZE, 7]])
async def test_what_is_served_verifies(log: Log, http: AsyncClient, batches: list[int]) -> None:
    for count in batches:
        await append(log, count)
    assert await audit(log, http) == sum(batches)


async def test_it_verifies_over_a_socket_with_the_verifiers_own_client(filled: Log, app: FastAPI) -> None:
    port, url = bound()
    async with serving(app, port):
        found = await asyncio.to_thread(verify_log, Website(f"{url}/log/"), keys_of(filled), jobs=3)
    assert found.checkpoint.size == SIZE


async def test_full_tiles_are_what_the_entries_make(filled: Log, http: AsyncClient) -> None:
    entries = await stored_entries(filled)
    leaves = [leaf_hash(raw) for raw in entries]
    for n in (0, 1):
        of_tile = slice(n * 256, (n + 1) * 256)
        assert decode_bundle(await get(http, Tile(None, n))) == entries[of_tile]
        assert hashes_in(await get(http, Tile(0, n))) == leaves[of_tile]
    roots = [tile_root(await get(http, Tile(0, n))) for n in (0, 1)]
    assert hashes_in(await get(http, Tile(1, 0, 2))) == roots


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(level=st.sampled_from([None, 0, 1]), n=st.integers(0, 4), width=st.integers(1, 256))
async def test_every_tile_there_ever_was_and_no_other(
    filled: Log, http: AsyncClient, level: int | None, n: int, width: int
) -> None:
    """A partial tile is served for as long as the log lives; past the checkpoint there is nothing."""
    nodes = SIZE >> (8 * (level or 0))
    tile = Tile(level, n, width)
    response = await http.get(f"/log/{tile.path}")
    if n * 256 + width > nodes:
        assert response.status_code == 404
        return
    assert response.status_code == 200
    entries = (await stored_entries(filled))[n * 256 : n * 256 + width]
    if level is None:
        assert decode_bundle(response.content) == entries
    elif level == 0:
        assert hashes_in(response.content) == [leaf_hash(raw) for raw in entries]
    else:
        assert len(response.content) == width * 32


NO_TILES = [
    *("0/000.p/0", "0/000.p/256", "0/000.p/01", "0/0", "0/00", "0/0000", "0/x000/000", "0/-01", "0/000/"),
    *("00/000", "64/000", "99/000", "a/000", "0/000.p", "0/000.p/", "entries", "entries/", "entries/000x"),
    *("0/999", "entries/999", "9/000", "entries/x999/x999/x999/x999/x999/x999/999", "", "0", "/0/000"),
    *("0/%30%30%30%00", "0/\u0660\u0660\u0660", "entries/000.p/1.p/1", "..%2fcheckpoint"),
]


async def test_what_may_be_kept_and_by_whom(filled: Log, http: AsyncClient) -> None:
    """A page of any origin may read it; no cache keeps that something is not there yet."""
    checkpoint, tile, key, later = [
        await http.get(f"/log/{path}") for path in ("checkpoint", "tile/0/000", "key", "tile/0/002")
    ]
    assert {each.headers["access-control-allow-origin"] for each in (checkpoint, tile, key, later)} == {"*"}
    assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (later.status_code, later.headers["cache-control"]) == (404, "no-store")
    await append(filled, 200)
    assert (await http.get("/log/tile/0/002")).status_code == 200


@pytest.mark.usefixtures("filled")
async def test_heads_are_those_of_what_is_served(http: AsyncClient) -> None:
    for path in ("checkpoint", "key", "tile/0/000", "tile/entries/002.p/88", "tile/9/000"):
        head, whole = await http.head(f"/log/{path}"), await http.get(f"/log/{path}")
        assert (head.status_code, head.headers) == (whole.status_code, whole.headers)


@pytest.mark.usefixtures("filled")
async def test_what_is_no_tile_is_not_found(http: AsyncClient) -> None:
    answers = {path: (await http.get(f"/log/tile/{path}")).status_code for path in NO_TILES}
    assert answers == dict.fromkeys(NO_TILES, 404)


async def test_what_was_not_raised_is_not_served(filled: Log, http: AsyncClient) -> None:
    held = filled.outside.path.read_bytes()
    await append(filled, 300)
    filled.outside.path.write_bytes(held)
    assert f"\n{SIZE}\n" in (await http.get("/log/checkpoint")).text
    for tile in (Tile(None, 2), Tile(0, 2), Tile(0, 2, 89), Tile(1, 0, 3), Tile(0, 3, 1)):
        assert (await http.get(f"/log/{tile.path}")).status_code == 404
    assert len(decode_bundle(await get(http, Tile(None, 2, 88)))) == 88
    assert await audit(filled, http) == SIZE


@pytest.mark.parametrize("at", [0, 256, SIZE - 1])
async def test_a_deleted_entry_is_named(filled: Log, http: AsyncClient, owner_url: str, at: int) -> None:
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = :at", at=at)
    n = at // 256
    width = 256 if n < 2 else 88
    response = await http.get(f"/log/{Tile(None, n, width).path}")
    assert len(decode_bundle(response.content)) == at - n * 256
    assert response.headers["cache-control"] == "no-store"  # a gap that is mended must not live on in caches
    with pytest.raises(VerificationError) as found:
        await audit(filled, http)
    assert found.value.index == at


@pytest.mark.parametrize("at", [256, SIZE - 1])
async def test_an_altered_entry_is_named(filled: Log, http: AsyncClient, owner_url: str, at: int) -> None:
    altered = "overlay(entry placing '\\x0102'::bytea from 90)"
    as_owner(owner_url, f"UPDATE access_log.entry SET entry = {altered} WHERE index = :at", at=at)
    with pytest.raises(VerificationError) as found:
        await audit(filled, http)
    assert found.value.index == at


@pytest.mark.usefixtures("filled")
async def test_lower_entries_gone_make_no_partial_tile(http: AsyncClient, owner_url: str) -> None:
    as_owner(owner_url, "DELETE FROM access_log.entry WHERE index = 520")
    assert (await http.get(f"/log/{Tile(0, 2, 88).path}")).status_code == 404
    assert (await http.get(f"/log/{Tile(0, 2, 8).path}")).status_code == 200


async def test_the_key_history_leads_from_the_first_key_to_those_served(log: Log, http: AsyncClient) -> None:
    first = keys_of(log)
    await change_keys(log, "operator:somebody", "operator")
    await change_keys(log, "operator:somebody", "operator")
    response = await http.get("/log/keys")
    assert response.headers["content-type"] == "application/json"
    succession = follow(parse_history(response.content), first)
    served = (await http.get("/log/key")).text
    assert "".join(f"{key}\n" for key in succession.keys) == served
    assert succession.open_note((await http.get("/log/checkpoint")).content).size == 2
