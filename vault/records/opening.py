"""Opening what was chosen: the last step of every disclosure, after its entry is durable and raised."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from consent import bodies
from consent.journal import VAULT
from vault.crypto.envelopes import ExpiryKey, RecordKey, SubjectKey
from vault.crypto.errors import CryptoError, ProviderRefusedError, UnsealError
from vault.crypto.journal import for_entry
from vault.records.choose import DOCUMENT, ChosenVersion
from vault.records.expiry_keys import gone_error
from vault.records.identities import VAULT_ITSELF
from vault.records.keys import VaultKeys
from vault.records.query import DisclosedRecord

_decode = msgspec.json.Decoder().decode


def open_record(
    chosen: ChosenVersion, subject_key: SubjectKey, expiry_key: ExpiryKey, source: str
) -> DisclosedRecord:
    """Opens exactly the chosen fields of one record version.

    Raises:
        UnsealError: the row was altered, moved or rolled back.
    """
    record = chosen.record
    key = RecordKey.unwrap(
        subject_key,
        record.record_id,
        record.version,
        expiry_key=expiry_key,
        wrapped=record.wrapped_key,
        key_check=record.key_check,
    )
    sealer = key.fields(record.category)
    values = {name: _decode(sealer.open(name, record.sealed[name])) for name in chosen.fields}
    return DisclosedRecord(
        category=record.category,
        source=source,
        document=values.pop(DOCUMENT, None),
        recorded_at=record.created_at,
        display_from=record.display_from,
        display_until=record.display_until,
        how_counted=record.how_counted,
        fields=values,
        annotations=chosen.annotations,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be opened of one person.

    Attributes:
        entry: Index of the log's entry that speaks of it; the provider keeps it with the unwrap.
    """

    subject_id: UUID
    wrapped_key: bytes
    versions: Sequence[ChosenVersion]
    entry: int


Opened = tuple[DisclosedRecord, ...]


class Opener:
    """Opens chosen record versions; a row that does not open spoils its own answer and no other.

    Args:
        keys: the vault's keys.
        engine: for the names of furnishing bodies, which hardly ever change and are remembered.
    """

    def __init__(self, keys: VaultKeys, engine: AsyncEngine) -> None:
        self._keys = keys
        self._engine = engine
        self._names: dict[UUID, str] = {VAULT_ITSELF: VAULT.name}

    async def open_all(self, wanted: Sequence[Wanted]) -> list[Opened | CryptoError]:
        """Opens everything wanted, each answer or the error that spoils it, in order.

        Raises:
            ProviderError: the provider does not answer; nothing was opened.
        """
        first = {one.subject_id: one for one in reversed(wanted)}
        subject_keys = await self._subject_keys(first)
        await self._keys.subject_keys_used(
            [(one.subject_id, for_entry(one.entry)) for one in wanted if one is not first[one.subject_id]]
        )
        versions = [version for one in wanted for version in one.versions]
        months = await self._load_months({version.record.expiry_id for version in versions})
        await self._learn_names({version.record.furnisher for version in versions})
        return [self._open(one, subject_keys[one.subject_id], months) for one in wanted]

    def _open(
        self, wanted: Wanted, key: SubjectKey | CryptoError, months: Mapping[int, ExpiryKey]
    ) -> Opened | CryptoError:
        if isinstance(key, CryptoError):
            return key
        try:
            return tuple(
                open_record(
                    version,
                    key,
                    _month_of(version, months),
                    self._names[version.record.furnisher],
                )
                for version in wanted.versions
            )
        except CryptoError as error:
            return error

    async def _subject_keys(self, wanted: Mapping[UUID, Wanted]) -> dict[UUID, SubjectKey | CryptoError]:
        rows = [(subject, one.wrapped_key) for subject, one in wanted.items()]
        purposes = [for_entry(one.entry) for one in wanted.values()]
        try:
            return {key.subject: key for key in await self._keys.subject_keys(rows, purposes)}
        except UnsealError:
            # A batch stands or falls as one: each by itself shows which row is bad.
            return {subject: await self._subject_key(one) for subject, one in wanted.items()}

    async def _subject_key(self, wanted: Wanted) -> SubjectKey | CryptoError:
        row = (wanted.subject_id, wanted.wrapped_key)
        try:
            return (await self._keys.subject_keys([row], [for_entry(wanted.entry)]))[0]
        except UnsealError as error:
            return error

    async def _load_months(self, months: Collection[int]) -> dict[int, ExpiryKey]:
        try:
            return await self._keys.expiry.load(months)
        except (UnsealError, ProviderRefusedError):
            found: dict[int, ExpiryKey] = {}
            for month in months:
                # What is missing afterwards is told where a record needs it.
                with suppress(UnsealError, ProviderRefusedError):
                    found |= await self._keys.expiry.load([month])
            return found

    async def _learn_names(self, furnishers: Collection[UUID]) -> None:
        if unknown := set(furnishers) - self._names.keys():
            async with self._engine.connect() as connection:
                self._names.update(await bodies.names(connection, unknown))


def _month_of(version: ChosenVersion, months: Mapping[int, ExpiryKey]) -> ExpiryKey:
    month = version.record.expiry_id
    if month not in months:
        raise gone_error(month)
    return months[month]
