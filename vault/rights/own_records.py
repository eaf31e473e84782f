"""My own records: a person's view of everything held about them, logged like every other opening."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from access_log.entry import EntryType
from access_log.log import Event, Log, Writing
from access_log.payload import Payload
from consent import mandates
from consent.journal import Actor
from consent.mandates import Mandate
from consent.permit import Annotation
from vault.crypto.errors import CryptoError
from vault.records import store
from vault.records.choose import ChosenVersion
from vault.records.keys import VaultKeys
from vault.records.opening import Opener, Wanted
from vault.records.query import DisclosedRecord
from vault.records.store import SealedRecord, SubjectRow

_BEHIND = "_"
"""What begins so supports a record and is no field of the catalogue."""


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """One record as the person it is about sees it, shown or not shown to others.

    Attributes:
        state: shown, held, repaired, annulled or sealed.
        basis: what allowed its collection.
        record: with the catalogue's fields.
        supporting: what came with them and is shown to nobody else: the furnisher's reference, the proof of
            notice, the warned consent.
        identity: under which of the person's identities it is held.
        receipt: of the entry that states this view in the stream of that identity.
    """

    record_id: UUID
    version: int
    state: str
    basis: str
    record: DisclosedRecord
    supporting: Mapping[str, Any]
    identity: UUID
    receipt: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Records of one identity, about to be opened: their view stands in the transaction that read them.

    Attributes:
        position: of the view's entry in that transaction.
    """

    wanted: tuple[UUID, bytes, tuple[ChosenVersion, ...]]
    position: int


async def own_records(
    log: Log, keys: VaultKeys, subject_id: UUID, mandate: Mandate | None = None
) -> tuple[list[OwnRecord], str | None]:
    """Everything held about a person, and the receipt of this view; an unknown person has neither.

    The view stands in the stream of each identity the person is joined with, too. A mandate reaches the one
    that gave it (RULES 13.5).

    A record whose display has ended, and whose month's key is destroyed, is held no more, whether or not its
    ciphertexts were removed yet.

    Args:
        log: the log.
        keys: open the records.
        subject_id: who they are about.
        mandate: under which a representative looks; None where the person does.

    Raises:
        StateError: the mandate does not stand.
        AccessLogError: the log cannot append; nothing was opened.
        CryptoError: keys cannot be used now, or a record does not open.
    """
    await keys.provider.health()
    alone = mandate is not None
    gone = await months_gone(log, keys, subject_id, alone=alone)
    async with log.writing() as writing:
        if mandate is not None:
            await mandates.require_standing(writing, mandate)
        actor = Actor(str(subject_id), "subject") if mandate is None else mandate.actor
        listed = await list_records(writing, subject_id, actor, gone, alone=alone)
        if not listed:
            return [], None
    # The view is in the log, durable and raised: only now are the records opened.
    return await open_records(log, keys, listed, writing), writing.receipts[listed[0].position]


async def list_records(
    writing: Writing, subject_id: UUID, actor: Actor, gone: Collection[int], *, alone: bool = False
) -> list[Listed]:
    """Reads which records there are, and writes down that somebody looks; nothing for an unknown person.

    Args:
        writing: the transaction.
        subject_id: who they are about.
        actor: who looks.
        gone: as `months_gone` found before it.
        alone: without the identities they are joined with.

    Returns:
        Of each identity, the person's own first.
    """
    rows = await store.identities(writing.connection, subject_id, alone=alone)
    return [await _listed(writing, row, actor if row is rows[0] else actor.elsewhere, gone) for row in rows]


async def _listed(writing: Writing, row: SubjectRow, actor: Actor, gone: Collection[int]) -> Listed:
    subject_id = row.person.subject_id
    records = [
        each
        for each in await store.own(writing.connection, subject_id)
        if each.expiry_id not in gone or not _over(each, writing.now.date())
    ]
    opened = tuple(ChosenVersion(record, tuple(record.sealed), _no_annotations()) for record in records)
    payload = Payload.create(
        EntryType.RIGHTS,
        {
            "event": "own records viewed",
            "actor": actor.name,
            "actor_role": actor.role,
            "object": [[str(one.record.record_id), one.record.version] for one in opened],
            "subject": str(subject_id),
        },
    )
    position = writing.add(Event(row.person.stream_id, payload))
    return Listed((subject_id, row.wrapped_key, opened), position)


async def open_records(
    log: Log, keys: VaultKeys, listed: Sequence[Listed], written: Writing
) -> list[OwnRecord]:
    """Opens what was listed, after its transaction.

    Raises:
        CryptoError: keys cannot be used now, or a record does not open.
    """
    wanted = [Wanted(*each.wanted, written.indexes[each.position]) for each in listed]
    opened: list[OwnRecord] = []
    for each, found in zip(listed, await Opener(keys, log.engine).open_all(wanted), strict=True):
        if isinstance(found, CryptoError):
            raise found
        subject_id, _, versions = each.wanted
        receipt = written.receipts[each.position]
        opened += [
            _own(one, record, subject_id, receipt) for one, record in zip(versions, found, strict=True)
        ]
    return opened


async def months_gone(log: Log, keys: VaultKeys, subject_id: UUID, *, alone: bool = False) -> set[int]:
    """The months on which records of this person hang and whose keys are gone."""
    months: set[int] = set()
    async with log.engine.connect() as connection:
        for row in await store.identities(connection, subject_id, alone=alone):
            months |= await store.own_months(connection, row.person.subject_id)
    return months - (await keys.expiry.load(months)).keys()


def _over(record: SealedRecord, today: date) -> bool:
    """Whether its display has ended; its month was over for days, everywhere, when its key was destroyed."""
    return record.display_until is not None and record.display_until < today


def _own(chosen: ChosenVersion, record: DisclosedRecord, identity: UUID, receipt: str) -> OwnRecord:
    fields = {name: value for name, value in record.fields.items() if not name.startswith(_BEHIND)}
    supporting = {
        name.removeprefix(_BEHIND): value for name, value in record.fields.items() if name.startswith(_BEHIND)
    }
    stored = chosen.record
    return OwnRecord(
        stored.record_id,
        stored.version,
        stored.state,
        stored.basis,
        replace(record, fields=fields),
        supporting,
        identity,
        receipt,
    )


def _no_annotations() -> tuple[Annotation, ...]:
    """Objections and statements come with the right to object."""
    return ()
