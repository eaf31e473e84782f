"""The authorization endpoint: a person reads what a body asks for, narrows it, grants it or refuses it.

A request arrives by `request_uri` alone (FAPI 2.0 §5.3.2.2); everything else about it was pushed by the
client. Until the person has decided, nothing is written. The decision uses the request up. A refusal deletes
it and leaves nothing behind; a grant writes consent, OAuth grant and code in one transaction of the log, and
the person is sent back only after it is durable.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from authlib.oauth2.base import OAuth2Error
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from access_log.log import Log
from consent import consents, freeze
from consent.errors import ConsentError, FrozenError
from consent.facts import CatalogueFacts
from consent.oauth import par, rar
from consent.oauth.adapter import (
    Answer,
    FormRequest,
    RefusedError,
    answer_error,
    read_answers,
    read_query,
    safe_words,
    to_response,
)
from consent.oauth.citizens import Citizens, ConsentPage, ConsentView, SignedIn
from consent.oauth.clients import find_clients
from consent.oauth.errors import DetailsError, RequestFormError
from consent.oauth.grants import CodeGrant, Holder
from consent.oauth.profile import AUTHORIZE_PATH, Profile
from consent.oauth.server import Server
from consent.permit import EVERY_DATE, DataRange
from consent.record import Frequency, Keeper, NewConsent, Notice

GONE: Final = (
    "This request is unknown, has expired, or was answered already. "
    "Go back to the organization that sent you here and start again."
)
MALFORMED: Final = (
    "This address is not complete. Go back to the organization that sent you here and start again."
)
FORGED: Final = "This form did not come from your own page. Nothing was granted. Open the request again."
UNANSWERABLE: Final = "This organization may not ask for this any more. Nothing was granted."
FROZEN: Final = (
    "You froze your consents. Nothing was granted. End the freeze first, then open the request again."
)
_NARROW: Final = "Choose at least one field, and no more days than were asked for."


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pushed request, found and validated again."""

    client_id: str
    request_uri: str
    dpop_jkt: str
    grant: CodeGrant
    requested: rar.ConsentedQuery


class _NothingGrantedError(Exception):
    """Takes the transaction of a grant back, and carries what is answered instead."""

    def __init__(self, answer: Answer | None, reason: str) -> None:
        super().__init__()
        self.answer = answer
        self.reason = reason


