"""The log of roots published into a folder beside the log's files (FORMAT 4.3, 6).

The order is the log's: bundles and tiles are durable under their names before the checkpoint that promises
them takes the place of the older one. A larger tree, or another one, is never replaced.
"""

import asyncio
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import stored
from access_log.checkpoint import MAX_NOTE, Checkpoint, open_note
from access_log.durable import DurableFolder
from access_log.errors import AccessLogError, FolderError
from access_log.key_history import MAX_HISTORY
from access_log.roots.key_history import FILE
from access_log.roots.log import RootsLog
from access_log.tiles import WIDTH, Tile, bundles_of, encode_bundle, tiles_of

FOLDER: Final = "roots"
"""Where it lies below the log's folder."""
_CHECKPOINT: Final = "checkpoint"


async def publish_roots(roots: RootsLog, log_folder: Path) -> int:
    """Publish the log of roots; returns how many roots the checkpoint in the folder covers now.

    Args:
        roots: The log of roots.
        log_folder: The folder the log itself is published into.

    Raises:
        FolderError: The folder cannot be written to, or holds another or a larger tree.
        LogStateError: Roots or tiles are missing from the database.
        SQLAlchemyError: The database cannot be read.
    """
    folder = DurableFolder(log_folder / FOLDER)
    with folder.held():
        standing = await asyncio.to_thread(folder.read, _CHECKPOINT, MAX_NOTE)
        async with roots.log.engine.connect() as connection:
            note = await roots.checkpoint(connection)
            newest = open_note(note, await roots.every_verifier_key(connection))
            history = await roots.key_history(connection)
            published = await _published(roots, connection, folder.root, standing, newest)
            files = [
                (tile.path, await _content(roots, connection, tile))
                for tile in (*bundles_of(newest.size), *tiles_of(newest.size))
                if not _covered(tile, published)
            ]
        await asyncio.to_thread(folder.put, files)
        await asyncio.to_thread(folder.settle)
        # From here every file is durable that this checkpoint promises. Who meets a new key finds the way.
        if history.encode() != await asyncio.to_thread(folder.read, FILE, MAX_HISTORY):
            await asyncio.to_thread(folder.put, [(FILE, history.encode())])
            await asyncio.to_thread(folder.settle)
        if standing != note.encode():
            await asyncio.to_thread(folder.put, [(_CHECKPOINT, note.encode())])
        await asyncio.to_thread(folder.settle)
    return newest.size


async def _published(
    roots: RootsLog, connection: AsyncConnection, root: Path, standing: bytes | None, newest: Checkpoint
) -> int:
    """The size of the tree that stands in the folder, which must begin the stored one."""
    if standing is None:
        return 0
    try:
        published = open_note(standing, await roots.every_verifier_key(connection))
    except AccessLogError as error:
        raise FolderError(
            f"{root / _CHECKPOINT} is not of this log of roots ({error}): name the folder of its log"
        ) from None
    if published.size > newest.size or published.root != await stored.root_at(
        connection, roots.number, published.size
    ):
        raise FolderError(
            f"{root / _CHECKPOINT} is of another tree than the {newest.size} roots stored; what was "
            "published is never taken back. Restore the database as it was when it was published"
        )
    return published.size


def _covered(tile: Tile, size: int) -> bool:
    """Whether a tree of this size has the file, full."""
    return (tile.n + 1) * WIDTH <= size >> 8 * (tile.level or 0)


async def _content(roots: RootsLog, connection: AsyncConnection, tile: Tile) -> bytes:
    if tile.level is not None:
        return b"".join(await stored.hashes(connection, roots.number, tile.level, tile.n, tile.width))
    first = tile.n * WIDTH
    found = await stored.entries(connection, roots.number, first, first + tile.width)
    return encode_bundle([raw for _, raw in found])
