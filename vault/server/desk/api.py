"""The routes under `/v1/desk`. Thin: parse, hand to the room that decides and writes down, translate.

Every route is a POST, because every use adds an entry to the person's stream, and because an identity number
travels in bodies alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse

from access_log.log import Writing
from consent.assistance import Clerk
from consent.consents import Consent, SignedRecord
from consent.errors import ConsentError, InvalidError, UnknownError
from consent.journal import Actor
from consent.oauth.protection import Presented
from consent.permit import Person
from vault.api import verify
from vault.asked import described, read_asked
from vault.problems import (
    CONFLICT,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    REFUSED,
    problem_response,
)
from vault.records import subjects
from vault.records.identities import Met
from vault.records.query import parse_identifier
from vault.rights import access_cases, accesses
from vault.rights.accesses import Access
from vault.rights.assistance import AssistanceRefused, Assisted, Desk, clerk_of
from vault.rights.own_consents import consents_of, withdraw_one
from vault.rights.own_freeze import begin_all
from vault.rights.own_records import Listed, OwnRecord, list_records, months_gone, open_records
from vault.server.assembly import Vault
from vault.server.desk.schemas import (
    DeskAccessesOut,
    DeskConsentsOut,
    DeskDoneOut,
    DeskRecordsOut,
    ObjectIn,
    PersonIn,
    WithdrawIn,
)
from vault.server.portal.shown import Shown
from vault.server.portal.views import Views, headers
from vault.server.portal.words import Words

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (400, "The request is not well formed"),
        (401, "No valid token and proof; nothing was logged"),
        (403, "A rule refuses the use (`rule` names it), or the token is for something else"),
        (404, "The person has no such consent or query; that the clerk asked is in their log"),
        (409, "It stands otherwise already; that the clerk asked is in the person's log"),
        (413, "The body is too large"),
        (415, "Another media type is needed"),
        (503, "Nothing was opened or changed; try again"),
    )
}
Asked = TypeVar("Asked", bound=PersonIn)
Answer = BaseModel | Response | AssistanceRefused | ConsentError
Handler = Callable[["Visit", Asked], Awaitable[Answer]]
_Viewed = tuple[list[Listed], Writing]


@dataclass(frozen=True, slots=True)
class Visit:
    """A clerk with the person who stands at the desk."""

    presented: Presented
    clerk: Clerk
    met: Met


class DeskApi:
    """What a clerk does for a person. To grant a consent is not among it: that only the person does."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._desk = Desk(vault.log, vault.keys, vault.identities, vault.catalogue)
        self._words = Words(vault.catalogue)
        self._shown = Shown(self._words)
        self._views = Views(vault.settings, vault.catalogue)

    async def accesses(self, visit: Visit, _asked: PersonIn) -> Answer:
        """Who asked about the person: their own list, the use of this very moment on top."""
        used = await self._use(visit, "accesses", _nothing)
        if not isinstance(used, Assisted):
            return used
        found = await self._accesses(used.person)
        return DeskAccessesOut(accesses=[self._shown.access(one) for one in found], use_receipt=used.receipt)

    async def records(self, visit: Visit, _asked: PersonIn) -> Answer:
        """Everything held about the person, shown to others or not."""
        used = await self._use(visit, "records", await self._listing(visit))
        if not isinstance(used, Assisted):
            return used
        records = [self._shown.record(one) for one in await self._records(used)]
        return DeskRecordsOut(records=records, use_receipt=used.receipt)

    async def consents(self, visit: Visit, _asked: PersonIn) -> Answer:
        """Every consent the person ever gave."""
        used = await self._use(visit, "consents", _nothing)
        if not isinstance(used, Assisted):
            return used
        now, found = datetime.now(UTC), await self._consents(used.person)
        return DeskConsentsOut(
            consents=[self._shown.consent(one, now) for one in found], use_receipt=used.receipt
        )

    async def withdraw(self, visit: Visit, asked: WithdrawIn) -> Answer:
        """Takes a consent of the person's back, for the next query already."""

        async def act(writing: Writing, person: Person, actor: Actor) -> SignedRecord:
            signer = self._vault.keeper.signer
            return await withdraw_one(writing, person.subject_id, asked.consent, signer, actor)

        used = await self._use(visit, "withdraw", act)
        if not isinstance(used, Assisted):
            return used
        return DeskDoneOut(done="withdraw", object=asked.consent, use_receipt=used.receipt)

    async def freeze(self, visit: Visit, _asked: PersonIn) -> Answer:
        """Lets nobody ask with the person's consent, until they end that themselves."""

        async def act(writing: Writing, person: Person, actor: Actor) -> None:
            await begin_all(writing, person.subject_id, actor)

        used = await self._use(visit, "freeze", act)
        if not isinstance(used, Assisted):
            return used
        return DeskDoneOut(done="freeze", object=None, use_receipt=used.receipt)

    async def not_recognised(self, visit: Visit, asked: ObjectIn) -> Answer:
        """Says for the person that they do not recognise a query: a case for inspectors."""
        vault = self._vault
        known = await self._known(visit)
        case, unfit = None, None
        listed = [] if known is None else await self._accesses(known)
        queries = [one for one in listed if one.index == asked.entry and one.closed is None and one.is_query]
        if known is not None and queries:
            try:
                case = access_cases.new_case(vault.log, vault.keys, queries[0], asked.words)
            except InvalidError as error:
                unfit = error

        async def act(writing: Writing, _person: Person, actor: Actor) -> None:
            # Only here: before the use is allowed and logged nothing about the person is answered.
            if unfit is not None:
                raise unfit
            if case is None:
                raise UnknownError("this person has no such query")
            await access_cases.write_case(writing, vault.log, case, actor)

        used = await self._use(visit, "not recognised", act)
        if not isinstance(used, Assisted):
            return used
        object_id = None if case is None else case.case_id
        return DeskDoneOut(done="not-recognised", object=object_id, use_receipt=used.receipt)

    async def print(self, visit: Visit, _asked: PersonIn) -> Answer:
        """All of it as a page fit for print, for the person to take home, with the receipt of the visit."""
        used = await self._use(visit, "printed copy", await self._listing(visit))
        if not isinstance(used, Assisted):
            return used
        page = self._views.text(
            "desk_copy.html",
            visit=visit.clerk.visit,
            document=self._words.document(visit.clerk.document),
            accesses=await self._accesses(used.person),
            records=await self._records(used),
            consents=await self._consents(used.person),
            receipt=used.receipt,
            words=self._words,
            now=datetime.now(UTC),
        )
        return HTMLResponse(page, headers=headers())

    async def _use(
        self, visit: Visit, what: str, act: Callable[[Writing, Person, Actor], Awaitable[Any]]
    ) -> Assisted[Any] | AssistanceRefused | ConsentError:
        used = await self._desk.use(visit.presented, visit.clerk, visit.met, what, act)
        if isinstance(used, Assisted) and isinstance(used.found, ConsentError):
            return used.found
        return used

    async def _known(self, visit: Visit) -> Person | None:
        async with self._vault.engine.connect() as connection:
            return await subjects.find(connection, visit.met.identifier.scheme, visit.met.blind)

    async def _listing(self, visit: Visit) -> Callable[[Writing, Person, Actor], Awaitable[_Viewed]]:
        """What lists the person's records, without those that nothing opens any more."""
        vault, known = self._vault, await self._known(visit)
        gone = set() if known is None else await months_gone(vault.log, vault.keys, known.subject_id)

        async def act(writing: Writing, person: Person, actor: Actor) -> _Viewed:
            return await list_records(writing, person.subject_id, actor, gone), writing

        return act

    async def _accesses(self, person: Person) -> list[Access]:
        async with self._vault.engine.connect() as connection:
            return await accesses.accesses(connection, self._vault.logs, person.subject_id)

    async def _records(self, used: Assisted[_Viewed]) -> list[OwnRecord]:
        """Opens what was listed: the view is in the log, durable and raised."""
        assert not isinstance(used.found, ConsentError)  # noqa: S101 -- `_use` answers such
        listed, written = used.found
        return await open_records(self._vault.log, self._vault.keys, listed, written)

    async def _consents(self, person: Person) -> list[Consent]:
        async with self._vault.engine.connect() as connection:
            return await consents_of(connection, person.subject_id)


