"""The stored tree at every size equals the tree over its leaves, across the borders of both tile levels."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log import stored
from access_log.errors import FormatError, LogStateError
from access_log.merkle import Frontier, leaf_hash, verify_inclusion
from tests.access_log.logs import as_owner
from tests.access_log.simulator import make_entries
from tests.conftest import fresh_database
from vault.server.database import application_engine
from vault.server.embedded import APPLICATION, OWNER, EmbeddedDatabase
from vault.server.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 65_536 + 600
BORDERS = [
    *(0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_279, 65_280, 65_281),
    *(65_535, 65_536, 65_537, 65_791, 65_792, 65_793, SIZE - 1, SIZE),
]
SIZES = st.sampled_from(BORDERS) | st.integers(0, SIZE)
LOG = 1


@dataclass(frozen=True)
class _Tree:
    """A stored log, and the same leaves in memory."""

    engine: AsyncEngine
    owner_url: str
    leaves: list[bytes]

    def frontier(self, size: int) -> Frontier:
        return Frontier.empty().extend(self.leaves[:size])


@pytest.fixture(scope="module")
def filled(postgres: EmbeddedDatabase) -> Iterator[str]:
    with fresh_database(postgres) as name:
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tree(postgres: EmbeddedDatabase, filled: str) -> AsyncIterator[_Tree]:
    """Entries and tiles as batches of uneven sizes leave them."""
    engine = application_engine(postgres.url(APPLICATION, filled), Settings())
    entries = make_entries(SIZE)
    leaves = [leaf_hash(raw) for raw in entries]
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO access_log.entry (log, index, entry)"
                " SELECT :log, at - 1, raw FROM unnest(CAST(:raws AS bytea[])) WITH ORDINALITY AS t (raw, at)"
            ),
            {"log": LOG, "raws": entries},
        )
        done = 0
        for size in (1, 255, 300, 513, 60_000, 65_535, 65_536, SIZE):
            full = range(done // 256, size // 256)
            if full:
                tiles = [leaves[n * 256 : (n + 1) * 256] for n in full]
                await stored.write_tiles(connection, LOG, 0, full.start, tiles)
            done = size
    yield _Tree(engine, postgres.url(OWNER, filled), leaves)
    await engine.dispose()


async def test_every_full_tile_is_stored_once(tree: _Tree) -> None:
    async with tree.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT level, count(*), min(index), max(index) FROM access_log.tile GROUP BY 1 ORDER BY 1")
        )
        assert [tuple(row) for row in rows] == [(0, SIZE // 256, 0, SIZE // 256 - 1), (1, 1, 0, 0)]


@given(SIZES)
async def test_the_tree_at_any_size(tree: _Tree, size: int) -> None:
    async with tree.engine.connect() as connection:
        assert await stored.frontier_at(connection, LOG, size) == tree.frontier(size)
        assert await stored.root_at(connection, LOG, size) == tree.frontier(size).root()


@given(st.sampled_from(BORDERS[1:]) | st.integers(1, SIZE), st.data())
async def test_an_entry_is_proven_at_any_size(tree: _Tree, size: int, data: st.DataObject) -> None:
    borders = st.sampled_from([index for index in BORDERS if index < size])
    index = data.draw(st.integers(0, size - 1) | borders, label="index")
    async with tree.engine.connect() as connection:
        proof = await stored.proof(connection, LOG, index, size)
    verify_inclusion(index, size, tree.leaves[index], proof, tree.frontier(size).root())


async def test_there_is_no_proof_beyond_the_size(tree: _Tree) -> None:
    async with tree.engine.connect() as connection:
        for index, size in ((0, 0), (7, 7), (SIZE, 9)):
            with pytest.raises(FormatError):
                await stored.proof(connection, LOG, index, size)


@given(level=st.integers(0, 1), data=st.data())
async def test_a_tile_of_any_width(tree: _Tree, level: int, data: st.DataObject) -> None:
    """Cut from the stored one, or made from what lies below."""
    nodes = SIZE >> (8 * level)
    n = data.draw(st.integers(0, (nodes - 1) // 256), label="n")
    width = data.draw(st.integers(1, min(256, nodes - n * 256)), label="width")
    if level == 0:
        expected = tree.leaves[n * 256 : n * 256 + width]
    else:
        leaves = range(n * 65_536, (n * 256 + width) * 256, 256)
        expected = [Frontier.empty().extend(tree.leaves[at : at + 256]).root() for at in leaves]
    async with tree.engine.connect() as connection:
        assert await stored.hashes(connection, LOG, level, n, width) == expected


async def test_what_is_missing_is_told(tree: _Tree) -> None:
    async with tree.engine.connect() as connection:
        for level, index, width in ((0, SIZE // 256 + 1, 1), (1, 1, 3), (2, 0, 2)):
            with pytest.raises(LogStateError, match="missing from the database"):
                await stored.hashes(connection, LOG, level, index, width)
        with pytest.raises(LogStateError, match="missing from the database"):
            await stored.root_at(connection, LOG, SIZE + 1)


async def test_an_entry_that_was_deleted_is_missed(postgres: EmbeddedDatabase) -> None:
    with fresh_database(postgres) as name:
        engine = application_engine(postgres.url(APPLICATION, name), Settings())
        async with engine.begin() as connection:
            for index, raw in enumerate(make_entries(9)):
                row = {"index": index, "raw": raw}
                await connection.execute(text("INSERT INTO access_log.entry VALUES (1, :index, :raw)"), row)
        as_owner(postgres.url(OWNER, name), "DELETE FROM access_log.entry WHERE index = 4")
        async with engine.connect() as connection:
            assert [index for index, _ in await stored.entries(connection, LOG, 2, 7)] == [2, 3, 5, 6]
            await stored.root_at(connection, LOG, 4)
            with pytest.raises(LogStateError, match="between 0 and 4"):
                await stored.root_at(connection, LOG, 5)
        await engine.dispose()
