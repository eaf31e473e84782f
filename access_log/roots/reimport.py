"""Roots a database lost, put back from where they were published (run by `creditvault log reimport`).

(1) the published checkpoint is signed by a key of the log of roots, and of its origin;
(2) every published root may follow the one before it, and the tree over all has the signed root;
(3) the database's own roots begin it;
(4) each root that is missing is what follows from the entries of the database;
(5) leaves, tiles and head are committed together (`RootsLog.put_back`).

So a restored log of roots goes on from what auditors cosigned, and contradicts nothing that was published.
"""

import asyncio

from access_log.checkpoint import MAX_NOTE
from access_log.roots.audit import published_roots
from access_log.roots.log import RootsLog
from access_log.sources import Source
from access_log.verify import signed_checkpoint


async def bring_back(roots: RootsLog, source: Source) -> int | None:
    """Puts back the roots that the database lacks; returns how many, None where none are published.

    The entries must be there already: import them first.

    Args:
        roots: The log of roots; nobody appends to it while its log is behind.
        source: Where it was published, below its log.

    Raises:
        VerificationError, FormatError: It does not verify; names the root.
        SourceError: It cannot be read.
        LogStateError: The database holds other roots, or lacks entries.
        SQLAlchemyError: The database cannot be used now.
    """
    if await asyncio.to_thread(source.read, "checkpoint", MAX_NOTE) is None:
        return None  # Whoever publishes a log need not publish its roots.
    async with roots.log.engine.connect() as connection:
        keys = await roots.every_verifier_key(connection)
    signed = await asyncio.to_thread(signed_checkpoint, source, keys)  # (1)
    stated = await asyncio.to_thread(published_roots, source, signed)  # (2)
    return await roots.put_back(stated)  # (3) to (5)
