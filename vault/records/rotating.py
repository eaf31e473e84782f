"""New versions of the provider's keys, and the end of old ones; each is an entry of type 7.

A rotation:
    1. the provider makes the version           (durable there; every process uses it after the lag)
    2. under the head lock, in one transaction: the entry, and the version is in use, the one before retired
    3. a job makes anew what the versions before hold (`rewrapping`, `reindexing`), while queries go on

Whatever stops it, the next rotation goes on where it stopped: a version that the provider has and the
database does not know is taken into use, and no other is made; and none is made while a retired one is not
emptied.

A destruction:
    1. a transaction of its own counts what retired versions hold, and writes down which are emptied
    2. under the head lock, in one transaction: the version is emptied, the entry, and it is written down
    3. the provider destroys it                 (may be repeated)

Nothing can need it after the first: what was retired is never added to (`key_versions`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import JSON, Payload
from consent.journal import Actor
from vault.crypto.provider import MAKERS, KeyKind
from vault.crypto.succeeding import SucceedingKeys
from vault.errors import VaultError
from vault.records import key_checks, key_versions
from vault.records.expiry_keys import key_name
from vault.records.key_versions import Held, KeyVersion
from vault.records.keys import INDEX, ROOT, VaultKeys

KINDS: Final = {ROOT: KeyKind.WRAP, INDEX: KeyKind.MAC}
_LEFT_MONTHS = text(
    "SELECT expiry_id FROM vault.expiry_key WHERE wrapped IS NULL OR get_byte(wrapped, 0) <> :maker"
)


class RotationError(VaultError):
    """A version cannot be destroyed, or there is none such; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A version that makes all that is new.

    Attributes:
        entry: index of the entry that says so; None where it stood before.
    """

    name: str
    version: int
    entry: int | None


async def rotate(log: Log, keys: VaultKeys, name: str, actor: Actor, *, another: bool = False) -> Rotation:
    """Has a new version of a key make all that is new, or goes on with a rotation that was begun.

    Args:
        log: the open log.
        keys: the vault's keys.
        name: `ROOT` or `INDEX`.
        actor: who rotates it.
        another: whether a version is made even where the rotation before is not complete.

    Raises:
        RotationError: the key lives in another provider than makes what is new.
        ProviderError: the provider does not answer.
        AccessLogError: the log cannot append; do it again.
    """
    async with log.engine.connect() as connection:
        in_use, lives_in = await key_versions.in_use(connection, name)
        known = [one for one in await key_versions.every(connection) if one.name == name]
    if lives_in != MAKERS[keys.provider.maker]:
        raise RotationError(f"the key {name} lives in {lives_in} still: run `creditvault keys move` first")
    newest = (await keys.provider.versions(name))[-1]
    if newest <= in_use:
        if not another and any(one.retired_at and not one.emptied_at for one in known):
            return Rotation(name, in_use, None)
        newest = await keys.provider.create(name, KINDS[name])
    return await take_into_use(log, keys, name, newest, actor)


async def take_into_use(log: Log, keys: VaultKeys, name: str, version: int, actor: Actor) -> Rotation:
    """Has a version that the provider made meanwhile make all that is new (2).

    Raises:
        KeyExchangedError: another key of this version was there before.
        ProviderError: the provider does not answer.
        AccessLogError: the log cannot append; do it again.
    """
    if KINDS[name] is KeyKind.MAC:
        async with log.engine.begin() as connection:
            await key_checks.keep(connection, keys.provider, name, version)
    # Nobody may still use the one before when it is retired: what they make would be refused, and whoever was
    # moved to the new one would not be found.
    await asyncio.sleep(keys.provider.lag)
    provider = MAKERS[keys.provider.maker]
    async with log.writing() as writing:
        # Another process may have been first: one entry is enough for both.
        if not await key_versions.replace(writing.connection, name, version, provider):
            return Rotation(name, (await key_versions.in_use(writing.connection, name))[0], None)
        position = _add_entry(writing, "key.rotated", _stated(name, version, provider), actor)
    return Rotation(name, version, writing.indexes[position])


async def destroy(
    log: Log, keys: VaultKeys, name: str, version: int, actor: Actor, *, backups_kept: timedelta
) -> int | None:
    """Destroys a version that nothing needs any more.

    Args:
        log: the open log.
        keys: the vault's keys.
        name: `ROOT` or `INDEX`.
        version: a retired one.
        actor: who destroys it.
        backups_kept: how long backups of the database are kept, which need the keys of their time; no time at
            all if those that need it may be lost with it.

    Returns:
        Index of the entry that says so; None where it was logged before, and only the provider was told.

    Raises:
        RotationError: it is unknown, in use, holds something, or backups may need it; or its provider is not
            named.
        ProviderError: it is logged, but the provider did not destroy it yet; do it again.
        AccessLogError: the log cannot append; nothing was destroyed.
    """
    entry = None
    async with log.engine.begin() as connection:
        holding = await key_versions.note_emptied(connection, name)
    async with log.writing() as writing:
        found = await key_versions.read(writing.connection, name, version)
        if found is None or found.destroyed_at is None:
            found = _require_unneeded(writing, name, version, found, holding, backups_kept=backups_kept)
            _require_there(keys, found)
            await key_versions.note_destroyed(writing.connection, name, version)
            entry = _add_entry(writing, "key.destroyed", _stated(name, version, found.provider), actor)
    _require_there(keys, found)
    await keys.provider.destroy(name, version)
    if name == ROOT:
        await _destroy_left_months(log, keys, found.provider)
    return None if entry is None else writing.indexes[entry]


def _require_there(keys: VaultKeys, version: KeyVersion) -> None:
    if version.provider not in {MAKERS[one] for one in keys.provider.makers}:
        raise RotationError(
            f"version {version.version} of the key {version.name} lives in {version.provider}, which the "
            f"settings do not name: set CREDITVAULT_FORMER_KEY_PROVIDER={version.provider} for this command"
        )


async def _destroy_left_months(log: Log, keys: VaultKeys, provider: str) -> None:
    """With the last version of the root key in a former provider go the keys of months it still has.

    Nothing that they open opens without a root key of theirs, and every month lives in the new provider by
    now, or has ended.
    """
    succeeding = keys.provider
    if not isinstance(succeeding, SucceedingKeys) or MAKERS[succeeding.former.maker] != provider:
        return
    async with log.engine.connect() as connection:
        known = await key_versions.every(connection)
        months = await connection.scalars(_LEFT_MONTHS, {"maker": succeeding.former.maker})
    if all(one.destroyed_at for one in known if (one.name, one.provider) == (ROOT, provider)):
        for month in months:
            await succeeding.former.destroy(key_name(month))


def _require_unneeded(
    writing: Writing,
    name: str,
    version: int,
    found: KeyVersion | None,
    holding: Sequence[Held],
    *,
    backups_kept: timedelta,
) -> KeyVersion:
    if found is None:
        raise RotationError(f"there is no version {version} of the key {name}: see `creditvault keys list`")
    if found.retired_at is None:
        raise RotationError(f"version {version} of the key {name} is in use: rotate the key first")
    if found.emptied_at is None:
        held = [f"{one.count:,} {one.what}" for one in holding if one.version == version]
        if not held:
            raise RotationError(f"version {version} of the key {name} was retired just now: do it again")
        raise RotationError(
            f"version {version} of the key {name} still holds {' and '.join(held)}: rotate the key again, "
            "which goes on with them"
        )
    until = found.emptied_at + backups_kept
    if backups_kept and writing.now < until:
        raise RotationError(
            f"backups of the database made before {found.emptied_at:%Y-%m-%d %H:%M} UTC need version "
            f"{version} of the key {name}: destroy it after {until:%Y-%m-%d}, or with --backups-too if none "
            "of them is kept"
        )
    return found


def _stated(name: str, version: int, provider: str) -> JSON:
    return {"key": name, "version": version, "provider": provider}


def _add_entry(writing: Writing, event: str, stated: JSON, actor: Actor) -> int:
    payload = Payload.create(
        EntryType.KEY,
        {
            "event": event,
            "actor": actor.name,
            "actor_role": actor.role,
            "object": stated,
        },
    )
    return writing.add(Event(SYSTEM_STREAM, payload))
