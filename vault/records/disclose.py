"""The one door for plaintext. RULES.md says who may pass; this file says in which order things happen.

For a batch of queries that arrived within a few milliseconds, in one transaction:

    1  the log's head row is locked
    2  persons, sealed records and live state are read: all see the same moment
    3  the proofs are recorded; a repeated one or a revoked token is turned away without an entry, and so
       is who asks too fast
    4  each query is decided, charged and put in line as an entry, with the exact record versions to open,
       and its companions behind it (companions.py)
    5  commit, sign, raise the outside lock                (access_log.log)
    6  only now are keys unwrapped and the permitted fields opened

If anything fails up to 5, nothing is opened. If 6 fails for a query, its answer is withheld, and an entry of
type 10 follows that says so and gives the use back.
"""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import requests
from access_log.batch import Batcher
from access_log.entry import Entry, EntryType
from access_log.errors import AccessLogError
from access_log.log import NOT_FOUND_STREAM, Event, Log, RequestMark, Writing
from access_log.payload import Party, Payload
from access_log.requests import EarlierRequest
from consent import state
from consent.decide import decide
from consent.facts import DelayedNotice, State
from consent.notice import delayed_notice
from consent.oauth.replay import record_proofs, revoked
from consent.permit import Permit, QueryRequest, Refusal
from consent.rates import Rates
from vault.catalogue.catalogue import Catalogue
from vault.crypto.errors import CryptoError
from vault.records import covert, store
from vault.records.choose import NOTHING, Choice, category_of, choose
from vault.records.companions import Companion, companion_id, earlier_companions, versions_of
from vault.records.flags import raise_flags
from vault.records.keys import VaultKeys
from vault.records.neighbours import Neighbours
from vault.records.opening import Opened, Opener, Wanted
from vault.records.owed import Owed, Unreleased
from vault.records.query import (
    REPEATED_PROOF,
    REVOKED_TOKEN,
    Answer,
    KeyReused,
    LogProof,
    Outcome,
    Query,
    Refused,
    TooFast,
    TurnedAway,
)
from vault.records.store import Place
from vault.records.watch import Flag

