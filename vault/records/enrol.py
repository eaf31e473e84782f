"""The one door in. What passed `submission` is sealed, logged and stored, or nothing of it is.

A chunk of rows goes in two steps, because sealing is slow and the log's head lock is everybody's:

    1  without the lock: persons and references are looked up, every row is sealed
    2  under the lock: the same is looked up again; where it stands as before, all rows of the chunk are
       written with one entry each, and one commit; where another writer was faster, step 1 is done again

What becomes of a row whose reference stands already, `references` says. Rows that come as a whole stand or
fall together: where one is turned away, none is written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.errors import LogUnavailableError
from access_log.log import Event, Log, Writing
from access_log.payload import Payload
from consent.permit import Person
from vault.catalogue import Catalogue
from vault.crypto.blind import Blind, Identifier
from vault.crypto.envelopes import SubjectKey
from vault.crypto.journal import for_job
from vault.records import quality, store, subjects
from vault.records.choose import DOCUMENT
from vault.records.identities import ENROLLED, IdentitySealer
from vault.records.key_versions import RetiredKeyError
from vault.records.keys import VaultKeys
from vault.records.quality import Counts, Measure
from vault.records.references import Held, Refusal, take
from vault.records.sealing import NewRecord, RecordFrame, seal_record
from vault.records.store import NewSubject, Place
from vault.records.submission import Accepted, Notice, Rejected, Submission

CHUNK: Final = 256
SUPERSEDED: Final = "record superseded"
_ATTEMPTS: Final = 8
_REFERENCE, _NOTICE, _CONSENT, _SUPERSEDES = "_reference", "_notice", "_consent", "_supersedes"


@dataclass(frozen=True, slots=True)
class Furnisher:
    """On whose behalf records come in, and who acts: stands in every entry."""

    body_id: UUID
    actor: str
    actor_role: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A row that stands in the vault.

    Attributes:
        new: False where it stood already, with the same content.
        receipt: of its entry; None where it stood already.
    """

    line: int
    new: bool
    receipt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Passed:
    """A row that may be enrolled, and was not: it came as part of a whole, or is only looked at."""

    line: int


RowResult = Enrolled | Passed | Rejected


class Guard(Protocol):
    """A last check under the head lock; what it raises ends the transaction with nothing written."""

    async def __call__(self, writing: Writing) -> None:
        """Checks, in the chunk's transaction."""

    def committed(self) -> None:
        """Learns that what the check wrote is durable."""


class Earlier(Protocol):
    """What rows that were only looked at would make stand."""

    async def held(self, references: Sequence[bytes]) -> Mapping[bytes, Held]:
        """Those of these references."""

    async def keep(self, made: Mapping[bytes, Held]) -> None:
        """Adds what more rows would make stand."""


class _ChangedError(Exception):
    """Another writer was faster between the two steps."""


@dataclass(frozen=True, slots=True)
class _Row:
    """An accepted row beside what it is found by."""

    accepted: Accepted
    identifier: Identifier
    blind: Blind
    reference: bytes
    content: bytes

    @property
    def place(self) -> Place:
        """Where its person is found."""
        return self.identifier.scheme, self.blind


@dataclass(frozen=True, slots=True)
class _Standing:
    """What stood when a chunk was looked up: persons by blind index, records by reference."""

    persons: dict[Place, store.Known]
    held: dict[bytes, Held]

    def owner(self, row: _Row) -> bytes:
        """Whose a row is: a person's id, or for one not known yet, where they will be found."""
        known = self.persons.get(row.place)
        if known is not None:
            return known.person.subject_id.bytes
        scheme, blind = row.place
        return f"{scheme}\0".encode() + blind.value


@dataclass(slots=True)
class _Sealed:
    """A chunk, sealed and ready to be written; events by the row they belong to."""

    subjects: list[NewSubject] = field(default_factory=list)
    records: list[NewRecord] = field(default_factory=list)
    events: dict[int, Event] = field(default_factory=dict)
    results: dict[int, RowResult] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counter)


