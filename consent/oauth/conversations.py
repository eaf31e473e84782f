"""Clients that ask within one moment are authenticated together, in one transaction.

    1  the clients are read that their assertions name
    2  each assertion is judged; CPU only
    3  those that hold are recorded as used, and after them the proofs of their requests
    4  what the requests ask about is read: authorizations, tokens
    5  commit: what was used is used, whatever is answered

One at a time a request costs four statements and a commit, which is most of its time. What each endpoint
writes of its own it writes afterwards, in a transaction of its own: no client waits for another's locks.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from authlib.oauth2.base import OAuth2Error
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from access_log.batch import Batcher
from consent.facts import CatalogueFacts
from consent.oauth.adapter import FormRequest, RefusedError, safe_words
from consent.oauth.clients import KeysWantedError, find_clients
from consent.oauth.errors import TokenInvalidError
from consent.oauth.known_tokens import KnownTokens
from consent.oauth.profile import Profile
from consent.oauth.refresh import RefreshToken
from consent.oauth.replay import record_assertions, record_proofs, revoked
from consent.oauth.revocation import OwnToken
from consent.oauth.server import Server
from consent.oauth.tokens import AccessToken

_MOST: Final = 64
_USED_ASSERTION: Final = "The assertion was used before: sign a new one."
_USED_PROOF: Final = "The proof was used before: make a new one for each request."
_IN_FORCE: Final = text(
    "SELECT position - 1 FROM unnest(CAST(:authorizations AS uuid[]), CAST(:bodies AS uuid[]))"
    " WITH ORDINALITY AS t (authorization_id, body_id, position)"
    " JOIN consent.authorization a USING (authorization_id, body_id)"
    " WHERE a.state = 'approved' AND a.valid_from <= :now AND a.valid_until > :now"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what its endpoint needs to know of the database.

    Attributes:
        authorization: whether this one is its client's and in force.
        token: which of our tokens this is.
        renewed: whether the keys its client publishes were just looked for.
    """

    request: FormRequest
    authorization: UUID | None = None
    token: str | None = None
    renewed: bool = False


class Conversations:
    """Opens conversations with clients. One per worker process.

    Args:
        profile: whose server it is.
        engine: the application role's database.
        catalogue: which fields are open to which kind of body.
    """

    def __init__(self, profile: Profile, engine: AsyncEngine, catalogue: CatalogueFacts) -> None:
        self._profile = profile
        self._engine = engine
        self._catalogue = catalogue
        self._keys = profile.keys.public
        self._known = KnownTokens(profile.token_reader())
        self._batches: Batcher[Asked, Server] = Batcher(self._open_together, window=0, most=_MOST)

    async def open(self, asked: Asked) -> Server:
        """Authenticates the client; its assertion and the proof of the request are used up.

        Returns:
            A server that has authenticated it, and knows what was asked about.

        Raises:
            OAuth2Error: the client could not be authenticated, or the proof was used before.
            KeysWantedError: nothing was judged or used: newer keys of the client must be looked for first.
        """
        return await self._batches.ask(asked)

    async def _open_together(self, together: Sequence[Asked]) -> list[Server | Exception]:
        async with self._engine.begin() as connection:
            named = [asked.request.asserted_client for asked in together]
            clients = await connection.run_sync(find_clients, named)
            outcomes: list[Server | Exception] = []
            for asked in together:
                server = Server(self._profile, self._catalogue, clients, renewed=asked.renewed)
                outcomes.append(_judged(server, asked.request))
            await _use_up(connection, together, outcomes)
            opened = [
                (asked, outcome)
                for asked, outcome in zip(together, outcomes, strict=True)
                if isinstance(outcome, Server)
            ]
            await self._look_up_authorizations(connection, opened)
            await self._look_up_tokens(connection, opened)
        # Durable: from here on nobody else is served by these assertions and proofs.
        return outcomes

    async def _look_up_authorizations(
        self, connection: AsyncConnection, opened: Sequence[tuple[Asked, Server]]
    ) -> None:
        about = [(asked.authorization, server) for asked, server in opened if asked.authorization is not None]
        if not about:
            return
        found = await connection.execute(
            _IN_FORCE,
            {
                "authorizations": [authorization for authorization, _ in about],
                "bodies": [server.used.body_id for _, server in about],
                "now": self._profile.now(),
            },
        )
        for (position,) in found:
            about[position][1].in_force = True

    async def _look_up_tokens(
        self, connection: AsyncConnection, opened: Sequence[tuple[Asked, Server]]
    ) -> None:
        """Finds tokens of ours that have not ended: access tokens, or refresh tokens."""
        known = self._known_tokens()
        read: list[tuple[AccessToken, Server]] = []
        for asked, server in opened:
            if asked.token is None:
                continue
            digest = hashlib.sha256(asked.token.encode()).digest()
            try:
                read.append((known.read(asked.token, digest, server.now), server))
            except TokenInvalidError:
                server.token = await connection.run_sync(RefreshToken.find, asked.token, server.now)
        if not read:
            return
        taken_back = await revoked(connection, [token for token, _ in read])
        for position, (token, server) in enumerate(read):
            server.token = OwnToken(token, revoked=position in taken_back)

    def _known_tokens(self) -> KnownTokens:
        """What was verified by the keys that verify now; they change while the server runs."""
        keys = self._profile.keys.public
        if keys is not self._keys:
            self._keys, self._known = keys, KnownTokens(self._profile.token_reader())
        return self._known


def _judged(server: Server, request: FormRequest) -> Server | Exception:
    """The server, once it has authenticated the client of the request; or why it could not."""
    try:
        with safe_words():
            server.authenticate_client(request)
    except (OAuth2Error, KeysWantedError) as error:
        return error
    except Exception as error:  # noqa: BLE001 -- handed to this one's caller: the others' requests go on
        return error
    return server


async def _use_up(
    connection: AsyncConnection, together: Sequence[Asked], outcomes: list[Server | Exception]
) -> None:
    """Records assertions, then the proofs of those requests whose assertion was new."""
    judged = [(at, outcome.used) for at, outcome in enumerate(outcomes) if isinstance(outcome, Server)]
    if not judged:
        return
    new = await record_assertions(
        connection, [(used.body_id, used.jti, used.expires_at) for _, used in judged]
    )
    proven = []
    for position, (at, _) in enumerate(judged):
        if position not in new:
            outcomes[at] = RefusedError("invalid_client", _USED_ASSERTION)
        elif (proof := together[at].request.proof) is not None:
            proven.append((at, proof))
    if not proven:
        return
    new = await record_proofs(connection, [(proof.jkt, proof.jti, proof.expires_at) for _, proof in proven])
    for position, (at, _) in enumerate(proven):
        if position not in new:
            outcomes[at] = RefusedError("invalid_dpop_proof", _USED_PROOF)
