"""A real log whose clock a test sets, so that months pass in an instant; and roots derived word for word."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log import stored, writes
from access_log.checkpoint import SigningKey
from access_log.labels import month_of
from access_log.log import Log, StreamKind
from access_log.merkle import Frontier, leaf_hash
from access_log.prefix import Place
from access_log.prefix_tree import PrefixTree
from access_log.roots.leaf import Kind, PrefixRoot, roots_origin
from access_log.roots.log import RootsLog
from access_log.sequence import Head
from tests.access_log.logs import another_worker, append
from tests.conftest import ORIGIN

KEY = SigningKey.from_seed(roots_origin(ORIGIN), b"r" * 32)
ROOTS = 261
"""A full tile, and a few more: months end on the way."""


class SeededRootsSigners:
    """The keys of a log of roots: a first one, and later ones from seeds anyone can guess."""

    def __init__(self, first: SigningKey) -> None:
        self._first = first

    async def of(self, epoch: int) -> SigningKey:
        return self._first if epoch == 1 else SigningKey.from_seed(self._first.name, bytes([epoch]) * 32)

    async def make(self, epoch: int) -> None:
        """Nothing needs to be kept."""


SIGNERS = SeededRootsSigners(KEY)


class ClockedLog(Log):
    """The log, with the moment of its next entries given."""

    now = 0

    async def _lock_head(self, connection: AsyncConnection) -> Head:
        return replace(await writes.lock_head(connection, self.number), now=self.now)

    async def at(self, moment: str, count: int = 1, stream: bytes | None = None) -> None:
        """Appends heartbeats of a stream, of the system's if none is given, at an ISO date."""
        self.now = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)
        if stream is None:
            await append(self, count)
        else:
            await append(self, count, stream)


async def clocked_log(database: AsyncEngine, folder: Path) -> ClockedLog:
    opened = another_worker(database, folder / "outside.lock", kind=ClockedLog)
    assert isinstance(opened, ClockedLog)
    await opened.create()
    await opened.start()
    return opened


async def many_roots(log: ClockedLog) -> RootsLog:
    """`ROOTS` of them, where a root is made for each entry."""
    person = await new_stream(log)
    await log.at("2026-07-30T10:00:00", 100)
    await log.at("2026-07-31T10:00:00", 157, person)
    await log.at("2026-08-02T10:00:00", 3, person)
    opened = RootsLog(log, SIGNERS)
    await opened.create()
    await opened.catch_up()
    return opened


async def new_stream(log: Log) -> bytes:
    stream = uuid4().bytes
    async with log.engine.begin() as connection:
        await log.open_streams(connection, StreamKind.PERSON, [stream])
    return stream


async def roots_of(roots: RootsLog) -> list[PrefixRoot]:
    async with roots.log.engine.connect() as connection:
        rows = await stored.entries(connection, roots.number, 0, 1 << 40)
    assert [index for index, _ in rows] == list(range(len(rows)))
    return [PrefixRoot.decode(raw) for _, raw in rows]


def root_over(entries: Sequence[bytes], month: int, size: int, kind: Kind) -> PrefixRoot:
    """The root of a month at a size of the log, from all its entries."""
    mine = [
        (index, entry)
        for index, entry in enumerate(entries[:size])
        if month_of(int.from_bytes(entry[2:10], "big")) == month
    ]
    tree = PrefixTree()
    tree.extend((entry[42:74], Place(index, entry[74:106]).encode()) for index, entry in mine)
    log_root = Frontier.empty().extend([leaf_hash(entry) for entry in entries[:size]]).root()
    return PrefixRoot(kind, month, mine[0][0] if mine else size, size, log_root, tree.root())
