"""The vault's keys in use: what the provider unwraps, held for as long as this process lives.

Names at the provider: `root` wraps subject keys and system keys, `expiry-<yyyymm>` wraps one expiry key and
nothing else, `index` and `subject-hash` make MACs and never leave it.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vault.crypto.blind import Identifier
from vault.crypto.envelopes import (
    ExpiryKey,
    SubjectKey,
    expiry_key_aad,
    subject_key_aad,
    system_key_aad,
)
from vault.crypto.errors import UnsealError
from vault.crypto.journal import MONTH, START, Purpose
from vault.crypto.payloads import PayloadSealer
from vault.crypto.provider import KeyKind, KeyProvider, Mac
from vault.errors import VaultError

ROOT: Final = "root"
INDEX: Final = "index"
SUBJECT_HASH: Final = "subject-hash"
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
)
_KEY_SIZE: Final = 32
_VERSION: Final = 1

_READ_SYSTEM = text(
    "SELECT name, version, wrapped FROM vault.system_key WHERE version = :version AND name = ANY(:names)"
)
_ANY_SYSTEM = text("SELECT EXISTS (SELECT FROM vault.system_key)")
_READ_VERSION = text("SELECT wrapped FROM vault.system_key WHERE name = :name AND version = :version")
_ADD_SYSTEM = text(
    "INSERT INTO vault.system_key (name, version, wrapped) VALUES (:name, :version, :wrapped)"
    " ON CONFLICT DO NOTHING"
)
_READ_EXPIRY = text("SELECT expiry_id, wrapped FROM vault.expiry_key WHERE expiry_id = ANY(:ids)")
_ADD_EXPIRY = text(
    "INSERT INTO vault.expiry_key (expiry_id, wrapped) VALUES (:expiry_id, :wrapped) ON CONFLICT DO NOTHING"
)


class KeysMissingError(VaultError):
    """The database holds no keys of the system yet."""


class VaultKeys:
    """Every key this process needs, and the provider behind them."""

    def __init__(self, engine: AsyncEngine, provider: KeyProvider, system: dict[str, bytes]) -> None:
        self.provider = provider
        self._engine = engine
        self._system = system
        self._expiry: dict[int, ExpiryKey] = {}

    @staticmethod
    async def exist(engine: AsyncEngine) -> bool:
        """Whether the database holds keys of the system, which only the provider that wrapped them opens."""
        async with engine.connect() as connection:
            return bool((await connection.execute(_ANY_SYSTEM)).scalar_one())

    @staticmethod
    async def create(engine: AsyncEngine, provider: KeyProvider) -> None:
        """Makes what is missing of the first keys; harmless when repeated.

        Raises:
            ProviderError: the provider does not answer.
        """
        for name, kind in ((ROOT, KeyKind.WRAP), (INDEX, KeyKind.MAC), (SUBJECT_HASH, KeyKind.MAC)):
            if not await provider.versions(name):
                await provider.create(name, kind)
        async with engine.begin() as connection:
            for name in _SYSTEM_KEYS:
                await _add_system_key(connection, provider, name, _VERSION)

    @classmethod
    async def open(cls, engine: AsyncEngine, provider: KeyProvider) -> Self:
        """Unwraps the keys of the system.

        Raises:
            KeysMissingError: `create` was never run on this database.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        async with engine.connect() as connection:
            rows = (
                await connection.execute(_READ_SYSTEM, {"version": _VERSION, "names": list(_SYSTEM_KEYS)})
            ).all()
        if {row.name for row in rows} != set(_SYSTEM_KEYS):
            raise KeysMissingError("the database holds no keys yet: run `creditvault migrate`")
        plain = await provider.unwrap_many(
            ROOT,
            [(row.wrapped, system_key_aad(row.name, row.version)) for row in rows],
            [START] * len(rows),
        )
        return cls(engine, provider, {row.name: key for row, key in zip(rows, plain, strict=True)})

    def system(self, name: str) -> bytes:
        """One key of the system, 32 bytes."""
        return self._system[name]

    async def make_system_versions(self, names: Sequence[str], version: int) -> None:
        """Makes later versions of keys of the system, all or none; harmless when they are there.

        Raises:
            ProviderError: the provider does not answer.
        """
        async with self._engine.begin() as connection:
            for name in names:
                await _add_system_key(connection, self.provider, name, version)

    async def system_version(self, name: str, version: int) -> bytes:
        """One version of a key of the system, 32 bytes.

        Raises:
            KeysMissingError: it was never made.
            UnsealError: database and keyring do not belong together.
            ProviderError: the provider does not answer.
        """
        if version == _VERSION and name in self._system:
            return self._system[name]
        async with self._engine.connect() as connection:
            wrapped = (
                await connection.execute(_READ_VERSION, {"name": name, "version": version})
            ).scalar_one_or_none()
        if wrapped is None:
            raise KeysMissingError(
                f"the database holds no version {version} of the key {name}: restore vault.system_key"
            )
        return await self.provider.unwrap(ROOT, wrapped, system_key_aad(name, version), START)

    async def blind(self, identifiers: Sequence[Identifier]) -> list[Mac]:
        """Blind indexes, by which persons are found."""
        return await self.provider.mac_many(INDEX, [one.index_message() for one in identifiers])

    async def keyed_digests(self, messages: Sequence[bytes]) -> list[bytes]:
        """Digests that nobody without the index key can guess content against."""
        return [mac.value for mac in await self.provider.mac_many(INDEX, messages)]

    async def subject_hashes(self, identifiers: Sequence[Identifier]) -> list[bytes]:
        """Keyed hashes that tokens and authorizations carry in place of an identifier."""
        macs = await self.provider.mac_many(SUBJECT_HASH, [one.index_message() for one in identifiers])
        return [mac.value for mac in macs]

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

    async def expiry_keys(self, months: Iterable[int]) -> dict[int, ExpiryKey]:
        """The expiry keys of these months (yyyymm), made where there are none yet.

        Raises:
            ProviderError: the provider does not answer, or a month's key was destroyed.
        """
        wanted = set(months)
        await self.load_expiry_keys(wanted)
        if missing := wanted - self._expiry.keys():
            await self._make(missing)
            await self._load(missing)
        return {month: self._expiry[month] for month in wanted}

    async def load_expiry_keys(self, months: Iterable[int]) -> None:
        """Has the expiry keys of these months ready for `expiry_key`, as far as they still exist.

        Raises:
            ProviderError: the provider does not answer, or a month's key was destroyed.
            UnsealError: a wrapped key was altered.
        """
        if missing := set(months) - self._expiry.keys():
            await self._load(missing)

    def expiry_key(self, month: int) -> ExpiryKey:
        """An expiry key that was loaded before.

        Raises:
            UnsealError: there is none: the month has ended and its key was destroyed.
        """
        try:
            return self._expiry[month]
        except KeyError:
            raise UnsealError(f"the expiry key of {month} is gone") from None

    async def _load(self, months: Iterable[int]) -> None:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_READ_EXPIRY, {"ids": list(months)})).all()
        for month, wrapped in rows:
            key = await self.provider.unwrap(_expiry_name(month), wrapped, expiry_key_aad(month), MONTH)
            self._expiry[month] = ExpiryKey(month, key)

    async def _make(self, months: Iterable[int]) -> None:
        async with self._engine.begin() as connection:
            for month in sorted(months):
                await self.provider.create(_expiry_name(month))
                key = ExpiryKey.generate(month)
                wrapped = await self.provider.wrap(_expiry_name(month), key.key, expiry_key_aad(month))
                # Another worker may have been first: its key is the one that counts.
                await connection.execute(_ADD_EXPIRY, {"expiry_id": month, "wrapped": wrapped})


