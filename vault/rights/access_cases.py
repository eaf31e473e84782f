"""*I don't recognise this query*: a person opens a case about one entry of their list; inspectors answer it.

What is said on either side stands in the log alone, sealed, in the person's own stream. The register of cases
holds a state and where the case was opened, so that inspectors find it, and nothing that tells whose it is or
about which query; the body that asked is told nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Event, Log, Writing
from access_log.payload import Payload
from consent import terms
from consent.errors import InvalidError, StateError, UnknownError
from consent.journal import Actor
from vault.records import subjects
from vault.records.keys import VaultKeys
from vault.records.tables import access_case
from vault.rights.accesses import Access

NOT_RECOGNISED: Final = "query not recognised"
TAKEN_UP: Final = "case taken up"
ANSWERED: Final = "case answered"
LONGEST_WORDS: Final = 1000
State = Literal["open", "taken up", "answered"]
_ID: Final = b"access case v1\0"


@dataclass(frozen=True, slots=True)
class Opened:
    """A case just opened.

    Attributes:
        receipt: of the entry that opened it.
    """

    case_id: UUID
    receipt: str


@dataclass(frozen=True, slots=True)
class OwnCase:
    """A case as its person sees it.

    Attributes:
        log: name of the log in which both the query and the case stand.
        entry: index of the query that was not recognised.
        words: what the person said of it.
        answer: what an inspector answered; None until then.
        changed_at: moment of its newest step.
    """

    case_id: UUID
    log: str
    entry: int
    state: State
    words: str | None
    answer: str | None
    opened_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as the register holds it.

    Attributes:
        log: number of the log in which it was opened.
        opened_index: of the entry that opened it.
        answered_index: of the entry that answers it.
    """

    case_id: UUID
    log: int
    state: State
    opened_index: int
    answered_index: int | None
    opened_at: datetime
    changed_at: datetime


async def open_case(log: Log, keys: VaultKeys, subject_id: UUID, access: Access, words: str | None) -> Opened:
    """Opens a case about one query of the person's list, in the stream in which the query stands.

    Args:
        log: the log.
        keys: the vault's keys.
        subject_id: the person.
        access: the entry, as their list shows it.
        words: what they say of it, if they want to say anything.

    Raises:
        UnknownError: the entry is no query, or the person is not known any more.
        StateError: there is a case about it already.
        InvalidError: the words are too long, or cannot be printed.
        AccessLogError: the log cannot append; no case was opened.
    """
    new = new_case(log, keys, access, words)
    async with log.writing() as writing:
        position = await write_case(writing, log, new, Actor(str(subject_id), "subject"))
    # Durable and raised: from here on inspectors may be shown it, and the person may be told so.
    return Opened(new.case_id, writing.receipts[position])


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case about to be opened.

    Attributes:
        identity: in whose stream the query stands.
        entry: index of the query.
        words: what the person says of it, on one line.
    """

    case_id: UUID
    identity: UUID
    entry: int
    words: str | None


def new_case(log: Log, keys: VaultKeys, access: Access, words: str | None) -> NewCase:
    """What a case about one query of a person's list would be.

    Raises:
        UnknownError: the entry is no query.
        InvalidError: the words are too long, or cannot be printed.
    """
    if not access.is_query:
        raise UnknownError("this entry is no query")
    said = _said(words)
    # Numbers of entries begin again in each log.
    of_log = b"" if log.number == 1 else log.number.to_bytes(2, "big")
    place = access.identity.bytes + access.index.to_bytes(8, "big") + of_log
    (digest,) = keys.keyed_digests([_ID + place])
    return NewCase(UUID(bytes=digest[:16]), access.identity, access.index, said)


async def write_case(writing: Writing, log: Log, new: NewCase, actor: Actor) -> int:
    """Opens a case; returns the position of its entry.

    Args:
        writing: the transaction.
        log: the log.
        new: the case.
        actor: who opens it; the person under whichever identity they are here.

    Raises:
        UnknownError: the person is not known any more.
        StateError: there is a case about it already.
    """
    person = await subjects.read(writing.connection, new.identity)
    if person is None:
        raise UnknownError("this person is not known")
    if actor.role == "subject" and actor.name != str(person.subject_id):
        actor = actor.elsewhere
    row = await writing.connection.execute(
        insert(access_case).on_conflict_do_nothing().returning(access_case.c.case_id),
        {
            "case_id": new.case_id,
            "state": "open",
            "log": log.number,
            "opened_index": writing.head.size + len(writing.events),
            "opened_at": writing.now,
            "changed_at": writing.now,
        },
    )
    if row.one_or_none() is None:
        raise StateError("there is a case about this entry already")
    payload = Payload.create(
        EntryType.RIGHTS,
        {
            "event": NOT_RECOGNISED,
            "actor": actor.name,
            "actor_role": actor.role,
            "object": {"case": str(new.case_id), "entry": new.entry, "words": new.words},
            "subject": str(person.subject_id),
        },
    )
    return writing.add(Event(person.stream_id, payload))


def own_cases(accesses: Iterable[Access]) -> list[OwnCase]:
    """A person's cases, the newest first, as the entries of their own stream tell them."""
    found: dict[str, dict[str, Any]] = {}
    for one in reversed(list(accesses)):
        about = one.details.get("object")
        if not isinstance(about, dict) or "case" not in about:
            continue
        event = one.details.get("event")
        if event == NOT_RECOGNISED and one.type is EntryType.RIGHTS:
            found[about["case"]] = {
                "case_id": UUID(about["case"]),
                "log": one.log.origin,
                "entry": about["entry"],
                "state": "open",
                "words": about["words"],
                "answer": None,
                "opened_at": one.time,
                "changed_at": one.time,
            }
        elif (
            event in (TAKEN_UP, ANSWERED)
            and one.type is EntryType.INSPECTION
            and about["case"] in found  # else the retention of what opened it has ended
        ):
            state = "taken up" if event == TAKEN_UP else "answered"
            found[about["case"]] |= {"state": state, "answer": about.get("answer"), "changed_at": one.time}
    return [OwnCase(**each) for each in reversed(found.values())]


async def list_cases(
    connection: AsyncConnection, *, state: State | None = None, after: int | None = None, most: int
) -> list[CaseRow]:
    """Cases in the order they were opened in.

    Args:
        connection: to the database.
        state: only those that stand so.
        after: only those whose opening stands behind this index.
        most: at most so many.
    """
    query = select(access_case).order_by(access_case.c.opened_index, access_case.c.log).limit(most)
    if state is not None:
        query = query.where(access_case.c.state == state)
    if after is not None:
        query = query.where(access_case.c.opened_index > after)
    rows = await connection.execute(query)
    return [CaseRow(**row) for row in rows.mappings()]


async def read_case(connection: AsyncConnection, case_id: UUID) -> CaseRow | None:
    """One case as the register holds it."""
    rows = await connection.execute(select(access_case).where(access_case.c.case_id == case_id))
    row = rows.mappings().one_or_none()
    return None if row is None else CaseRow(**row)


def checked_answer(answer: str) -> str:
    """An answer as it will be written.

    Raises:
        InvalidError: it says nothing, is too long, or holds characters that cannot be printed.
    """
    return terms.text(" ".join(answer.split()), "answer")


def _said(words: str | None) -> str | None:
    """What a person said, on one line: line breaks of a form are spaces here."""
    joined = " ".join((words or "").split())
    if not joined:
        return None
    if len(joined) > LONGEST_WORDS or not joined.isprintable():
        raise InvalidError(f"say it in at most {LONGEST_WORDS} printable characters")
    return joined
