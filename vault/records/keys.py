"""The vault's keys in use: what the provider unwraps, held for as long as this process lives.

Names at the provider: `root` wraps subject keys and system keys; `index` makes the blind indexes and never
leaves it; expiry keys have providers' keys of their own (`expiry_keys`). All others are keys of the system:
random, wrapped by the root key, opened once at the start.
"""

import hmac
import os
from collections.abc import Sequence
from typing import Final, Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.crypto.blind import Blind, Identifier
from vault.crypto.envelopes import SubjectKey, subject_key_aad, system_key_aad
from vault.crypto.errors import ProviderRefusedError
from vault.crypto.journal import START, Purpose
from vault.crypto.provider import MAKERS, KeyKind, KeyProvider, Mac
from vault.errors import VaultError
from vault.records import adopting, key_checks, key_versions
from vault.records.adopting import DIGEST, SUBJECT_HASH
from vault.records.announced import AnnouncedKeys
from vault.records.expiry_keys import ExpiryKeys
from vault.records.key_versions import retired_keys

ROOT: Final = "root"
INDEX: Final = "index"
LABEL_MASTER: Final = "label-master"
LOG_PAYLOAD: Final = "log-payload"
LOG_SIGNING: Final = "log-signing"
LOG_SIGNING_ML_DSA: Final = "log-signing-ml-dsa"
ROOTS_SIGNING: Final = "roots-signing"
TOKEN_SIGNING: Final = "token-signing"  # noqa: S105 -- a name
CONSENT_SIGNING: Final = "consent-signing"
PROOF_NONCE: Final = "proof-nonce"
_SYSTEM_KEYS: Final = (
    LABEL_MASTER,
    LOG_PAYLOAD,
    LOG_SIGNING,
    LOG_SIGNING_ML_DSA,
    ROOTS_SIGNING,
    TOKEN_SIGNING,
    CONSENT_SIGNING,
    PROOF_NONCE,
    DIGEST,
    SUBJECT_HASH,
)
ANNOUNCED: Final = (CONSENT_SIGNING, PROOF_NONCE)
"""Keys of the system whose later versions are announced before they are used."""
_KEY_SIZE: Final = 32
FIRST_VERSION: Final = 1
_PROBE: Final = b""

_READ_SYSTEM = text(
    "SELECT name, version, wrapped FROM vault.system_key WHERE version = :version AND name = ANY(:names)"
)
_ANY_SYSTEM = text("SELECT EXISTS (SELECT FROM vault.system_key)")
_NAMES = text("SELECT name FROM vault.system_key WHERE version = :version")
_READ_VERSION = text("SELECT wrapped FROM vault.system_key WHERE name = :name AND version = :version")
_ADD_SYSTEM = text(
    "INSERT INTO vault.system_key (name, version, wrapped, root_version)"
    " VALUES (:name, :version, :wrapped, :root_version) ON CONFLICT DO NOTHING"
)


class KeysMissingError(VaultError):
    """The database holds no keys of the system yet."""


