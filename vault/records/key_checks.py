"""Whether the key of the blind indexes is the one it was: a MAC it made once, held against it at each start.

A wrap key that was exchanged opens nothing, and so tells by itself. A MAC key that was exchanged answers as
before: nobody would be found, and everybody could be entered twice. So the first MAC of a known message by
each version is kept (FORMAT 7.2).
"""

import hmac
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.crypto.provider import KeyProvider
from vault.errors import VaultError
from vault.records import key_versions

_MESSAGE: Final = b"creditvault key check v1"

_KEEP = text(
    "INSERT INTO vault.key_check (name, version, value) VALUES (:name, :version, :value)"
    " ON CONFLICT DO NOTHING"
)
_KEPT = text("SELECT value FROM vault.key_check WHERE name = :name AND version = :version")


_PUT_BACK: Final = (
    "nobody would be found. Put back the keyring, key server or token of this vault, from its newest backup "
    "if that is what was exchanged"
)


class KeyExchangedError(VaultError):
    """A key is not the one that made what is in the database; the message names it, and what to do."""


async def require_same(engine: AsyncEngine, provider: KeyProvider, name: str) -> None:
    """Holds every version of a MAC key that something needs against what is kept of it.

    What is not kept of a version yet is kept from now on: of a vault from before it was.

    Raises:
        KeyExchangedError: one is another key than before, or the one in use is not there.
        ProviderError: the provider does not answer.
    """
    there = await provider.versions(name)
    async with engine.begin() as connection:
        for one in await key_versions.every(connection):
            if one.name != name or one.emptied_at is not None:
                continue
            if one.version in there:
                await keep(connection, provider, name, one.version)
            elif one.retired_at is None:
                # A retired one may have been destroyed since the backup that this database was restored from.
                raise KeyExchangedError(
                    f"version {one.version} of the key {name} is not there, but it made this database's "
                    f"blind indexes: {_PUT_BACK}"
                )


async def keep(connection: AsyncConnection, provider: KeyProvider, name: str, version: int) -> None:
    """Keeps what tells a version of a MAC key, before anything is made with it; harmless when repeated.

    Raises:
        KeyExchangedError: another key of this version was there before.
        ProviderError: the provider does not answer.
    """
    made = (await provider.mac(name, _MESSAGE, version)).value
    asked = {"name": name, "version": version}
    await connection.execute(_KEEP, {**asked, "value": made})
    kept = (await connection.execute(_KEPT, asked)).scalar_one()
    if not hmac.compare_digest(kept, made):
        raise KeyExchangedError(
            f"version {version} of the key {name} is another key than the one that made this database's "
            f"blind indexes: {_PUT_BACK}"
        )