async def _nothing(_writing: Writing, _person: Person, _actor: Actor) -> None:
    """What is read is read once its use is in the log."""


@dataclass(frozen=True, slots=True)
class _Route:
    """One kind of use: where it is asked, what it takes, what it answers."""

    path: str
    handler: Handler[Any]
    asked: type[PersonIn]
    answered: type[BaseModel] | None
    summary: str


def desk_router(vault: Vault) -> APIRouter:
    """The routes under `/v1/desk`."""
    router = APIRouter(prefix="/v1/desk", tags=["desk"])
    api = DeskApi(vault)
    for route in (
        _Route("/accesses", api.accesses, PersonIn, DeskAccessesOut, "Who asked about the person"),
        _Route("/records", api.records, PersonIn, DeskRecordsOut, "What is held about the person"),
        _Route("/consents", api.consents, PersonIn, DeskConsentsOut, "The person's consents"),
        _Route("/withdraw", api.withdraw, WithdrawIn, DeskDoneOut, "Withdraw a consent for the person"),
        _Route("/freeze", api.freeze, PersonIn, DeskDoneOut, "Freeze the person's consents"),
        _Route(
            "/not-recognised", api.not_recognised, ObjectIn, DeskDoneOut, "Say that a query is not recognised"
        ),
        _Route("/print", api.print, PersonIn, None, "A copy for the person, fit for print"),
    ):
        _add(router, vault, route)
    return router