class AuthorizationPages:
    """What people see.

    Args:
        profile: whose server it is.
        engine: the application role's database.
        log: consents are written through it.
        catalogue: which fields are open to which kind of body.
        citizens: sign-in.
        page: renders.
        keeper: stated in each consent record; signs the person's copy.
    """

    def __init__(
        self,
        profile: Profile,
        engine: AsyncEngine,
        log: Log,
        *,
        catalogue: CatalogueFacts,
        citizens: Citizens,
        page: ConsentPage,
        keeper: Keeper,
    ) -> None:
        self._profile = profile
        self._engine = engine
        self._log = log
        self._catalogue = catalogue
        self._citizens = citizens
        self._page = page
        self._keeper = keeper

    async def show(self, request: Request) -> Response:
        """GET: the page, after sign-in."""
        try:
            query = read_query(request)
            client_id, request_uri = _names(query)
        except RequestFormError:
            return self._page.failed(request, MALFORMED)
        async with self._engine.connect() as connection:
            asked = await self._find(connection, client_id, request_uri)
        if not isinstance(asked, _Asked):
            return self._cannot(request, asked)
        signed_in = await self._citizens.signed_in(request)
        if signed_in is None or not self._citizens.may_grant(signed_in):
            # Before the form and not after it: nobody fills it in twice.
            url = self._sign_in_url(client_id, request_uri)
            return RedirectResponse(url, 303, {"Cache-Control": "no-store"})
        async with self._engine.connect() as connection:
            frozen = await self._is_frozen(connection, signed_in)
        return self._page.ask(request, self._view(asked, signed_in, frozen=frozen))

    async def decide(self, request: Request) -> Response:
        """POST: the person's decision."""
        try:
            answers = await read_answers(request)
            client_id, request_uri = _names({name: values[0] for name, values in answers.items()})
        except RequestFormError:
            return self._page.failed(request, MALFORMED)
        signed_in = await self._citizens.signed_in(request)
        if signed_in is None:
            return self._page.sign_in(request, self._sign_in_url(client_id, request_uri))
        csrf = answers.get("csrf", [""])[0]
        if not hmac.compare_digest(csrf.encode(), signed_in.csrf.encode()):
            return self._page.failed(request, FORGED)
        match answers.get("decision", [""])[0]:
            case "refuse":
                return await self._refuse(request, client_id, request_uri)
            case "grant":
                return await self._grant(request, client_id, request_uri, signed_in, answers)
            case _:
                return self._page.failed(request, MALFORMED)

    async def _find(
        self, connection: AsyncConnection, client_id: str, request_uri: str, *, use: bool = False
    ) -> _Asked | Answer | None:
        """The request, validated as it was when it was pushed: bodies and purposes may have changed since.

        Returns:
            None when there is none; an answer to the client when it may not be served any more.
        """
        body_id = _body_id(client_id)
        if body_id is None:
            return None
        read = par.use_request if use else par.find_request
        pushed = await read(connection, body_id, request_uri, self._profile.now())
        if pushed is None:
            return None
        stored = FormRequest(self._profile.url(AUTHORIZE_PATH), pushed.parameters)

        def validate(sync: Connection) -> _Asked:
            server = Server(self._profile, self._catalogue, find_clients(sync, [client_id])).within(sync)
            grant: CodeGrant = server.get_consent_grant(stored)
            return _Asked(client_id, request_uri, pushed.dpop_jkt, grant, grant.requested())

        try:
            with safe_words():
                return await connection.run_sync(validate)
        except OAuth2Error as error:
            # Authlib adds no `iss` to errors it raises here; the adapter adds it to every redirect.
            answer = answer_error(error, self._profile.issuer)
            return answer if answer.location is not None else None

    async def _refuse(self, request: Request, client_id: str, request_uri: str) -> Response:
        async with self._engine.begin() as connection:
            asked = await self._find(connection, client_id, request_uri, use=True)
        if not isinstance(asked, _Asked):
            return self._cannot(request, asked)
        # The words are the same for every denial: the client cannot tell who denied it, or why.
        denied = RefusedError("access_denied")
        denied.redirect_uri, denied.state = asked.grant.redirect_uri, asked.grant.request.payload.state
        return to_response(answer_error(denied, self._profile.issuer))

    async def _grant(
        self,
        request: Request,
        client_id: str,
        request_uri: str,
        signed_in: SignedIn,
        answers: Mapping[str, list[str]],
    ) -> Response:
        if not self._citizens.may_grant(signed_in):
            return self._page.sign_in(request, self._sign_in_url(client_id, request_uri))
        async with self._engine.connect() as connection:
            asked = await self._find(connection, client_id, request_uri)
        if not isinstance(asked, _Asked):
            return self._cannot(request, asked)
        try:
            details = _narrowed(asked.requested, answers)
        except DetailsError:
            return self._page.ask(request, self._view(asked, signed_in, mistake=_NARROW))
        try:
            return to_response(await self._write(request, asked, details, signed_in))
        except _NothingGrantedError as nothing:
            return self._cannot(request, nothing.answer, nothing.reason)

    async def _write(
        self, request: Request, asked: _Asked, details: rar.ConsentedQuery, signed_in: SignedIn
    ) -> Answer:
        """Writes consent, grant and code; returns the way back to the client.

        Raises:
            _NothingGrantedError: the request was answered meanwhile, or the consent cannot be given; nothing
                was written.
        """
        async with self._log.writing() as writing:
            connection = writing.connection
            found = await self._find(connection, asked.client_id, asked.request_uri, use=True)
            if not isinstance(found, _Asked):
                raise _NothingGrantedError(found, GONE)
            person = await self._citizens.person(writing, signed_in)
            shown = self._page.notice(request)
            new = _new_consent(found.grant.client.body_id, details, shown.notice, shown.language)
            try:
                record = await consents.grant(writing, person, new, self._keeper)
            except FrozenError as error:
                raise _NothingGrantedError(None, FROZEN) from error
            except ConsentError as error:
                raise _NothingGrantedError(None, UNANSWERABLE) from error
            holder = Holder(person.subject_id, record.consent_id, details, found.dpop_jkt)
            answer = await connection.run_sync(lambda _: found.grant.answer_with_code(holder))
        # Durable and raised in the outside lock: now the client may learn the code.
        return answer  # noqa: RET504 -- the commit stands between

    def _cannot(self, request: Request, answer: Answer | None, reason: str = GONE) -> Response:
        """Back to the client where that is safe, else a page."""
        return self._page.failed(request, reason) if answer is None else to_response(answer)

    async def _is_frozen(self, connection: AsyncConnection, signed_in: SignedIn) -> bool:
        return signed_in.subject_id is not None and await freeze.stands(connection, signed_in.subject_id)

    def _sign_in_url(self, client_id: str, request_uri: str) -> str:
        query = urlencode({"client_id": client_id, "request_uri": request_uri})
        return self._citizens.sign_in_url(f"{AUTHORIZE_PATH}?{query}")

    def _view(
        self, asked: _Asked, signed_in: SignedIn, *, frozen: bool = False, mistake: str | None = None
    ) -> ConsentView:
        requested = asked.requested
        dates = requested.data_range or rar.DataRange()
        target = urlsplit(asked.grant.redirect_uri)
        return ConsentView(
            action=AUTHORIZE_PATH,
            client_id=asked.client_id,
            request_uri=asked.request_uri,
            csrf=signed_in.csrf,
            display_name=signed_in.display_name,
            body=asked.grant.client.as_shown,
            purpose=requested.purpose,
            fields=requested.fields,
            mode=requested.mode,
            validity=requested.validity,
            frequency=requested.frequency,
            max_uses=requested.max_uses,
            data_from=dates.first,
            data_until=dates.last,
            redirect_origin=f"{target.scheme}://{target.netloc}",
            frozen=frozen,
            mistake=mistake,
        )


