"""What the log remembers of its witnesses in its own database.

None of it is trusted where it matters: a note is verified again before it is shown, and a wrong size only
costs one more question.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SIZES = text("SELECT key, size FROM access_log.witness WHERE log = :log")
_COSIGNED = text(
    "INSERT INTO access_log.witness (log, key, name, size, time)"
    " SELECT :log, key, name, size, clock_timestamp() FROM unnest(CAST(:keys AS text[]),"
    " CAST(:names AS text[]), CAST(:sizes AS bigint[])) AS t (key, name, size) ORDER BY key"
    " ON CONFLICT (log, key) DO UPDATE SET name = excluded.name,"
    " size = greatest(access_log.witness.size, excluded.size), time = excluded.time"
)
_FAILED = text(
    "INSERT INTO access_log.witness_failure (log, key, kind, name, count, time)"
    " SELECT :log, key, kind, name, 1, clock_timestamp() FROM unnest(CAST(:keys AS text[]),"
    " CAST(:kinds AS text[]), CAST(:names AS text[])) AS t (key, kind, name) ORDER BY key, kind"
    " ON CONFLICT (log, key, kind) DO UPDATE SET name = excluded.name,"
    " count = access_log.witness_failure.count + 1, time = excluded.time"
)
_WITNESSED = text(
    "INSERT INTO access_log.witnessed (log, size, note, time) VALUES (:log, :size, :note, clock_timestamp())"
    " ON CONFLICT (log) DO UPDATE SET size = excluded.size, note = excluded.note, time = excluded.time"
    " WHERE access_log.witnessed.size < excluded.size OR (access_log.witnessed.size = excluded.size"
    " AND length(access_log.witnessed.note) <= length(excluded.note))"
)
_NEWEST = text("SELECT note FROM access_log.witnessed WHERE log = :log")
_STANDINGS = text(
    "SELECT key, name, size, extract(epoch FROM clock_timestamp() - time)::float AS age"
    " FROM access_log.witness WHERE log = :log ORDER BY name"
)
_FAILURES = text(
    "SELECT name, kind, count FROM access_log.witness_failure WHERE log = :log ORDER BY name, kind"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A witness as the tables name it: its verifier key, and its name in the policy."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a witness stands: what it cosigned last, and how many seconds ago."""

    key: str
    name: str
    size: int
    age: float


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a witness failed in one way."""

    name: str
    kind: str
    count: int


async def sizes(connection: AsyncConnection, log: int) -> dict[str, int]:
    """The size each witness is known to have cosigned last, by its verifier key."""
    return {row[0]: row[1] for row in await connection.execute(_SIZES, {"log": log})}


async def write(
    connection: AsyncConnection, log: int, cosigned: Mapping[Named, int], failed: Mapping[Named, str]
) -> None:
    """Remembers what each witness cosigned, or in which way it failed."""
    if cosigned:
        await connection.execute(
            _COSIGNED,
            {
                "log": log,
                "keys": [each.key for each in cosigned],
                "names": [each.name for each in cosigned],
                "sizes": list(cosigned.values()),
            },
        )
    if failed:
        await connection.execute(
            _FAILED,
            {
                "log": log,
                "keys": [each.key for each in failed],
                "kinds": list(failed.values()),
                "names": [each.name for each in failed],
            },
        )


async def write_witnessed(connection: AsyncConnection, log: int, size: int, note: str) -> None:
    """Remembers the newest checkpoint the quorum cosigned; an older one changes nothing."""
    await connection.execute(_WITNESSED, {"log": log, "size": size, "note": note})


async def newest_witnessed(connection: AsyncConnection, log: int) -> str | None:
    """The note of the newest witnessed checkpoint; None if there is none yet."""
    note: str | None = (await connection.execute(_NEWEST, {"log": log})).scalar_one_or_none()
    return note


async def standings(connection: AsyncConnection, log: int) -> list[Standing]:
    """How every witness stands that ever cosigned."""
    return [Standing(*row) for row in await connection.execute(_STANDINGS, {"log": log})]


async def failures(connection: AsyncConnection, log: int) -> list[Failures]:
    """How often each witness failed, by kind."""
    return [Failures(*row) for row in await connection.execute(_FAILURES, {"log": log})]