def _add(router: APIRouter, vault: Vault, route: _Route) -> None:
    async def use(request: Request) -> Response:
        presented = verify(vault.protection, request)
        clerk = clerk_of(presented)
        if clerk is None:
            return problem_response(FORBIDDEN, "This token is for no desk. Obtain one for assistance.")
        asked = await read_asked(request, route.asked)
        if isinstance(asked, Response):
            return asked
        identifier = parse_identifier(asked.subject.scheme, asked.subject.number, vault.schemes)
        (blind,) = await vault.keys.blind([identifier])
        answer = await route.handler(Visit(presented, clerk, Met(identifier, blind)), asked)
        return _response(answer, vault)

    use.__doc__ = route.handler.__doc__
    good: dict[str, Any] = (
        {"description": "The copy", "content": {"text/html": {}}}
        if route.answered is None
        else {"model": route.answered}
    )
    router.add_api_route(
        route.path,
        use,
        methods=["POST"],
        name="desk-" + route.path.strip("/"),
        response_model=None,
        response_class=HTMLResponse if route.answered is None else JSONResponse,
        responses={200: good, **_PROBLEMS},
        summary=route.summary,
        openapi_extra={
            **described(route.asked),
            "security": [{"dpop": []}],
        },
    )


def _response(answer: Answer, vault: Vault) -> Response:
    if isinstance(answer, AssistanceRefused):
        return problem_response(
            REFUSED,
            answer.refusal.reason,
            rule=answer.refusal.rule,
            receipt=answer.receipt,
            opening=dict(answer.opening),
        )
    if isinstance(answer, ConsentError):
        said = f"{str(answer)[:1].upper()}{str(answer)[1:]}."
        if isinstance(answer, InvalidError):
            return problem_response(INVALID, said)
        problem = NOT_FOUND if isinstance(answer, UnknownError) else CONFLICT
        return problem_response(problem, f"{said} That you asked is in the person's log.")
    if isinstance(answer, Response):
        answer.headers.update(vault.protection.fresh_nonce())
        return answer
    return JSONResponse(answer.model_dump(mode="json"), headers=vault.protection.fresh_nonce())
