"""A closed log published below the one opened in its place, as it is served (FORMAT 5.3, 6).

What was published of it stands at the root of the folder, where the new log is to stand. So it moves, before
anything of the new log is published:

1. its `checkpoint` is set aside, so that no reader takes what is on its way for tampered with;
2. tiles, keys and roots move below `closed/`;
3. the checkpoint takes its place there.

Stopped anywhere, the next call goes on. What was published is never derived anew for that: of a log that was
closed as it stood, the folder may hold entries that the database has lost.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from access_log.checkpoint import MAX_NOTE, VerifierKey, open_note
from access_log.closed.log import ClosedLog, closed_folder
from access_log.closing import succession
from access_log.durable import DurableFolder
from access_log.errors import AccessLogError
from access_log.publishing import CHECKPOINT, publish
from access_log.roots.log import RootsLog
from access_log.roots.publishing import FOLDER, publish_roots
from access_log.stored_log import StoredLog

_ASIDE: Final = ".checkpoint"
_MOVED: Final = ("tile", FOLDER, "key", "keys", "witnessed")
_SUCCESSION: Final = "succession"


async def publish_closed(closed: ClosedLog, roots: RootsLog, root: Path) -> None:
    """Bring what was published of a closed log below `closed/`, and publish what was raised last.

    Of one that was closed as it stood nothing is added.

    Args:
        closed: The closed log.
        roots: Its log of roots.
        root: The folder the open log is published into.

    Raises:
        FolderError: The folder cannot be written to, or another process publishes into it.
        VerificationError: The stored entries are not those that were raised; names the first bad one.
        SQLAlchemyError: The database cannot be read.
    """
    folder = DurableFolder(root)
    keys = await closed.every_verifier_key()
    with folder.held():
        await asyncio.to_thread(_move, folder, closed, keys)
    if closed.says.planned:
        place = root / closed_folder(closed.origin)
        if await asyncio.to_thread(_size, place, keys) != closed.says.size:
            await publish(closed, place)
        await publish_roots(roots, place)


async def publish_succession(log: StoredLog, root: Path) -> None:
    """Publish how each log was opened in the place of the one before, beside the open log.

    Raises:
        FolderError: The folder cannot be written to, or another process publishes into it.
        SQLAlchemyError: The database cannot be read.
    """
    folder = DurableFolder(root)
    content = (await succession(log)).encode()
    with folder.held():
        if not await asyncio.to_thread(folder.holds, _SUCCESSION, content):
            await asyncio.to_thread(folder.put, [(_SUCCESSION, content)])
        await asyncio.to_thread(folder.settle)


def _move(folder: DurableFolder, closed: ClosedLog, keys: Sequence[VerifierKey]) -> None:
    place = closed_folder(closed.origin)
    aside = f"{place}/{_ASIDE}"
    if _signed(folder.read(CHECKPOINT, MAX_NOTE), keys) is not None:
        folder.move(CHECKPOINT, aside)  # 1
        folder.settle()
    if folder.read(aside, MAX_NOTE) is None:
        return
    for name in _MOVED:
        folder.move(name, f"{place}/{name}")  # 2
    folder.settle()
    folder.move(aside, f"{place}/{CHECKPOINT}")  # 3
    folder.settle()


def _signed(note: bytes | None, keys: Sequence[VerifierKey]) -> int | None:
    """The size of a checkpoint that one of these keys signed; None if it is none."""
    try:
        return None if note is None else open_note(note, keys).size
    except AccessLogError:
        return None


def _size(place: Path, keys: Sequence[VerifierKey]) -> int | None:
    return _signed(DurableFolder(place).read(CHECKPOINT, MAX_NOTE), keys)