class Enrolment:
    """Takes accepted submissions in. One per process.

    Args:
        log: the open log.
        keys: the vault's keys.
        catalogue: the law that the submissions were checked against.
    """

    def __init__(self, log: Log, keys: VaultKeys, catalogue: Catalogue) -> None:
        self._log = log
        self._keys = keys
        self._catalogue = catalogue
        self._identities = IdentitySealer(keys, catalogue)

    async def enrol(
        self,
        accepted: Sequence[Accepted],
        furnisher: Furnisher,
        guard: Guard | None = None,
        *,
        rejected: Mapping[str, int] | None = None,
        whole: bool = False,
    ) -> list[RowResult]:
        """Seals, logs and stores rows in one transaction; call it once for each chunk.

        Args:
            accepted: rows that passed every rule of SUBMISSION.md but those of the vault.
            furnisher: on whose behalf.
            guard: checked under the head lock before anything is written.
            rejected: how many rows beside them were turned away, by rule: counted with this chunk.
            whole: enrol all of them, or none where any row is turned away.

        Returns:
            What became of each row, in order.

        Raises:
            AccessLogError: the log cannot append; nothing of this chunk stands, or all of it does and a
                retry will find it.
            CryptoError: keys cannot be used now; nothing of this chunk stands.
        """
        await self._keys.provider.health()
        for _ in range(_ATTEMPTS):
            rows = await self._identify(accepted, furnisher)
            async with self._log.engine.connect() as connection:
                standing = await self._look_up(connection, rows, furnisher)
            sealed = await self._seal(rows, standing, furnisher, Counter(rejected), whole=whole)
            try:
                async with self._log.writing() as writing:
                    if guard is not None:
                        await guard(writing)
                    if await self._look_up(writing.connection, rows, furnisher) != standing:
                        raise _ChangedError  # noqa: TRY301 -- leaves the transaction, nothing written
                    positions = await self._write(writing, sealed, furnisher)
            except (_ChangedError, RetiredKeyError):
                continue
            if guard is not None:
                guard.committed()
            for at, position in positions.items():
                line = rows[at].accepted.line
                sealed.results[at] = Enrolled(line, new=True, receipt=writing.receipts[position])
            return [sealed.results[at] for at in range(len(rows))]
        raise LogUnavailableError("other writers change the same persons too fast; try again")

    async def examine(
        self,
        connection: AsyncConnection,
        accepted: Sequence[Accepted],
        furnisher: Furnisher,
        earlier: Earlier,
    ) -> list[RowResult]:
        """What would become of rows if they were enrolled now; nothing is written.

        Args:
            connection: to the vault's database.
            accepted: rows that passed every rule of SUBMISSION.md but those of the vault.
            furnisher: on whose behalf.
            earlier: what the rows before them would make stand.

        Raises:
            ProviderError: the key provider does not answer.
        """
        rows = await self._identify(accepted, furnisher)
        standing = await self._look_up(connection, rows, furnisher)
        standing.held.update(await earlier.held([row.reference for row in rows]))
        sealed = _Sealed()
        fresh = _fresh(rows, standing, sealed)
        await earlier.keep({rows[at].reference: held for at, held in fresh.items()})
        sealed.results |= {at: Passed(rows[at].accepted.line) for at in fresh}
        return [sealed.results[at] for at in range(len(rows))]

    async def _identify(self, accepted: Sequence[Accepted], furnisher: Furnisher) -> list[_Row]:
        identifiers = [
            Identifier(one.submission.identifier.scheme, one.submission.identifier.number) for one in accepted
        ]
        blinds = await self._keys.blind(identifiers)
        prefix = b"furnisher reference v1\0" + furnisher.body_id.bytes
        references = self._keys.keyed_digests(
            [prefix + one.submission.furnisher_reference.encode() for one in accepted]
        )
        contents = self._keys.keyed_digests(
            [b"submission v1\0" + one.submission.encode() for one in accepted]
        )
        return [
            _Row(*parts) for parts in zip(accepted, identifiers, blinds, references, contents, strict=True)
        ]

    async def _look_up(
        self, connection: AsyncConnection, rows: Sequence[_Row], furnisher: Furnisher
    ) -> _Standing:
        return _Standing(
            await store.known(connection, {row.place for row in rows}),
            await store.held(connection, furnisher.body_id, {row.reference for row in rows}),
        )

    async def _seal(
        self,
        rows: Sequence[_Row],
        standing: _Standing,
        furnisher: Furnisher,
        rejected: Counter[str],
        *,
        whole: bool,
    ) -> _Sealed:
        """Step 1: everything that costs time."""
        sealed = _Sealed()
        fresh = _fresh(rows, standing, sealed)
        rejected.update(one.rule for one in sealed.results.values() if isinstance(one, Rejected))
        sealed.counts.update({(Measure.REJECTED, rule): number for rule, number in rejected.items()})
        if whole and rejected:
            sealed.results |= {at: Passed(rows[at].accepted.line) for at in fresh}
            return sealed
        today = self._catalogue.today(datetime.now(UTC))
        months = {at: self._catalogue.expiry_month(rows[at].accepted.window, today) for at in fresh}
        identity_month = self._identities.month
        expiry = await self._keys.expiry.keys({*months.values(), identity_month})
        persons = await self._persons([rows[at] for at in fresh], standing, sealed)
        identified = {place for place, one in standing.persons.items() if one.identified}
        for at, held in fresh.items():
            row = rows[at]
            person, key = persons[row.place]
            submission = row.accepted.submission
            sealed.counts.update(quality.of_version(submission, today))
            added = [
                seal_record(
                    key,
                    expiry[months[at]],
                    RecordFrame(
                        submission.category,
                        furnisher.body_id,
                        row.reference,
                        row.content,
                        submission.basis,
                        row.accepted.window,
                    ),
                    _values(submission),
                    record_id=held.record_id,
                    version=held.version,
                )
            ]
            if row.place not in identified:
                identified.add(row.place)
                identity = self._identities.seal(
                    key,
                    expiry[identity_month],
                    row.identifier,
                    furnisher=furnisher.body_id,
                    name=submission.name,
                )
                added.append(identity)
            sealed.records += added
            sealed.events[at] = _event(person, submission, furnisher, added)
        return sealed

    async def _persons(
        self, rows: Iterable[_Row], standing: _Standing, sealed: _Sealed
    ) -> dict[Place, tuple[Person, SubjectKey]]:
        """The persons of the rows with their keys; the unknown ones are new from here on."""
        places = {row.place for row in rows}
        known = {place: standing.persons[place] for place in places if place in standing.persons}
        # The entries of a chunk are not there yet: it is a job, and each has one entry for each record.
        job = for_job(f"enrol.{uuid4()}")
        keys = await self._keys.subject_keys(
            [(one.person.subject_id, one.wrapped_key) for one in known.values()], [job] * len(known)
        )
        persons = {place: (one.person, key) for (place, one), key in zip(known.items(), keys, strict=True)}
        new = places - known.keys()
        for place, (subject, key) in (await subjects.introduce(self._keys, new)).items():
            sealed.subjects.append(subject)
            persons[place] = (subject.person, key)
        return persons

    async def _write(self, writing: Writing, sealed: _Sealed, furnisher: Furnisher) -> dict[int, int]:
        """Step 2: the rows of the chunk, and one entry each; returns the position of each row's event."""
        today = self._catalogue.today(writing.now)
        await quality.count(writing.connection, furnisher.body_id, today, sealed.counts)
        await subjects.add(self._log, writing.connection, sealed.subjects)
        if sealed.records:
            await store.add_records(writing.connection, sealed.records)
        return {at: writing.add(event) for at, event in sealed.events.items()}