class VaultKeys:
    """Every key this process needs, and the provider behind them."""

    def __init__(self, engine: AsyncEngine, provider: KeyProvider, system: dict[str, bytes]) -> None:
        self.provider = provider
        self._index_versions: tuple[int, ...] = ()
        self.engine = engine
        self._system = system
        self.expiry = ExpiryKeys(engine, provider)
        self.announced = AnnouncedKeys(engine, ANNOUNCED, self.system_version)

    @staticmethod
    async def exist(engine: AsyncEngine) -> bool:
        """Whether the database holds keys of the system, which only the provider that wrapped them opens."""
        async with engine.connect() as connection:
            return bool((await connection.execute(_ANY_SYSTEM)).scalar_one())

    @staticmethod
    async def needed(engine: AsyncEngine) -> list[str]:
        """The providers without which something in the database does not open."""
        async with engine.connect() as connection:
            return await key_versions.needed(connection)

    @staticmethod
    async def create(engine: AsyncEngine, provider: KeyProvider) -> None:
        """Makes what is missing of the first keys; harmless when repeated.

        Raises:
            KeysStayError: the vault is older than this release, and a key of its kind cannot be taken over.
            ProviderError: the provider does not answer.
        """
        for name, kind in ((ROOT, KeyKind.WRAP), (INDEX, KeyKind.MAC)):
            if not await provider.versions(name):
                await provider.create(name, kind)
        async with engine.begin() as connection:
            for name in (ROOT, INDEX):
                newest = (await provider.versions(name))[-1]
                await key_versions.begin(connection, name, newest, MAKERS[provider.maker])
            there = set((await connection.execute(_NAMES, {"version": FIRST_VERSION})).scalars())
            # What was made with these is kept: a vault that has other keys and not them had them elsewhere.
            missing = {DIGEST, SUBJECT_HASH} - there if there else set[str]()
            older = {name: await adopting.adopted(provider, name) for name in missing}
            for name in _SYSTEM_KEYS:
                await _add_system_key(connection, provider, name, FIRST_VERSION, older.get(name))

    @classmethod
    async def open(cls, engine: AsyncEngine, provider: KeyProvider) -> Self:
        """Unwraps the keys of the system.

        Raises:
            KeysMissingError: `create` was never run on this database.
            UnsealError: database and keyring do not belong together.
            KeyExchangedError: the index key is not the one that made the blind indexes.
            ProviderError: the provider does not answer.
        """
        async with engine.connect() as connection:
            rows = (
                await connection.execute(
                    _READ_SYSTEM, {"version": FIRST_VERSION, "names": list(_SYSTEM_KEYS)}
                )
            ).all()
        if {row.name for row in rows} != set(_SYSTEM_KEYS):
            raise KeysMissingError("the database holds no keys yet: run `creditvault migrate`")
        plain = await provider.unwrap_many(
            ROOT,
            [(row.wrapped, system_key_aad(row.name, row.version)) for row in rows],
            [START] * len(rows),
        )
        system = {row.name: key for row, key in zip(rows, plain, strict=True)}
        await key_checks.require_same(engine, provider, INDEX)
        opened = cls(engine, provider, system)
        await opened.announced.renew()
        return opened

    def system(self, name: str) -> bytes:
        """One key of the system, 32 bytes."""
        return self._system[name]

    async def make_system_versions(self, names: Sequence[str], version: int) -> None:
        """Makes later versions of keys of the system, all or none; harmless when they are there.

        Raises:
            ProviderError: the provider does not answer.
        """
        async with self.engine.begin() as connection:
            for name in names:
                await _add_system_key(connection, self.provider, name, version)

    async def system_version(self, name: str, version: int) -> bytes:
        """One version of a key of the system, 32 bytes.

        Raises:
            KeysMissingError: it was never made.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        if version == FIRST_VERSION and name in self._system:
            return self._system[name]
        async with self.engine.connect() as connection:
            wrapped = (
                await connection.execute(_READ_VERSION, {"name": name, "version": version})
            ).scalar_one_or_none()
        if wrapped is None:
            raise KeysMissingError(
                f"the database holds no version {version} of the key {name}: restore vault.system_key"
            )
        return await self.provider.unwrap(ROOT, wrapped, system_key_aad(name, version), START)

    async def blind(self, identifiers: Sequence[Identifier]) -> list[Blind]:
        """Blind indexes, by which persons are found: by every version of the index key that is left.

        What it costs does not depend on whether anybody is found.

        Raises:
            ProviderError: the provider does not answer.
        """
        if not identifiers:
            return []
        messages = [one.index_message() for one in identifiers]
        # The probe goes along, so that `are_newest` asks nobody while it holds the head lock.
        *newest, _ = await self.provider.mac_many(INDEX, [*messages, _PROBE])
        try:
            older = await self._older_macs(messages, newest[0].version)
        except ProviderRefusedError:
            # One of them was destroyed since this process asked which are left.
            self._index_versions = ()
            older = await self._older_macs(messages, newest[0].version)
        return [Blind(*mac, macs) for mac, macs in zip(newest, older, strict=True)]

    async def are_newest(self, blinds: Sequence[Blind]) -> bool:
        """Whether the newest version of the index key made these: older ones do not find who was moved to it.

        Raises:
            ProviderError: the provider does not answer.
        """
        newest = await self.provider.mac(INDEX, _PROBE)
        return all(one.version == newest.version for one in blinds)

    async def _older_macs(self, messages: Sequence[bytes], newest: int) -> list[tuple[Mac, ...]]:
        if newest not in self._index_versions:
            self._index_versions = await self.provider.versions(INDEX)
        older = [version for version in reversed(self._index_versions) if version < newest]
        if not older:
            return [()] * len(messages)
        return list(zip(*[await self.provider.mac_many(INDEX, messages, one) for one in older], strict=True))

    def keyed_digests(self, messages: Sequence[bytes]) -> list[bytes]:
        """Digests that nobody without their key can guess content against. They are never made anew."""
        key = self._system[DIGEST]
        return [hmac.digest(key, message, "sha256") for message in messages]

    def subject_hashes(self, identifiers: Sequence[Identifier]) -> list[bytes]:
        """Keyed hashes that tokens and authorizations carry in place of an identifier."""
        key = self._system[SUBJECT_HASH]
        return [hmac.digest(key, one.index_message(), "sha256") for one in identifiers]

    async def new_subject_keys(self, subjects: Sequence[UUID]) -> list[tuple[SubjectKey, bytes]]:
        """New subject keys, each with its wrapped form."""
        keys = [SubjectKey.generate(subject) for subject in subjects]
        wrapped = await self.provider.wrap_many(
            ROOT, [(key.key, subject_key_aad(key.subject)) for key in keys]
        )
        return list(zip(keys, wrapped, strict=True))

    async def subject_keys(
        self, rows: Sequence[tuple[UUID, bytes]], purposes: Sequence[Purpose]
    ) -> list[SubjectKey]:
        """Unwraps subject keys, given as (subject id, wrapped), each for its purpose.

        Raises:
            UnsealError: one was altered or moved.
            ProviderError: the provider does not answer.
        """
        plain = await self.provider.unwrap_many(
            ROOT, [(wrapped, subject_key_aad(subject)) for subject, wrapped in rows], purposes
        )
        return [SubjectKey(subject, key) for (subject, _), key in zip(rows, plain, strict=True)]

    async def subject_keys_used(self, uses: Sequence[tuple[UUID, Purpose]]) -> None:
        """Has the provider keep that keys of these persons, unwrapped before, serve further purposes.

        Raises:
            ProviderError: it could not be kept: then nothing they open may be released.
        """
        await self.provider.used(ROOT, [(subject_key_aad(subject), purpose) for subject, purpose in uses])


async def _add_system_key(
    connection: AsyncConnection, provider: KeyProvider, name: str, version: int, key: bytes | None = None
) -> None:
    secret = os.urandom(_KEY_SIZE) if key is None else key
    wrapped = await provider.wrap(ROOT, secret, system_key_aad(name, version))
    # Another process may have been first: its key is the one that counts.
    with retired_keys():
        await connection.execute(
            _ADD_SYSTEM,
            {
                "name": name,
                "version": version,
                "wrapped": wrapped,
                "root_version": provider.version_of(wrapped),
            },
        )
