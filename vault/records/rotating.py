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

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import Payload
from consent.journal import Actor
from vault.crypto.provider import KeyKind
from vault.errors import VaultError
from vault.records import key_checks, key_versions
from vault.records.key_versions import Held, KeyVersion
from vault.records.keys import INDEX, ROOT, VaultKeys

_KINDS: Final = {ROOT: KeyKind.WRAP, INDEX: KeyKind.MAC}


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
        ProviderError: the provider does not answer.
        AccessLogError: the log cannot append; do it again.
    """
    async with log.engine.connect() as connection:
        in_use = await key_versions.in_use(connection, name)
        known = [one for one in await key_versions.every(connection) if one.name == name]
    newest = (await keys.provider.versions(name))[-1]
    if newest <= in_use:
        if not another and any(one.retired_at and not one.emptied_at for one in known):
            return Rotation(name, in_use, None)
        newest = await keys.provider.create(name, _KINDS[name])
    if _KINDS[name] is KeyKind.MAC:
        async with log.engine.begin() as connection:
            await key_checks.keep(connection, keys.provider, name, newest)
    # Nobody may still use the one before when it is retired: what they make would be refused, and whoever was
    # moved to the new one would not be found.
    await asyncio.sleep(keys.provider.lag)
    async with log.writing() as writing:
        # Another process may have been first: one entry is enough for both.
        if not await key_versions.replace(writing.connection, name, newest):
            return Rotation(name, await key_versions.in_use(writing.connection, name), None)
        position = _add_entry(writing, "key.rotated", name, newest, actor)
    return Rotation(name, newest, writing.indexes[position])


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
        RotationError: it is unknown, in use, holds something, or backups may need it.
        ProviderError: it is logged, but the provider did not destroy it yet; do it again.
        AccessLogError: the log cannot append; nothing was destroyed.
    """
    entry = None
    async with log.engine.begin() as connection:
        holding = await key_versions.note_emptied(connection, name)
    async with log.writing() as writing:
        found = await key_versions.read(writing.connection, name, version)
        if found is None or found.destroyed_at is None:
            _require_unneeded(writing, name, version, found, holding, backups_kept=backups_kept)
            await key_versions.note_destroyed(writing.connection, name, version)
            entry = _add_entry(writing, "key.destroyed", name, version, actor)
    await keys.provider.destroy(name, version)
    return None if entry is None else writing.indexes[entry]


def _require_unneeded(
    writing: Writing,
    name: str,
    version: int,
    found: KeyVersion | None,
    holding: Sequence[Held],
    *,
    backups_kept: timedelta,
) -> None:
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


def _add_entry(writing: Writing, event: str, name: str, version: int, actor: Actor) -> int:
    payload = Payload.create(
        EntryType.KEY,
        {
            "event": event,
            "actor": actor.name,
            "actor_role": actor.role,
            "object": {"key": name, "version": version},
        },
    )
    return writing.add(Event(SYSTEM_STREAM, payload))