def _fresh(rows: Sequence[_Row], standing: _Standing, sealed: _Sealed) -> dict[int, Held]:
    """What each row that is to be written makes stand; the others get their result here."""
    held = dict(standing.held)
    fresh: dict[int, Held] = {}
    for at, row in enumerate(rows):
        line = row.accepted.line
        taken = take(row.accepted.submission, row.content, standing.owner(row), held.get(row.reference))
        if taken is None:
            sealed.results[at] = Enrolled(line, new=False)
        elif isinstance(taken, Refusal):
            sealed.results[at] = Rejected(line, *taken)
        else:
            fresh[at] = held[row.reference] = taken
    return fresh


def _values(submission: Submission) -> dict[str, object]:
    """What is sealed of a submission: its fields, and behind an underscore what supports them."""
    values: dict[str, object] = {**submission.plain_fields(), _REFERENCE: submission.furnisher_reference}
    if (document := submission.document) is not None:
        values[DOCUMENT] = {
            "number": document.number,
            "date": document.date.isoformat(),
            "sha256": document.sha256,
        }
    if isinstance(submission.notice, Notice):
        values[_NOTICE] = {"date": submission.notice.date.isoformat(), "proof": submission.notice.proof}
    elif submission.notice is not None:
        values[_NOTICE] = {"exemption": submission.notice.code}
    if (consent := submission.consent) is not None:
        values[_CONSENT] = {
            "reference": consent.reference,
            "date": consent.date.isoformat(),
            "warning": consent.warning,
        }
    if (supersedes := submission.supersedes) is not None:
        values[_SUPERSEDES] = {"version": supersedes.version, "reason": supersedes.reason}
    return values


def _event(person: Person, submission: Submission, furnisher: Furnisher, added: Sequence[NewRecord]) -> Event:
    payload = Payload.create(
        EntryType.RECORD,
        {
            "event": ENROLLED if submission.supersedes is None else SUPERSEDED,
            "actor": furnisher.actor,
            "actor_role": furnisher.actor_role,
            "body": str(furnisher.body_id),
            "object": [[str(one.record_id), one.version, one.frame.category] for one in added],
            "basis": submission.basis,
            "document": submission.document.sha256 if submission.document is not None else None,
            "key_checks": [one.key_check.hex() for one in added],
            "subject": str(person.subject_id),
        },
    )
    return Event(person.stream_id, payload)
