"""Versions of the provider's keys `root` and `index`, as the database knows them.

    in use ──── retired ──── emptied ──── destroyed

One version of each key is in use: it makes everything that is new. Who adds a row made with a key holds the
version in use until the commit, and is refused if the row was made with an older one (triggers of the
tables). Who retires a version waits for them. So from the commit that retires a version nothing is added
under it, and what is left under it only becomes less, until it is emptied. It is destroyed in a step of its
own, because older backups of the database need it still.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from vault.crypto.errors import ProviderUnavailableError
from vault.crypto.provider import MAKERS

_GUARD: Final = "key_in_use"

_BEGIN = text(
    "INSERT INTO vault.key_version (name, version, provider)"
    " SELECT CAST(:name AS text), CAST(:version AS smallint), CAST(:provider AS text)"
    " WHERE NOT EXISTS (SELECT FROM vault.key_version WHERE name = :name) ON CONFLICT DO NOTHING"
)
_READ = text(
    "SELECT name, version, made_at, retired_at, emptied_at, destroyed_at, provider"
    " FROM vault.key_version"
    " ORDER BY name DESC, version"
)
_IN_USE = text("SELECT version, provider FROM vault.key_version WHERE name = :name AND retired_at IS NULL")
_RETIRE = text(
    "UPDATE vault.key_version SET retired_at = now()"
    " WHERE name = :name AND retired_at IS NULL AND version < :version"
)
_ADD = text("INSERT INTO vault.key_version (name, version, provider) VALUES (:name, :version, :provider)")
_RETIRED = text(
    "SELECT version FROM vault.key_version"
    " WHERE name = :name AND retired_at IS NOT NULL AND emptied_at IS NULL"
)
# By the clock, not the transaction's begin: no backup from before the count may pass for a later one.
_EMPTY = text(
    "UPDATE vault.key_version SET emptied_at = clock_timestamp()"
    " WHERE name = :name AND emptied_at IS NULL AND version = ANY(CAST(:empty AS smallint[]))"
)
_DESTROY = text("UPDATE vault.key_version SET destroyed_at = now() WHERE name = :name AND version = :version")
_NEEDED = text(
    "SELECT provider FROM vault.key_version WHERE emptied_at IS NULL"
    # What names no maker is no wrap: it is told where it is opened.
    " UNION SELECT made.provider FROM vault.expiry_key"
    " JOIN unnest(CAST(:makers AS bytea[]), CAST(:providers AS text[])) AS made (maker, provider)"
    " ON substring(wrapped FOR 1) = made.maker ORDER BY 1"
)
_HELD = text(
    "SELECT 'root' AS name, 'subject keys' AS what, root_version AS version, count(*) AS count"
    " FROM vault.subject GROUP BY root_version"
    " UNION ALL SELECT 'root', 'system keys', root_version, count(*)"
    " FROM vault.system_key GROUP BY root_version"
    " UNION ALL SELECT 'index', 'identifiers', key_version, count(*)"
    " FROM vault.identifier GROUP BY key_version"
    " ORDER BY what DESC"
)


class RetiredKeyError(ProviderUnavailableError):
    """What was to be written was made with a version of a key that is retired meanwhile: make it anew.

    Whoever does not is told, as where a provider does not answer, to ask again.
    """


@contextmanager
def retired_keys() -> Iterator[None]:
    """Turns the refusal of the tables' triggers into an error of ours.

    Raises:
        RetiredKeyError: a row was made with a version that is retired.
    """
    try:
        yield
    except DBAPIError as error:
        diagnosis = getattr(error.orig, "diag", None)
        if getattr(diagnosis, "constraint_name", None) != _GUARD:
            raise
        raise RetiredKeyError("a key was rotated at this very moment: do it again") from None


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key.

    Attributes:
        made_at: since when it is known here.
        retired_at: since when a newer one makes all that is new; None while it is in use.
        emptied_at: since when nothing in this database needs it.
        destroyed_at: when its destruction was logged.
        provider: in which it lives.
    """

    name: str
    version: int
    made_at: datetime
    retired_at: datetime | None
    emptied_at: datetime | None
    destroyed_at: datetime | None
    provider: str


@dataclass(frozen=True, slots=True)
class Held:
    """What a version of a key still holds: how many, of what."""

    name: str
    what: str
    version: int
    count: int


async def begin(connection: AsyncConnection, name: str, version: int, provider: str) -> None:
    """Takes a key's first version into use; harmless when one is."""
    await connection.execute(_BEGIN, {"name": name, "version": version, "provider": provider})


async def every(connection: AsyncConnection) -> list[KeyVersion]:
    """Every version there ever was, each key's oldest first."""
    return [KeyVersion(*row) for row in await connection.execute(_READ)]


async def read(connection: AsyncConnection, name: str, version: int) -> KeyVersion | None:
    """One version; None if there never was one."""
    found = [one for one in await every(connection) if (one.name, one.version) == (name, version)]
    return found[0] if found else None


async def in_use(connection: AsyncConnection, name: str) -> tuple[int, str]:
    """The version that makes everything new, and the provider in which it lives."""
    version, provider = (await connection.execute(_IN_USE, {"name": name})).one()
    return version, provider


async def needed(connection: AsyncConnection) -> list[str]:
    """The providers without which something in the database does not open."""
    makers = {"makers": [bytes((maker,)) for maker in MAKERS], "providers": list(MAKERS.values())}
    return list(await connection.scalars(_NEEDED, makers))


async def held(connection: AsyncConnection) -> list[Held]:
    """How much each version holds; a version that holds nothing is absent. Counts whole tables."""
    return [Held(*row) for row in await connection.execute(_HELD)]


async def replace(connection: AsyncConnection, name: str, version: int, provider: str) -> bool:
    """Takes a newer version into use and retires the one before; False if somebody else did.

    Waits for every transaction that added something under the one before.
    """
    retired = await connection.execute(_RETIRE, {"name": name, "version": version})
    if not retired.rowcount:
        return False
    await connection.execute(_ADD, {"name": name, "version": version, "provider": provider})
    return True


async def note_emptied(connection: AsyncConnection, name: str) -> list[Held]:
    """Writes down of each retired version that nothing needs it any more, where that is so.

    It counts whole tables, so never call it under the head lock. Nor is there need: what a retired version
    holds only becomes less.

    Returns:
        What the key's versions hold, where a retired one was not known to be emptied; otherwise nothing.
    """
    # Read before the count: a version that is retired after it may hold what the count did not see.
    retired = [row.version for row in await connection.execute(_RETIRED, {"name": name})]
    if not retired:
        return []
    holding = [one for one in await held(connection) if one.name == name]
    empty = sorted(set(retired) - {one.version for one in holding})
    await connection.execute(_EMPTY, {"name": name, "empty": empty})
    return holding


async def note_destroyed(connection: AsyncConnection, name: str, version: int) -> None:
    """Writes down that an emptied version is destroyed."""
    await connection.execute(_DESTROY, {"name": name, "version": version})
