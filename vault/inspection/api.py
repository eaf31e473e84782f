"""`/v1/inspection`: every use of an inspection token. Thin: parse, hand to the room that knows, write down.

Every route is a POST, because every use changes something: it adds an entry to the log.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse

from access_log.log import Log
from access_log.streams import StreamEntry
from consent.errors import InvalidError
from consent.inspection import Inspector
from consent.oauth.protection import Presented, Protection
from vault.api import verify
from vault.asked import described, read_asked
from vault.inspection.case_uses import CaseUses
from vault.inspection.schemas import (
    AnswerIn,
    CaseIn,
    CaseOut,
    CasesIn,
    CasesOut,
    ChangedCaseOut,
    EntriesIn,
    EntriesOut,
    EntryIn,
    FlagOut,
    FlagsIn,
    FlagsOut,
    InspectedEntryOut,
    ListedEntryOut,
    NothingIn,
    OverdueCaseOut,
    OverdueOut,
)
from vault.problems import (
    CONFLICT,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    REFUSED,
    problem_response,
)
from vault.rights import inspected
from vault.rights.accesses import KINDS
from vault.rights.case_inspections import StandsOtherwise
from vault.rights.inspected import Criteria
from vault.rights.inspections import UseRefused, inspector_of

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (400, "The request is not well formed"),
        (401, "No valid token and proof; nothing was logged"),
        (403, "A rule refuses the use (`rule` names it), or the token is for something else"),
        (404, "There is no such entry, log or case; that you asked is in the log"),
        (409, "The case stands otherwise; that you asked is in the log"),
        (413, "The body is too large"),
        (415, "Another media type is needed"),
        (503, "Nothing was opened; try again"),
    )
}
Asked = TypeVar("Asked", bound=BaseModel)
Answer = BaseModel | UseRefused | StandsOtherwise | None
Handler = Callable[[Presented, Inspector, Asked], Awaitable[Answer]]


class InspectionApi:
    """What inspectors may do."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def entry(self, presented: Presented, inspector: Inspector, asked: EntryIn) -> Answer:
        """Opens one entry whole. If it stands in a person's own stream, that person reads that you looked."""
        used = await inspected.open_entry(self._log, presented, inspector, asked.index, asked.log)
        if isinstance(used, UseRefused):
            return used
        found = used.found
        if found is None:
            return None
        return InspectedEntryOut(
            **_named(found.one),
            stream=found.stream,
            attributes=dict(found.values),
            opening=None if found.opening is None else dict(found.opening),
            receipt=found.receipt,
            use_receipt=used.receipt,
        )

    async def entries(self, presented: Presented, inspector: Inspector, asked: EntriesIn) -> Answer:
        """Entries of a body, an officer, a case or a range of time, page by page. No person is named."""
        criteria = Criteria(
            asked.since,
            asked.until,
            asked.body,
            asked.officer,
            asked.case_reference,
            asked.after,
            asked.log,
        )
        used = await inspected.list_entries(self._log, presented, inspector, criteria)
        if isinstance(used, UseRefused):
            return used
        page = used.found
        if page is None:
            return None
        return EntriesOut(
            entries=[ListedEntryOut(**_named(one), **values) for one, values in page.entries],
            next=page.next,
            use_receipt=used.receipt,
        )

    async def overdue(self, presented: Presented, inspector: Inspector, _asked: NothingIn) -> Answer:
        """Covert cases whose persons should have been told by now."""
        used = await inspected.overdue(self._log, presented, inspector)
        if isinstance(used, UseRefused):
            return used
        cases = [
            OverdueCaseOut(
                authorization=one.authorization_id,
                body=one.body_id,
                court_reference=one.court_reference,
                opened_at=one.opened_at,
                ends_at=one.ends_at,
            )
            for one in used.found
        ]
        return OverdueOut(cases=cases, use_receipt=used.receipt)

    async def flags(self, presented: Presented, inspector: Inspector, asked: FlagsIn) -> Answer:
        """What about queries struck the vault. No flag ever held one up; people say what it means."""
        used = await inspected.flags_raised(self._log, presented, inspector, asked.after)
        if isinstance(used, UseRefused):
            return used
        more = len(used.found) == inspected.LONGEST_PAGE
        return FlagsOut(
            flags=[
                FlagOut(index=one.index, raised_at=one.raised_at, **asdict(one.flag) if one.flag else {})
                for one in used.found
            ],
            next=used.found[-1].index if more else None,
            use_receipt=used.receipt,
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """One kind of use: where it is asked, what it takes, what it answers."""

    path: str
    handler: Handler[Any]
    asked: type[BaseModel]
    answered: type[BaseModel]
    summary: str


def inspection_router(log: Log, protection: Protection) -> APIRouter:
    """The routes under `/v1/inspection`."""
    router = APIRouter(prefix="/v1/inspection", tags=["inspection"])
    api, cases = InspectionApi(log), CaseUses(log)
    for route in (
        _Route("/entry", api.entry, EntryIn, InspectedEntryOut, "Open one entry of the log"),
        _Route("/entries", api.entries, EntriesIn, EntriesOut, "List entries, page by page"),
        _Route(
            "/overdue-covert-cases", api.overdue, NothingIn, OverdueOut, "Who should have been told by now"
        ),
        _Route("/flags", api.flags, FlagsIn, FlagsOut, "What about queries struck the vault"),
        _Route("/cases", cases.all, CasesIn, CasesOut, "Cases of queries somebody does not recognise"),
        _Route("/cases/read", cases.one, CaseIn, CaseOut, "One case"),
        _Route("/cases/take-up", cases.take_up, CaseIn, ChangedCaseOut, "Take up a case"),
        _Route("/cases/answer", cases.answer, AnswerIn, ChangedCaseOut, "Answer a case"),
    ):
        _add(router, protection, route)
    return router


def _add(router: APIRouter, protection: Protection, route: _Route) -> None:
    async def use(request: Request) -> Response:
        presented = verify(protection, request)
        inspector = inspector_of(presented)
        if inspector is None:
            return problem_response(
                FORBIDDEN, "This token is for no inspection. Obtain one for an inspection."
            )
        asked = await read_asked(request, route.asked)
        if isinstance(asked, Response):
            return asked
        try:
            answer = await route.handler(presented, inspector, asked)
        except InvalidError as error:
            return problem_response(INVALID, f"{str(error).capitalize()}.")
        return _response(answer, protection)

    use.__doc__ = route.handler.__doc__
    router.add_api_route(
        route.path,
        use,
        methods=["POST"],
        name=route.path.strip("/").replace("/", "-"),
        response_model=None,
        responses={200: {"model": route.answered}, **_PROBLEMS},
        summary=route.summary,
        openapi_extra={
            **described(route.asked),
            "security": [{"dpop": []}],
        },
    )


def _response(answer: Answer, protection: Protection) -> Response:
    if answer is None:
        return problem_response(
            NOT_FOUND, "There is no such entry, log or case; that you asked is in the log."
        )
    if isinstance(answer, StandsOtherwise):
        return problem_response(
            CONFLICT, f"The case is {answer.row.state}; nothing was changed. That you asked is in the log."
        )
    if isinstance(answer, UseRefused):
        return problem_response(
            REFUSED,
            answer.refusal.reason,
            rule=answer.refusal.rule,
            receipt=answer.receipt,
            opening=dict(answer.opening),
        )
    return JSONResponse(answer.model_dump(mode="json"), headers=protection.fresh_nonce())


def _named(one: StreamEntry) -> dict[str, Any]:
    return {
        "index": one.index,
        "time": datetime.fromtimestamp(one.entry.time / 1000, UTC),
        "kind": KINDS.get(one.entry.type, one.entry.type.name.lower()),
    }