class LogSealer:
    """Seals the log's payloads until their retention ends; the log's own view of the vault's keys.

    Args:
        keys: the keys.
        origin: the log's origin.
        retention_years: how long payloads live (SZ 45, ZJ 20).
        zone: in which expiry months are counted.
    """

    def __init__(self, keys: VaultKeys, origin: str, retention_years: int, zone: ZoneInfo) -> None:
        self._keys = keys
        self._zone = zone
        self._retention = retention_years * 100
        self._sealer = PayloadSealer(
            keys.system(LOG_PAYLOAD), lambda month: keys.expiry_key(month).key, origin
        )

    async def prepare(self, time_ms: int) -> None:
        """Loads or makes the expiry key for entries of this time."""
        month = self._month(time_ms)
        await self._keys.expiry_keys([month])

    def seal(self, index: int, time_ms: int, plaintext: bytes) -> tuple[int, bytes]:
        """Seals the payload of the entry at `index`; returns its expiry id too."""
        month = self._month(time_ms)
        return month, self._sealer.seal(index, month, plaintext)

    async def open(self, index: int, expiry_id: int, sealed: bytes) -> bytes:
        """Opens the payload of the entry at `index`.

        Raises:
            UnsealError: it was altered or moved.
        """
        await self._keys.load_expiry_keys([expiry_id])
        return self._sealer.open(index, expiry_id, sealed)

    def _month(self, time_ms: int) -> int:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(self._zone)
        return moment.year * 100 + moment.month + self._retention


async def _add_system_key(
    connection: AsyncConnection, provider: KeyProvider, name: str, version: int
) -> None:
    wrapped = await provider.wrap(ROOT, os.urandom(_KEY_SIZE), system_key_aad(name, version))
    # Another process may have been first: its key is the one that counts.
    await connection.execute(_ADD_SYSTEM, {"name": name, "version": version, "wrapped": wrapped})


def _expiry_name(month: int) -> str:
    return f"expiry-{month}"
