"""What inspectors do about cases of *I don't recognise this query*, as it travels."""

from pydantic import BaseModel

from access_log.log import Log
from consent.inspection import Inspector
from consent.oauth.protection import Presented
from vault.inspection.schemas import (
    AnswerIn,
    CaseIn,
    CaseOut,
    CasesIn,
    CasesOut,
    ChangedCaseOut,
    ListedCaseOut,
)
from vault.rights import case_inspections
from vault.rights.access_cases import CaseRow
from vault.rights.case_inspections import StandsOtherwise
from vault.rights.inspections import Used, UseRefused

CaseAnswer = BaseModel | UseRefused | StandsOtherwise | None


class CaseUses:
    """The uses, on one log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def all(self, presented: Presented, inspector: Inspector, asked: CasesIn) -> CaseAnswer:
        """Cases in the order they were opened in. Neither person nor query is named."""
        used = await case_inspections.list_cases(self._log, presented, inspector, asked.state, asked.after)
        if isinstance(used, UseRefused):
            return used
        more = len(used.found) == case_inspections.LONGEST_PAGE
        return CasesOut(
            cases=[ListedCaseOut(**_listed(row)) for row in used.found],
            next=used.found[-1].opened_index if more else None,
            use_receipt=used.receipt,
        )

    async def one(self, presented: Presented, inspector: Inspector, asked: CaseIn) -> CaseAnswer:
        """A case with the query it is about, and what its person said."""
        used = await case_inspections.read_case(self._log, presented, inspector, asked.case)
        if isinstance(used, UseRefused) or used.found is None:
            return used if isinstance(used, UseRefused) else None
        found = used.found
        return CaseOut(**_listed(found.row), entry=found.entry, words=found.words, use_receipt=used.receipt)

    async def take_up(self, presented: Presented, inspector: Inspector, asked: CaseIn) -> CaseAnswer:
        """Takes up an open case; its person reads that."""
        return _changed(await case_inspections.take_up(self._log, presented, inspector, asked.case))

    async def answer(self, presented: Presented, inspector: Inspector, asked: AnswerIn) -> CaseAnswer:
        """Answers a case that was taken up; its person reads the answer, and the case ends."""
        done = await case_inspections.answer(self._log, presented, inspector, asked.case, asked.answer)
        return _changed(done)


def _changed(done: Used[CaseRow | StandsOtherwise | None] | UseRefused) -> CaseAnswer:
    if isinstance(done, UseRefused):
        return done
    if not isinstance(done.found, CaseRow):
        return done.found
    return ChangedCaseOut(**_listed(done.found), use_receipt=done.receipt)


def _listed(row: CaseRow) -> dict[str, object]:
    return {
        "case": row.case_id,
        "state": row.state,
        "opened_at": row.opened_at,
        "changed_at": row.changed_at,
        "opened_index": row.opened_index,
        "answered_index": row.answered_index,
    }
