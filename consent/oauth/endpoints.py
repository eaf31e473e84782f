"""The endpoints for clients, each a short way through one transaction.

1. the DPoP proof, where one is due: CPU only, so a proof without nonce costs the client no assertion
2. the client's assertion, recorded as used; for a client that publishes its keys perhaps after another look
3. the proof, recorded as used
4. the endpoint itself, by Authlib
5. commit, whatever the answer is: what was used stays used
"""

from collections.abc import Awaitable, Callable
from typing import Final

from authlib.oauth2.base import OAuth2Error
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from consent.facts import CatalogueFacts
from consent.oauth import jose, rar
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
from consent.oauth.errors import (
    AccessError,
    DetailsError,
    NonceRequiredError,
    SignatureError,
    SubjectError,
)
from consent.oauth.failures import Attempt, FailedAuthentications, client_named, network_of
from consent.oauth.introspection import TokenIntrospection
from consent.oauth.par import PushedRequestEndpoint
from consent.oauth.profile import INTROSPECT_PATH, PAR_PATH, REVOKE_PATH, TOKEN_PATH, Profile
from consent.oauth.replay import record_proofs
from consent.oauth.revocation import TokenRevocation
from consent.oauth.server import Server

_Work = Callable[[AsyncConnection, Server, FormRequest], Awaitable[Answer]]
_REPLAYED: Final = "The proof was used before: make a new one for each request."


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
        self._catalogue = catalogue
        self._hasher = hasher
        self._keys = keys
        self._failures = failures
        self._proofs = profile.proofs()

    async def push(self, form: Form) -> Answer:
        """POST /oauth/par. The proof is optional: `dpop_jkt` can name the key instead."""
        work = _endpoint(PushedRequestEndpoint.ENDPOINT_NAME)
        return await self._converse(PAR_PATH, form, work, with_proof=bool(form.dpop))

    async def token(self, form: Form) -> Answer:
        """POST /oauth/token."""
        return await self._converse(TOKEN_PATH, form, self._exchange, with_proof=True)

    async def revoke(self, form: Form) -> Answer:
        """POST /oauth/revoke."""
        work = _endpoint(TokenRevocation.ENDPOINT_NAME)
        return await self._converse(REVOKE_PATH, form, work, with_proof=False)

    async def introspect(self, form: Form) -> Answer:
        """POST /oauth/introspect."""
        work = _endpoint(TokenIntrospection.ENDPOINT_NAME)
        return await self._converse(INTROSPECT_PATH, form, work, with_proof=False)

    async def _converse(self, path: str, form: Form, work: _Work, *, with_proof: bool) -> Answer:
        request = FormRequest(self._profile.url(path), form.parameters)
        attempt = _attempt(form)
        wait = self._failures.wait(attempt)
        if wait is not None:
            return answer_too_many(wait)
        try:
            if with_proof:
                request.proof = self._proofs.check(
                    form.dpop, method="POST", path=path, now=self._profile.clock()
                )
        except AccessError as error:
            headers = {"DPoP-Nonce": error.nonce} if isinstance(error, NonceRequiredError) else {}
            return answer_proof_error(error, headers)
        try:
            answer = await self._in_transaction(request, work)
        except KeysWantedError as wanted:
            # Nothing was judged or used yet. No transaction is open while a stranger's web server is asked.
            await self._keys.renew(wanted.body_id, self._profile.now())
            answer = await self._in_transaction(request, work, renewed=True)
        if (answer.body or {}).get("error") == "invalid_client":
            wait = await self._failures.failed(attempt)
            if wait is not None:
                return answer_too_many(wait)
        else:
            self._failures.succeeded(attempt)
        if self._profile.nonces is not None:
            answer.headers["DPoP-Nonce"] = self._profile.nonces.current(self._profile.clock())
        return answer

    async def _in_transaction(self, request: FormRequest, work: _Work, *, renewed: bool = False) -> Answer:
        async with self._engine.begin() as connection:
            server = await connection.run_sync(
                lambda sync: Server(self._profile, sync, self._catalogue, renewed=renewed)
            )
            return await self._answer(connection, server, request, work)

    async def _answer(
        self, connection: AsyncConnection, server: Server, request: FormRequest, work: _Work
    ) -> Answer:
        try:
            with safe_words():
                await connection.run_sync(lambda _: server.authenticate_client(request))
                await _use_proof(connection, request)
                return await work(connection, server, request)
        except OAuth2Error as error:
            # Authlib answers its own errors; this one was raised before or after it was asked.
            return answer_error(error, self._profile.issuer)

    async def _exchange(self, connection: AsyncConnection, server: Server, request: FormRequest) -> Answer:
        if request.payload.grant_type == "client_credentials":
            request.granted = await self._granted(request)
        answer: Answer = await connection.run_sync(lambda _: server.create_token_response(request))
        return answer

    async def _granted(self, request: FormRequest) -> rar.Granted:
        """What the body asks for itself; a person in it becomes a keyed hash here, known or not."""
        try:
            requested = rar.read_request(request.form.get("authorization_details"))
            if not isinstance(requested, rar.StatutoryRequest):
                return requested
            subject = requested.subject
            return requested.granted(await self._hasher.subject_hash(subject.scheme, subject.number))
        except DetailsError:
            raise RefusedError("invalid_authorization_details") from None
        except SubjectError:
            raise RefusedError(
                "invalid_authorization_details", "The person's identifier is not well formed."
            ) from None


def _attempt(form: Form) -> Attempt:
    """Who says to be whom: by `client_id`, or by the assertion, of which nothing is believed."""
    named: object = form.parameters.get("client_id")
    if named is None:
        try:
            named = jose.read_claims(jose.take_apart(form.parameters.get("client_assertion", ""))).get("sub")
        except SignatureError:
            named = None
    return Attempt(network_of(form.host), client_named(named))


def _endpoint(name: str) -> _Work:
    async def work(connection: AsyncConnection, server: Server, request: FormRequest) -> Answer:
        answer: Answer = await connection.run_sync(lambda _: server.create_endpoint_response(name, request))
        return answer

    return work


async def _use_proof(connection: AsyncConnection, request: FormRequest) -> None:
    proof = request.proof
    if proof is not None and not await record_proofs(connection, [(proof.jkt, proof.jti, proof.expires_at)]):
        raise RefusedError("invalid_dpop_proof", _REPLAYED)
