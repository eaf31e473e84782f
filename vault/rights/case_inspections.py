"""What an inspector does about a case of *I don't recognise this query*; each step a logged use (RULES 11).

    open ── take up ──► taken up ── answer ──► answered

Each step is an entry of its person's stream too, so that the person reads how the case stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import update

from access_log.entry import EntryType
from access_log.log import Event, Log, Writing
from access_log.payload import JSON, Payload
from access_log.streams import entries_between
from consent.inspection import Inspector
from consent.oauth.protection import Presented
from vault.records import subjects
from vault.records.tables import access_case
from vault.rights import access_cases
from vault.rights.access_cases import ANSWERED, TAKEN_UP, CaseRow, State
from vault.rights.inspections import Act, Purpose, Used, UseRefused, use

LISTED: Final = "cases listed"
READ: Final = "case read"
LONGEST_PAGE: Final = 100
_BEFORE: Final[dict[str, State]] = {TAKEN_UP: "open", ANSWERED: "taken up"}
_AFTER: Final[dict[str, State]] = {TAKEN_UP: "taken up", ANSWERED: "answered"}


@dataclass(frozen=True, slots=True)
class InspectedCase:
    """A case with what its person said.

    Attributes:
        entry: index of the query that was not recognised; None once the content is gone.
        words: what the person said of it.
    """

    row: CaseRow
    entry: int | None
    words: str | None


@dataclass(frozen=True, slots=True)
class StandsOtherwise:
    """The step does not fit how the case stands; nothing was changed."""

    row: CaseRow


async def list_cases(
    log: Log, presented: Presented, inspector: Inspector, state: State | None, after: int | None
) -> Used[Sequence[CaseRow]] | UseRefused:
    """One page of cases, the oldest first; no person and no query is named.

    Raises:
        AccessError, AccessLogError: as `inspections.use`.
    """

    async def act(writing: Writing) -> Sequence[CaseRow]:
        return await access_cases.list_cases(writing.connection, state=state, after=after, most=LONGEST_PAGE)

    about: dict[str, JSON] = {"state": state, "after": after}
    return await use(log, presented, inspector, Purpose(LISTED, about), act)


async def read_case(
    log: Log, presented: Presented, inspector: Inspector, case_id: UUID
) -> Used[InspectedCase | None] | UseRefused:
    """One case with the query it is about; None where there is no such case.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
    """

    async def act(writing: Writing) -> InspectedCase | None:
        row = await access_cases.read_case(writing.connection, case_id)
        if row is None:
            return None
        said = await _said(writing, log, row)
        about: Any = said.get("object") or {}
        return InspectedCase(row, about.get("entry"), about.get("words"))

    return await use(log, presented, inspector, _purpose(READ, case_id), act)


async def take_up(
    log: Log, presented: Presented, inspector: Inspector, case_id: UUID
) -> Used[CaseRow | StandsOtherwise | None] | UseRefused:
    """Takes up an open case.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
    """
    return await use(log, presented, inspector, _purpose(TAKEN_UP, case_id), _step(log, inspector, case_id))


async def answer(
    log: Log, presented: Presented, inspector: Inspector, case_id: UUID, text: str
) -> Used[CaseRow | StandsOtherwise | None] | UseRefused:
    """Answers a case that was taken up; the person reads the text, and it ends the case.

    Raises:
        AccessError, AccessLogError, CryptoError: as `inspections.use`.
        InvalidError: the text says nothing, is too long, or cannot be printed; nothing was logged.
    """
    words = access_cases.checked_answer(text)
    step = _step(log, inspector, case_id, words)
    return await use(log, presented, inspector, _purpose(ANSWERED, case_id), step)


def _step(
    log: Log, inspector: Inspector, case_id: UUID, text: str | None = None
) -> Act[CaseRow | StandsOtherwise | None]:
    """Takes a case up, or answers it where there is an answer."""
    event = TAKEN_UP if text is None else ANSWERED
    told: dict[str, JSON] = {"case": str(case_id)} if text is None else {"case": str(case_id), "answer": text}

    async def act(writing: Writing) -> CaseRow | StandsOtherwise | None:
        row = await access_cases.read_case(writing.connection, case_id)
        if row is None:
            return None
        subject = (await _said(writing, log, row)).get("subject")
        person = await subjects.read(writing.connection, UUID(subject)) if subject is not None else None
        if row.state != _BEFORE[event] or person is None:
            return StandsOtherwise(row)
        at = writing.head.size + len(writing.events)
        changed: dict[str, Any] = {"state": _AFTER[event], "changed_at": writing.now}
        if event == ANSWERED:
            changed["answered_index"] = at
        await writing.connection.execute(
            update(access_case).where(access_case.c.case_id == case_id).values(**changed)
        )
        payload = Payload.create(
            EntryType.INSPECTION,
            {
                "event": event,
                "actor": f"body:{inspector.body_id}",
                "actor_role": "inspector",
                "body": str(inspector.body_id),
                "object": told,
                "subject": str(person.subject_id),
            },
        )
        writing.add(Event(person.stream_id, payload))
        return await access_cases.read_case(writing.connection, case_id)

    return act


def _purpose(event: str, case_id: UUID) -> Purpose:
    return Purpose(event, {"case": str(case_id)})


async def _said(writing: Writing, log: Log, row: CaseRow) -> dict[str, Any]:
    """What the entry that opened a case states; nothing once its content is gone."""
    (where,) = [each for each in (*log.earlier, log) if each.number == row.log]
    found = await entries_between(writing.connection, where, row.opened_index, row.opened_index + 1)
    payload = found[0].payload if found else None
    return {} if payload is None else dict(payload.values())
