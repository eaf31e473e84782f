"""What older versions of the root key wrapped, wrapped anew: the keys of persons and of the system.

Plaintexts stay at the provider, and no entry is held up: a batch is a short transaction of its own that takes
no head lock. A row changes only if it still holds what was read, so whoever gives a person another key
meanwhile is not undone. A batch that was lost with the power is done again by the next run, hence no wait for
the disk.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.crypto.envelopes import subject_key_aad, system_key_aad
from vault.crypto.provider import KeyProvider
from vault.records import key_versions
from vault.records.keys import ROOT

Progress = Callable[[int, int], None]
"""Called with the number of things behind it and the number there are."""

BATCH: Final = 2_000
_FIRST: Final = UUID(int=0)
_LAZY = text("SET LOCAL synchronous_commit = off")

_SUBJECTS = text(
    "SELECT subject_id, wrapped_key FROM vault.subject"
    " WHERE subject_id > :after AND root_version < :version ORDER BY subject_id LIMIT :count"
)
_MOVE_SUBJECTS = text(
    "UPDATE vault.subject s SET wrapped_key = t.fresh, root_version = t.version"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:olds AS bytea[]), CAST(:fresh AS bytea[]),"
    " CAST(:versions AS smallint[])) AS t (subject_id, old, fresh, version)"
    " WHERE s.subject_id = t.subject_id AND s.wrapped_key = t.old"
)
_SYSTEM = text("SELECT name, version, wrapped FROM vault.system_key WHERE root_version < :version")
_MOVE_SYSTEM = text(
    "UPDATE vault.system_key s SET wrapped = t.fresh, root_version = t.root_version"
    " FROM unnest(CAST(:names AS text[]), CAST(:numbers AS smallint[]), CAST(:olds AS bytea[]),"
    " CAST(:fresh AS bytea[]), CAST(:versions AS smallint[])) AS t (name, version, old, fresh, root_version)"
    " WHERE s.name = t.name AND s.version = t.version AND s.wrapped = t.old"
)


async def rewrap(engine: AsyncEngine, provider: KeyProvider, version: int, progress: Progress) -> int:
    """Wraps anew whatever a version of the root key before this one wrapped.

    It may be stopped at any moment, repeated, and run twice at once.

    Args:
        engine: the application role's database.
        provider: which has this version, and those before that are needed.
        version: the one in use.
        progress: told how many are behind it, of how many.

    Returns:
        How many it wrapped anew.

    Raises:
        UnsealError: a wrapped key was altered; those before it are done.
        ProviderError: the provider does not answer; do it again.
    """
    async with engine.connect() as connection:
        left = sum(
            one.count
            for one in await key_versions.held(connection)
            if one.name == ROOT and one.version < version
        )
    done = await _rewrap_system(engine, provider, version)
    progress(done, left)
    after: UUID | None = _FIRST
    while after is not None:
        async with engine.begin() as connection:
            moved, after = await _rewrap_subjects(connection, provider, version, after)
        done += moved
        progress(done, left)
    async with engine.begin() as connection:
        await key_versions.note_emptied(connection, ROOT)
    return done


async def _rewrap_system(engine: AsyncEngine, provider: KeyProvider, version: int) -> int:
    async with engine.begin() as connection:
        rows = (await connection.execute(_SYSTEM, {"version": version})).all()
        fresh = await provider.rewrap_many(
            ROOT, [(row.wrapped, system_key_aad(row.name, row.version)) for row in rows]
        )
        moved = await connection.execute(
            _MOVE_SYSTEM,
            {
                "names": [row.name for row in rows],
                "numbers": [row.version for row in rows],
                "olds": [row.wrapped for row in rows],
                "fresh": fresh,
                "versions": [provider.version_of(one) for one in fresh],
            },
        )
        return moved.rowcount


async def _rewrap_subjects(
    connection: AsyncConnection, provider: KeyProvider, version: int, after: UUID
) -> tuple[int, UUID | None]:
    """One batch; returns how many it moved, and the person it came to, None after the last."""
    await connection.execute(_LAZY)
    asked = {"after": after, "version": version, "count": BATCH}
    found = await connection.execute(_SUBJECTS, asked)
    rows: list[tuple[UUID, bytes]] = [(row.subject_id, row.wrapped_key) for row in found]
    if not rows:
        return 0, None
    fresh = await provider.rewrap_many(
        ROOT, [(wrapped, subject_key_aad(subject)) for subject, wrapped in rows]
    )
    moved = await connection.execute(
        _MOVE_SUBJECTS,
        {
            "ids": [subject for subject, _ in rows],
            "olds": [wrapped for _, wrapped in rows],
            "fresh": fresh,
            "versions": [provider.version_of(one) for one in fresh],
        },
    )
    return moved.rowcount, rows[-1][0]
