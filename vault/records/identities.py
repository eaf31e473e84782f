"""Whose records these are: the number of each person, sealed beside the blind index they are found by.

An index is made under a key that may have to be replaced, and only the number makes it anew. So a person gets
their identity record in the transaction that makes them, whoever brought them; and who was made without one
gets it when next they are met.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from access_log.entry import EntryType
from access_log.log import Event, Log, Writing
from access_log.payload import Payload
from consent.journal import VAULT
from consent.permit import Person
from vault.catalogue import Catalogue
from vault.crypto.blind import Blind, Identifier
from vault.crypto.envelopes import ExpiryKey, SubjectKey
from vault.crypto.journal import for_job
from vault.records import store, subjects
from vault.records.keys import VaultKeys
from vault.records.sealing import FIRST_VERSION, NewRecord, RecordFrame, seal_record

IDENTITY: Final = "IDN"
ENROLLED: Final = "record enrolled"
SCHEME: Final = store.IDENTITY_MARK
"""The sealed field that holds the number's scheme, and marks the record that the vault itself keeps."""

NUMBER: Final = "number"
"""The sealed field that holds the number."""

VAULT_ITSELF: Final = UUID(int=0)
"""The furnisher of an identity that no body brought: the person signed in, or was named by another."""

_BASIS: Final = "IDCARD"


@dataclass(frozen=True, slots=True)
class Met:
    """Somebody the vault meets: their number, and the blind index they are found by."""

    identifier: Identifier
    blind: Blind


class IdentitySealer:
    """Seals identity records; none is ever shown, so they hang on a month that moves along.

    Args:
        keys: the vault's keys.
        catalogue: says in which month they end.
    """

    def __init__(self, keys: VaultKeys, catalogue: Catalogue) -> None:
        self._keys = keys
        self._catalogue = catalogue
        self._window = catalogue.display_window(IDENTITY, {}, None)

    @property
    def month(self) -> int:
        """The month (yyyymm) whose expiry key an identity record is sealed under now."""
        return self._catalogue.expiry_month(self._window, self._catalogue.today(datetime.now(UTC)))

    def seal(
        self,
        key: SubjectKey,
        expiry_key: ExpiryKey,
        identifier: Identifier,
        *,
        furnisher: UUID = VAULT_ITSELF,
        name: str | None = None,
    ) -> NewRecord:
        """Seals the identity record of a person under the key of `month`."""
        # There is one for each person, and nothing of the number may be guessed at beside the seal: reference
        # and content are the person's id.
        own = key.subject.bytes
        frame = RecordFrame(IDENTITY, furnisher, own, own, _BASIS, self._window)
        values: dict[str, object] = {NUMBER: identifier.number, SCHEME: identifier.scheme}
        if name is not None:
            values["name"] = name
        return seal_record(key, expiry_key, frame, values, record_id=uuid4(), version=FIRST_VERSION)

    async def seal_alone(self, key: SubjectKey, identifier: Identifier) -> NewRecord:
        """The same, outside of an enrolment.

        Raises:
            ProviderError: the key provider does not answer.
        """
        month = self.month
        return self.seal(key, (await self._keys.expiry.keys([month]))[month], identifier)


class Identities:
    """Persons who come by themselves, or are named by another: found, or made.

    Args:
        log: persons get their stream there.
        keys: and their key here.
        catalogue: the law.
    """

    def __init__(self, log: Log, keys: VaultKeys, catalogue: Catalogue) -> None:
        self._log = log
        self._keys = keys
        self._sealer = IdentitySealer(keys, catalogue)

    async def find_or_add(self, writing: Writing, met: Met) -> Person:
        """The person with this identifier, made if the vault knows nobody with it.

        What is added stands in their stream, before whatever the transaction writes next.

        Raises:
            ProviderError: the key provider does not answer; nothing was written.
        """
        place = (met.identifier.scheme, met.blind)
        known = (await store.known(writing.connection, [place])).get(place)
        if known is None:
            ((new, key),) = (await subjects.introduce(self._keys, [place])).values()
            await subjects.add(self._log, writing.connection, [new])
            person = new.person
        elif known.identified:
            return known.person
        else:
            person = known.person
            rows = [(person.subject_id, known.wrapped_key)]
            (key,) = await self._keys.subject_keys(rows, [for_job(f"identity.{uuid4()}")])
        record = await self._sealer.seal_alone(key, met.identifier)
        await store.add_records(writing.connection, [record])
        writing.add(Event(person.stream_id, _payload(person, record)))
        return person


def _payload(person: Person, record: NewRecord) -> Payload:
    return Payload.create(
        EntryType.RECORD,
        {
            "event": ENROLLED,
            "actor": VAULT.name,
            "actor_role": VAULT.role,
            "object": [[str(record.record_id), record.version, record.frame.category]],
            "basis": record.frame.basis,
            "key_checks": [record.key_check.hex()],
            "subject": str(person.subject_id),
        },
    )