REPEAT_WINDOW = timedelta(minutes=10)
_ASKED: Final = b"query v1\0"
_REPEAT_KEY: Final = b"idempotency key v1\0"
_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query, and the MACs by which it finds whom and what it is about."""

    query: Query
    subject_hash: bytes
    place: Place
    mark: RequestMark


@dataclass(slots=True)
class _Pending:
    """A query on its way through the batch; each step fills in what it found."""

    query: Query
    request: QueryRequest
    found: store.Found | None
    mark: RequestMark
    turned_away: TurnedAway | None = None
    earlier: EarlierRequest | None = None
    decision: Permit | Refusal | None = None
    officer_role: str = ""
    charge: state.Charge | None = None
    choice: Choice = NOTHING
    covert_stream: bytes | None = None
    position: int | None = None
    entry: int | None = None
    proof: LogProof | None = None
    companions: list[Companion] = field(default_factory=list)
    opened: Opened = ()
    failure: CryptoError | AccessLogError | None = None

    @property
    def stream(self) -> bytes:
        """The stream its entry belongs to (access_log FORMAT 3)."""
        if self.covert_stream is not None:
            return self.covert_stream
        return self.found.person.stream_id if self.found is not None else NOT_FOUND_STREAM

    @property
    def wanted(self) -> list[Wanted]:
        """What is to be opened, of each identity."""
        own: list[Wanted] = []
        if self.found is not None and self.entry is not None and self.choice.opened:
            subject_id = self.found.person.subject_id
            own = [Wanted(subject_id, self.found.wrapped_key, self.choice.opened, self.entry)]
        return own + [wanted for one in self.companions if (wanted := one.wanted) is not None]

    @property
    def owed(self) -> list[Unreleased]:
        """What is owed if it is not released: only what was permitted and charged now, not a repeat."""
        if self.charge is None:
            return []
        query, person = self.query, self.request.subject_id
        return [
            Unreleased(query.request_id, query.body_id, person, self.stream, self.charge),
            # Charged once: with a companion nothing is given back.
            *(
                Unreleased(one.request_id, query.body_id, one.subject_id, one.stream, state.Charge())
                for one in self.companions
            ),
        ]


class Disclosure:
    """Answers queries. One per worker process.

    Args:
        log: the open log.
        keys: the vault's keys.
        catalogue: which fields are open to whom, and what is never shown.
        rates: how fast bodies and officers may ask.
        neighbours: watches the identity numbers asked about.
        window: seconds a first query waits for others.
        most: most queries in one transaction.
    """

    def __init__(
        self,
        log: Log,
        keys: VaultKeys,
        catalogue: Catalogue,
        rates: Rates,
        neighbours: Neighbours,
        *,
        window: float,
        most: int,
    ) -> None:
        self._log = log
        self._rates = rates
        self._neighbours = neighbours
        self._flagging: set[asyncio.Task[None]] = set()
        self._waits: dict[tuple[UUID, UUID], float] = {}
        self._keys = keys
        self._catalogue = catalogue
        self._never_shown = frozenset(
            code for code, category in catalogue.categories.items() if category.display.rule == "never"
        )
        self._batches: Batcher[Query, Outcome] = Batcher(self._answer_batch, window=window, most=most)
        self._owed = Owed(lambda: self._answer_batch([]))
        self._opener = Opener(keys, log.engine)
        self._turns: WeakValueDictionary[tuple[UUID, bytes], asyncio.Lock] = WeakValueDictionary()

    async def answer(self, query: Query) -> Outcome:
        """Decides, logs and answers one query, together with those that arrive beside it.

        Raises:
            AccessLogError: the log cannot append or release; nothing was opened.
            CryptoError: keys cannot be used now, or a record does not open; nothing was released.
        """
        wait = self._must_wait(query)
        if wait is not None:
            return wait
        if query.repeat_key is None:
            return await self._batches.ask(query)
        # Requests under one key take turns, so that the second finds what became of the first.
        turn = self._turns.setdefault((query.body_id, query.repeat_key), asyncio.Lock())
        async with turn:
            return await self._batches.ask(query)

    def _must_wait(self, query: Query) -> TooFast | None:
        """Who was told to wait is not heard before: a flood takes no transaction and no lock."""
        now = monotonic()
        for place in ((query.body_id, query.body_id), (query.body_id, query.officer_id)):
            until = self._waits.get(place)
            if until is not None and until > now:
                return TooFast(until - now)
            self._waits.pop(place, None)
        return None

    async def _answer_batch(self, queries: Sequence[Query]) -> Sequence[Outcome | Exception]:
        # The provider is asked before anything is appended: what cannot be answered is not logged. So are the
        # MACs: a provider may be a network away, and the head lock holds up everybody.
        asked, _ = await asyncio.gather(self._known_by(queries), self._keys.provider.health())
        pending: list[_Pending] = []
        owed = self._owed.standing()
        try:
            async with self._log.writing() as writing:
                await self._decide_all(writing, asked, owed, pending)
        except BaseException:
            # The commit may have passed; what it permitted was not released.
            self._owed.add(each for one in pending for each in one.owed)
            raise
        self._owed.written(owed)
        for one in pending:
            if one.position is not None:
                opening = writing.payloads[one.position].opening(Party.BODY)
                one.proof = LogProof(writing.receipts[one.position], dict(opening))
                one.entry = writing.indexes[one.position]
                self._watch(one, writing.indexes[one.position])
            for companion in one.companions:
                if companion.position is not None:
                    opening = writing.payloads[companion.position].opening(Party.BODY)
                    companion.proof = LogProof(writing.receipts[companion.position], dict(opening))
                    companion.entry = writing.indexes[companion.position]
        return await self._release(pending)

    async def _known_by(self, queries: Sequence[Query]) -> list[_Asked]:
        identifiers = [query.identifier for query in queries]
        blinds = await self._keys.blind(identifiers)
        hashes, marks = self._keys.subject_hashes(identifiers), self._marks(queries)
        return [
            _Asked(query, subject_hash, (query.identifier.scheme, blind), mark)
            for query, subject_hash, blind, mark in zip(queries, hashes, blinds, marks, strict=True)
        ]

    def _marks(self, queries: Sequence[Query]) -> list[RequestMark]:
        """What is kept of each request: under a key, since a body or a client's own key can be guessed."""
        asked = [_ASKED + query.asked_digest() for query in queries]
        repeats = {one.request_id: one.repeat_key for one in queries if one.repeat_key is not None}
        digests = self._keys.keyed_digests([*asked, *(_REPEAT_KEY + each for each in repeats.values())])
        keys = dict(zip(repeats, digests[len(asked) :], strict=True))
        return [
            RequestMark(query.request_id, query.body_id, keys.get(query.request_id), digest)
            for query, digest in zip(queries, digests[: len(asked)], strict=True)
        ]

    def _watch(self, one: _Pending, index: int) -> None:
        """Flags neighbours beside the answer, which waits for no flag and is never kept back by one."""
        query = one.query
        flag = self._neighbours.see(query.body_id, query.officer_id, query.identifier, index, monotonic())
        if flag is not None:
            task = asyncio.create_task(self._flag(flag))
            self._flagging.add(task)
            task.add_done_callback(self._flagging.discard)

    async def _flag(self, flag: Flag) -> None:
        try:
            await raise_flags(self._log, [flag])
        except AccessLogError as error:
            _events.error("flag_not_raised", kind=flag.kind, entry=flag.entries[-1], exc_info=error)

    # Steps 2 to 4, under the head lock.

    async def _decide_all(
        self,
        writing: Writing,
        asked: Sequence[_Asked],
        owed: Sequence[Unreleased],
        pending: list[_Pending],
    ) -> None:
        connection = writing.connection
        # What is owed comes first: its uses are back before they are counted, and a repeat of such a query
        # finds no earlier one.
        await self._owed.write(self._log, writing, owed)
        pending.extend(await self._find_persons(writing, asked))
        live = await state.read(
            connection,
            [one.request for one in pending],
            now=writing.now,
            today=self._catalogue.today(writing.now),
        )
        await self._check_credentials(writing, pending)
        self._take_turns(live, [one for one in pending if one.turned_away is None], writing.now)
        await self._find_repeats(writing, [one for one in pending if one.turned_away is None])
        for one in pending:
            if one.turned_away is None:
                await self._decide(writing, live, one)
        await live.write_back(connection)
        # From here these entries are answered by the repeats: the worker that wrote one owes nothing for it.
        await requests.take_over(
            connection,
            self._log.number,
            {index: request_id for one in pending for index, request_id in _taken_over(one)},
        )

    async def _check_credentials(self, writing: Writing, pending: Sequence[_Pending]) -> None:
        """Turns away repeated proofs and revoked tokens: they are no valid credentials, so no entry."""
        if not pending:
            return
        presented = [one.query.presented for one in pending]
        accepted = await record_proofs(
            writing.connection, [(one.jkt, one.proof_jti, one.proof_expires_at) for one in presented]
        )
        taken_back = await revoked(writing.connection, [one.token for one in presented])
        for at, one in enumerate(pending):
            if at not in accepted:
                one.turned_away = REPEATED_PROOF
            elif at in taken_back:
                one.turned_away = REVOKED_TOKEN

    def _take_turns(self, live: state.Live, pending: Sequence[_Pending], now: datetime) -> None:
        for one in pending:
            wait = live.take_turn(one.request, self._rates, now)
            if wait is not None:
                one.turned_away = TooFast(wait.seconds)
                self._waits[one.query.body_id, wait.whose] = monotonic() + wait.seconds

    async def _find_persons(self, writing: Writing, asked: Sequence[_Asked]) -> list[_Pending]:
        if not await self._keys.are_newest([one.place[1] for one in asked]):
            # The index key was rotated while they waited for the lock: some may have been moved to it since.
            asked = await self._known_by([one.query for one in asked])
        categories = {category_of(each) for one in asked for each in one.query.fields}
        found = await store.find(writing.connection, [one.place for one in asked], sorted(categories))
        pending = []
        for one in asked:
            person = found.get(one.place)
            request = (
                one.query.request(one.subject_hash, None)
                if person is None
                else one.query.request(
                    one.subject_hash, person.person, [each.person.subject_id for each in person.others]
                )
            )
            pending.append(_Pending(one.query, request, person, one.mark))
        return pending

    async def _find_repeats(self, writing: Writing, pending: Sequence[_Pending]) -> None:
        """Which queries repeat one that was permitted under the same idempotency key."""
        keyed = {
            (one.mark.client, one.mark.idempotency_key): one
            for one in pending
            if one.mark.idempotency_key is not None
        }
        if not keyed:
            return
        earlier = await requests.earlier(
            writing.connection, self._log.number, list(keyed), writing.now - REPEAT_WINDOW
        )
        for place, one in keyed.items():
            before = earlier.get(place)
            if before is None:
                continue
            if not hmac.compare_digest(before.body, one.mark.body):
                one.turned_away = KeyReused()
            elif Entry.decode(before.entry).type is EntryType.QUERY_PERMITTED:
                one.earlier = before

    async def _decide(self, writing: Writing, live: state.Live, one: _Pending) -> None:
        facts = live.state_of(one.request)
        one.officer_role = facts.officer.role
        one.decision = decide(
            one.request, facts, writing.now, catalogue=self._catalogue, repeat=one.earlier is not None
        )
        if isinstance(one.decision, Refusal):
            one.earlier = None  # a failed rule is a new refusal, with an entry of its own
        elif one.earlier is not None:
            try:
                await self._repeat(writing, one, one.decision, one.earlier)
            except (CryptoError, AccessLogError) as error:
                one.failure = error
            return
        else:
            one.charge = live.charge(one.request)
            records = one.found.records if one.found is not None else []
            one.choice = self._choose(writing, one, one.decision, records)
        notice = await self._notice(writing, facts, one)
        if notice is not None and one.found is not None:
            one.covert_stream = await covert.stream_of(
                self._log, writing, one.found.person, one.request, notice
            )
        event = self._event(one)
        one.position = writing.add(event)
        if isinstance(one.decision, Permit) and one.found is not None:
            await self._accompany(writing, one, one.decision, notice, event.payload)

    async def _notice(self, writing: Writing, facts: State, one: _Pending) -> DelayedNotice | None:
        """The delay of notice that a court ordered for this query, if there is one (RULES 10)."""
        authorization = facts.authorization
        known_case = False
        if authorization.notice is not None and not authorization.names_subject and one.found is not None:
            known_case = await covert.any_under(
                writing.connection,
                one.request.token.grant_id,
                [one.found.person.subject_id, *one.request.joined],
            )
        return delayed_notice(one.request, authorization, writing.now, known_case=known_case)

    async def _accompany(
        self, writing: Writing, one: _Pending, permit: Permit, notice: DelayedNotice | None, query: Payload
    ) -> None:
        """Puts a companion in line for each joined identity of which records are opened (RULES 13.2)."""
        for other in one.found.others if one.found is not None else ():
            choice = self._choose(writing, one, permit, other.records)
            if not choice.opened:
                continue
            stream = other.person.stream_id
            if notice is not None:
                stream = await covert.stream_of(self._log, writing, other.person, one.request, notice)
            request_id = companion_id(one.query.request_id, other.person.subject_id)
            companion = Companion(other, choice, request_id, stream)
            companion.position = writing.add(companion.event(query, one.query.body_id))
            one.companions.append(companion)

    def _choose(
        self,
        writing: Writing,
        one: _Pending,
        permit: Permit,
        records: Sequence[store.SealedRecord],
    ) -> Choice:
        today = self._catalogue.today(writing.now)
        return choose(permit, one.query.fields, records, today, never_shown=self._never_shown)

    async def _repeat(self, writing: Writing, one: _Pending, permit: Permit, earlier: EarlierRequest) -> None:
        """Chooses the record versions the earlier entry names, as far as they may be shown today."""
        connection, others = writing.connection, [] if one.found is None else one.found.others
        payload, records = await versions_of(connection, self._log, one.request.subject_id, earlier)
        for subject_id, before in (
            await earlier_companions(connection, self._log, earlier.request_id, others)
        ).items():
            said, its = await versions_of(connection, self._log, subject_id, before)
            (found,) = [each for each in others if each.person.subject_id == subject_id]
            companion = Companion(
                found,
                self._choose(writing, one, permit, its),
                companion_id(one.query.request_id, subject_id),
                found.person.stream_id,
                entry=before.index,
                proof=await self._proof(connection, before, said),
            )
            one.companions.append(companion)
        one.choice = self._choose(writing, one, permit, records)
        one.entry = earlier.index
        one.proof = await self._proof(connection, earlier, payload)

    async def _proof(
        self, connection: AsyncConnection, earlier: EarlierRequest, payload: Payload
    ) -> LogProof:
        receipt = await self._log.receipt(connection, earlier.index, earlier.entry)
        return LogProof(receipt, dict(payload.opening(Party.BODY)))

    def _event(self, one: _Pending) -> Event:
        query, decision = one.query, one.decision
        permitted = isinstance(decision, Permit)
        payload = Payload.create(
            EntryType.QUERY_PERMITTED if permitted else EntryType.QUERY_REFUSED,
            {
                "body": str(query.body_id),
                "officer": str(query.officer_id),
                "officer_role": one.officer_role,
                "purpose": query.purpose,
                "case_reference": query.case_reference,
                "basis": str(query.token.grant_id),
                "decision": "permitted" if permitted else "refused",
                "reason": decision.rule if isinstance(decision, Refusal) else None,
                "fields": list(query.fields),
                "request_digest": query.digest.hex(),
                "record_versions": one.choice.record_versions(),
                "subject": str(one.request.subject_id) if one.request.subject_id else None,
            },
        )
        return Event(one.stream, payload, one.mark)

    # Step 6. Everything that is opened here stands in an entry that is durable and raised.

    async def _release(self, pending: Sequence[_Pending]) -> list[Outcome | Exception]:
        opening = [(one, wanted) for one in pending if one.failure is None for wanted in one.wanted]
        try:
            opened = await self._opener.open_all([wanted for _, wanted in opening])
        except BaseException:
            self._owed.add(each for one in pending for each in one.owed)
            raise
        for (one, _), found in zip(opening, opened, strict=True):
            if not isinstance(found, CryptoError):
                one.opened += found
                continue
            _events.critical("record_does_not_open", exc_info=found)
            if one.failure is None:
                self._owed.add(one.owed)
            one.failure = found
        return [_outcome(one) for one in pending]


def _outcome(one: _Pending) -> Outcome | Exception:
    if one.failure is not None:
        return one.failure
    if one.turned_away is not None:
        return one.turned_away
    if one.proof is None or one.decision is None:
        raise AssertionError("a query left the log without its proof")
    if isinstance(one.decision, Refusal):
        return Refused(one.decision, one.proof)
    companions = tuple([each.proof for each in one.companions if each.proof is not None])
    return Answer(one.opened, one.decision.conditions, one.proof, companions)


def _taken_over(one: _Pending) -> list[tuple[int, UUID]]:
    """Entries that a repeat answers: from now on they are found as its own."""
    if one.earlier is None or one.proof is None:
        return []
    companions = [(each.entry, each.request_id) for each in one.companions if each.entry is not None]
    return [(one.earlier.index, one.query.request_id), *companions]
