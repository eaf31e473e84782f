"""One use of a clerk's token at a desk: decided by RULES 12, and in the log before it is answered.

1  the log's head row is locked
2  the proof is recorded; a repeated one or a revoked token is turned away without an entry
3  body, clerk and what the clerk did today are read, and the rules asked
4  an entry of type 6 in the person's own stream names the clerk as actor and the person as subject, and so
   does one in that of each identity they are joined with
5  what is asked for is done in the same transaction, by the function that does it for the person themselves
6  commit, sign, raise the outside lock               (access_log.log); only then is anything answered

A refused use stands in the person's stream too, if the vault knows them, and else in that of the system.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import Party, Payload
from consent import assistance, assisted, inspectors
from consent.assistance import Clerk
from consent.errors import ConsentError, InvalidError, StateError, UnknownError
from consent.facts import OfficerFacts
from consent.inspection import Inspector
from consent.journal import Actor
from consent.oauth.protection import Presented
from consent.oauth.rar import Assistance
from consent.permit import Person, Refusal
from vault.catalogue import Catalogue
from vault.records import store, subjects
from vault.records.identities import Identities, Met
from vault.records.keys import VaultKeys
from vault.rights.inspections import require_unspent

ASSISTED: Final = "assisted at a desk"
REFUSED: Final = "assistance refused"
CLERK: Final = "clerk"
Found = TypeVar("Found")
Act = Callable[[Writing, Person, Actor], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Assisted(Generic[Found]):
    """An allowed use.

    Attributes:
        person: whom it was for.
        found: what was read or done; an error where it could not be done as things stand.
        receipt: of the entry that states the use.
    """

    person: Person
    found: Found | ConsentError
    receipt: str


@dataclass(frozen=True, slots=True)
class AssistanceRefused:
    """A use that a rule refused; the refusal is in the log.

    Attributes:
        receipt: of its entry.
        opening: of its entry, for the desk.
    """

    refusal: Refusal
    receipt: str
    opening: Mapping[str, Any]


def clerk_of(presented: Presented) -> Clerk | None:
    """Who helps whom with this token; None when it is for something else."""
    details = presented.details
    if not isinstance(details, Assistance):
        return None
    return Clerk(
        presented.body_id,
        details.officer,
        details.visit,
        details.document,
        bytes.fromhex(details.subject_hash),
    )


class Desk:
    """The uses, on one vault.

    Args:
        log: the log.
        keys: make the keyed hashes of identifiers.
        identities: finds the person, or makes them: a visit is theirs to see, whoever they are.
        catalogue: says which legal day it is.
    """

    def __init__(self, log: Log, keys: VaultKeys, identities: Identities, catalogue: Catalogue) -> None:
        self._log = log
        self._keys = keys
        self._identities = identities
        self._catalogue = catalogue

    async def use(
        self, presented: Presented, clerk: Clerk, met: Met, what: str, act: Act[Found]
    ) -> Assisted[Found] | AssistanceRefused:
        """Decides, logs and does one use.

        Args:
            presented: what the request presented, verified.
            clerk: whom its token names.
            met: the person the request names.
            what: it is for, as the entry states it.
            act: what is read or done under the head lock, if it is allowed.

        Raises:
            AccessError: the proof served another request, or the token was revoked; no entry.
            AccessLogError: the log cannot append or release; nothing may be answered.
            CryptoError: keys cannot be used now; nothing stands.
        """
        (subject_hash,) = self._keys.subject_hashes([met.identifier])
        found: Found | ConsentError | None = None
        async with self._log.writing() as writing:
            await require_unspent(writing.connection, presented)
            named = Inspector(clerk.body_id, clerk.officer_id, clerk.visit)
            body, officer = await inspectors.read(writing.connection, named)
            day = self._catalogue.today(writing.now)
            counts = await assisted.counted(writing.connection, clerk.officer_id, day, subject_hash)
            refusal = assistance.refusal(assistance.Use(clerk, body, officer, subject_hash, *counts))
            if refusal is None:
                person = await self._identities.find_or_add(writing, met)
                await assisted.count(writing.connection, clerk.officer_id, day, subject_hash)
                position = len(writing.events)
                for row in await store.identities(writing.connection, person.subject_id):
                    payload = _payload(clerk, officer, what, row.person, None)
                    writing.add(Event(row.person.stream_id, payload))
                actor = Actor(f"officer:{clerk.officer_id}", CLERK)
                try:
                    found = await act(writing, person, actor)
                except (UnknownError, StateError, InvalidError) as error:
                    # It found that it cannot be done before it wrote anything; that it was asked for stands.
                    found = error
            else:
                known = await subjects.find(writing.connection, met.identifier.scheme, met.blind)
                stream = SYSTEM_STREAM if known is None else known.stream_id
                position = writing.add(Event(stream, _payload(clerk, officer, what, known, refusal)))
        # Durable and raised: from here on the clerk may be answered.
        receipt = writing.receipts[position]
        if refusal is not None:
            opening = writing.payloads[position].opening(Party.PERSON)
            return AssistanceRefused(refusal, receipt, opening)
        return Assisted(person, found, receipt)  # type: ignore[arg-type]  # an act that was allowed has found what it finds


def _payload(
    clerk: Clerk, officer: OfficerFacts, what: str, person: Person | None, refusal: Refusal | None
) -> Payload:
    """The statement of a use: the clerk is the actor, the person the subject."""
    about: dict[str, str] = {"visit": clerk.visit, "document": clerk.document, "what": what}
    if refusal is not None:
        about["rule"] = refusal.rule
    return Payload.create(
        EntryType.RIGHTS,
        {
            "event": ASSISTED if refusal is None else REFUSED,
            "actor": f"officer:{clerk.officer_id}",
            "actor_role": officer.role or None,
            "body": str(clerk.body_id),
            "object": dict(about),
            "subject": None if person is None else str(person.subject_id),
        },
    )