def _names(parameters: Mapping[str, str]) -> tuple[str, str]:
    """Client and request; whatever else stands beside them is not asked for (RFC 9126 §4)."""
    client_id, request_uri = parameters.get("client_id"), parameters.get("request_uri")
    if client_id is None or request_uri is None or not request_uri.startswith(par.URN):
        raise RequestFormError(
            "Send client_id and a request_uri of the pushed authorization request endpoint."
        )
    return client_id, request_uri


def _body_id(client_id: str) -> UUID | None:
    try:
        body_id = UUID(client_id)
    except ValueError:
        return None
    return body_id if str(body_id) == client_id else None


def _narrowed(requested: rar.ConsentedQuery, answers: Mapping[str, list[str]]) -> rar.ConsentedQuery:
    fields = answers.get("fields", [])
    days = answers.get("validity", [""])[0]
    if not days.isascii() or not days.isdigit() or len(days) > len(str(rar.LONGEST_VALIDITY)):
        raise DetailsError(_NARROW)
    return requested.narrowed(fields, int(days))


def _new_consent(body_id: UUID, details: rar.ConsentedQuery, notice: Notice, language: str) -> NewConsent:
    dates, frequency = details.data_range, details.frequency
    return NewConsent(
        body_id=body_id,
        purpose=details.purpose,
        fields=details.fields,
        mode=details.mode,
        validity_days=details.validity,
        # What was only to be seen is not kept; what may be kept is kept no longer than the consent.
        data_life_days=details.validity if details.mode == "store" else 0,
        notice=notice,
        language=language,
        max_uses=details.max_uses,
        frequency=None if frequency is None else Frequency(frequency.times, frequency.days),
        data_range=EVERY_DATE if dates is None else DataRange(dates.first, dates.last),
    )
