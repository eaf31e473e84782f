"""The endpoints for clients, each a short way.

1. the DPoP proof, where one is due: CPU only, so a proof without nonce costs the client no assertion
2. the client's assertion and then the proof, recorded as used, together with those of the requests that
   arrive beside it; for a client that publishes its keys perhaps after another look
3. commit, whatever will be answered: what was used stays used
4. the endpoint itself, by Authlib; one that writes, in a transaction that is committed whatever it answers
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from authlib.oauth2.base import OAuth2Error
from sqlalchemy.ext.asyncio import AsyncEngine

from consent.facts import CatalogueFacts
from consent.oauth import rar
from consent.oauth.adapter import (
    Answer,
    Form,
    FormRequest,
    RefusedError,
    answer_error,
    answer_proof_error,
    answer_too_many,
    safe_words,
)
from consent.oauth.citizens import SubjectHasher
from consent.oauth.client_keys import ClientKeys
from consent.oauth.clients import KeysWantedError
from consent.oauth.conversations import Asked, Conversations
from consent.oauth.errors import (
    AccessError,
    DetailsError,
    NonceRequiredError,
    SubjectError,
)
from consent.oauth.failures import Attempt, FailedAuthentications, client_named, network_of
from consent.oauth.introspection import TokenIntrospection
from consent.oauth.par import PushedRequestEndpoint
from consent.oauth.profile import INTROSPECT_PATH, PAR_PATH, REVOKE_PATH, TOKEN_PATH, Profile
from consent.oauth.revocation import TokenRevocation
from consent.oauth.server import Server

_Respond = Callable[[Server], Answer]
_Work = Callable[[Server], Awaitable[Answer]]


class ClientEndpoints:
    """What clients talk to.

    Args:
        profile: whose server it is.
        engine: the application role's database.
        catalogue: which fields are open to which kind of body.
        hasher: makes the keyed hash of a person's identifier.
        keys: looks for the keys that clients publish.
        failures: counts failed authentications.
    """

    def __init__(
        self,
        profile: Profile,
        engine: AsyncEngine,
        catalogue: CatalogueFacts,
        hasher: SubjectHasher,
        *,
        keys: ClientKeys,
        failures: FailedAuthentications,
    ) -> None:
        self._profile = profile
        self._engine = engine
        self._conversations = Conversations(profile, engine, catalogue)
        self._hasher = hasher
        self._keys = keys
        self._failures = failures
        self._proofs = profile.proofs()

    async def push(self, form: Form) -> Answer:
        """POST /oauth/par. The proof is optional: `dpop_jkt` can name the key instead."""
        request = self._request(PAR_PATH, form)
        work = self._writing(_endpoint(PushedRequestEndpoint.ENDPOINT_NAME, request))
        return await self._converse(form, Asked(request), work, with_proof=bool(form.dpop))

    async def token(self, form: Form) -> Answer:
        """POST /oauth/token."""
        request = self._request(TOKEN_PATH, form)
        if request.payload.grant_type == "client_credentials":
            asked, work = self._own(request)
        else:
            asked, work = Asked(request), self._writing(_exchange(request))
        return await self._converse(form, asked, work, with_proof=True)

    async def revoke(self, form: Form) -> Answer:
        """POST /oauth/revoke."""
        request = self._request(REVOKE_PATH, form)
        work = self._writing(_endpoint(TokenRevocation.ENDPOINT_NAME, request))
        return await self._converse(form, Asked(request, token=request.form.get("token")), work)

    async def introspect(self, form: Form) -> Answer:
        """POST /oauth/introspect. All it needs to know is asked with the authentication."""
        request = self._request(INTROSPECT_PATH, form)

        async def work(server: Server) -> Answer:
            return self._respond(server, _endpoint(TokenIntrospection.ENDPOINT_NAME, request))

        return await self._converse(form, Asked(request, token=request.form.get("token")), work)

    def _own(self, request: FormRequest) -> tuple[Asked, _Work]:
        """A token of the body's own; it is not stored, so nothing is written."""
        try:
            requested = rar.read_request(request.form.get("authorization_details"))
        except DetailsError:
            requested = None  # told once the client is known

        async def work(server: Server) -> Answer:
            request.granted = await self._granted(requested)
            return self._respond(server, _exchange(request))

        if isinstance(requested, rar.StatutoryRequest):
            return Asked(request, authorization=requested.authorization), work
        return Asked(request), work

    def _request(self, path: str, form: Form) -> FormRequest:
        return FormRequest(self._profile.url(path), form.parameters)

    async def _converse(self, form: Form, asked: Asked, work: _Work, *, with_proof: bool = False) -> Answer:
        request = asked.request
        attempt = _attempt(form, request)
        wait = self._failures.wait(attempt)
        if wait is not None:
            return answer_too_many(wait)
        try:
            if with_proof:
                request.proof = self._proofs.check(
                    form.dpop,
                    method="POST",
                    path=request.uri.removeprefix(self._profile.issuer),
                    now=self._profile.clock(),
                )
        except AccessError as error:
            headers = {"DPoP-Nonce": error.nonce} if isinstance(error, NonceRequiredError) else {}
            return answer_proof_error(error, headers)
        answer = await self._answer(asked, work)
        if (answer.body or {}).get("error") == "invalid_client":
            wait = await self._failures.failed(attempt)
            if wait is not None:
                return answer_too_many(wait)
        else:
            self._failures.succeeded(attempt)
        if self._profile.nonces is not None:
            answer.headers["DPoP-Nonce"] = self._profile.nonces.current(self._profile.clock())
        return answer

    async def _answer(self, asked: Asked, work: _Work) -> Answer:
        try:
            return await work(await self._open(asked))
        except OAuth2Error as error:
            # Authlib answers its own errors; this one was raised before it was asked.
            return answer_error(error, self._profile.issuer)

    async def _open(self, asked: Asked) -> Server:
        try:
            return await self._conversations.open(asked)
        except KeysWantedError as wanted:
            # Nothing was judged or used yet. No transaction is open while a stranger's web server is asked.
            await self._keys.renew(wanted.body_id, self._profile.now())
            return await self._conversations.open(replace(asked, renewed=True))

    def _writing(self, respond: _Respond) -> _Work:
        """An endpoint that writes: in a transaction of its own, committed whatever it answers."""

        async def work(server: Server) -> Answer:
            async with self._engine.begin() as connection:
                return await connection.run_sync(lambda sync: self._respond(server.within(sync), respond))

        return work

    def _respond(self, server: Server, respond: _Respond) -> Answer:
        try:
            with safe_words():
                return respond(server)
        except OAuth2Error as error:
            return answer_error(error, self._profile.issuer)

    async def _granted(self, requested: rar.Requested | None) -> rar.Granted:
        """What the body asks for itself; a person in it becomes a keyed hash here, known or not."""
        if requested is None:
            raise RefusedError("invalid_authorization_details")
        if not isinstance(requested, rar.StatutoryRequest | rar.AssistanceRequest):
            return requested
        subject = requested.subject
        try:
            return requested.granted(await self._hasher.subject_hash(subject.scheme, subject.number))
        except SubjectError:
            raise RefusedError(
                "invalid_authorization_details", "The person's identifier is not well formed."
            ) from None


def _attempt(form: Form, request: FormRequest) -> Attempt:
    """Who says to be whom: by `client_id`, or by the assertion, of which nothing is believed."""
    named: object = form.parameters.get("client_id")
    if named is None:
        named = request.asserted_client
    return Attempt(network_of(form.host), client_named(named))


def _endpoint(name: str, request: FormRequest) -> _Respond:
    def respond(server: Server) -> Answer:
        answer: Answer = server.create_endpoint_response(name, request)
        return answer

    return respond


def _exchange(request: FormRequest) -> _Respond:
    def respond(server: Server) -> Answer:
        answer: Answer = server.create_token_response(request)
        return answer

    return respond
