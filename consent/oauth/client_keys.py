"""Keeps the keys of bodies that publish them (`jwks_uri`) as new as is needed.

The register holds the keys last found, and most requests are verified by these alone. They are looked for
again

- when an assertion names a `kid` the register does not hold: the body has a new key, or somebody lies
- when they are older than an hour, so that a key the body took away ends

but never more than once a minute for one body, whatever is sent by whomever and to however many workers: the
minute is kept in the database. While a body's web server is down its known keys serve on, for a day.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Row, or_, select, update

from access_log.errors import AccessLogError
from access_log.log import Log
from consent.body_keys import replace_keys
from consent.journal import Actor
from consent.oauth.errors import KeysNotFetchedError
from consent.oauth.jwks_uri import PublishedKeys
from consent.tables import body

FRESH: Final = timedelta(hours=1)
"""For so long the keys found serve without another look."""
LAST: Final = timedelta(days=1)
"""For so long they serve while no look succeeds."""
PAUSE: Final = timedelta(minutes=1)
"""The least time between two looks at one body's keys."""

_AT_ONCE: Final = 4
_events = structlog.get_logger()


class ClientKeys:
    """Looks for newer keys.

    Args:
        log: a change of keys is an entry of it.
        published: where to look, and within which limits.
    """

    def __init__(self, log: Log, published: PublishedKeys) -> None:
        self._log = log
        self._published = published
        self._looking = asyncio.Semaphore(_AT_ONCE)

    async def renew(self, body_id: UUID, now: datetime) -> None:
        """Looks for a body's keys, unless somebody did within the last minute.

        What goes wrong goes to the operator's log: the known keys then decide.
        """
        claimed = await self._claim(body_id, now)
        if claimed is None:
            return
        try:
            async with self._looking:
                found = await self._published.fetch(claimed.jwks_uri)
            await self._keep(body_id, claimed, found, now)
        except (KeysNotFetchedError, AccessLogError) as error:
            _events.warning("client_keys_not_renewed", body=str(body_id), reason=str(error))

    async def _claim(self, body_id: UUID, now: datetime) -> Row[tuple[str, dict[str, object]]] | None:
        """Whose statement finds the minute over looks; the others go on with what is known."""
        claim = (
            update(body)
            .where(
                body.c.body_id == body_id,
                body.c.jwks_uri.is_not(None),
                or_(body.c.jwks_tried_at.is_(None), body.c.jwks_tried_at <= now - PAUSE),
            )
            .values(jwks_tried_at=now)
            .returning(body.c.jwks_uri, body.c.jwks)
        )
        async with self._log.engine.begin() as connection:
            return (await connection.execute(claim)).one_or_none()

    async def _keep(
        self,
        body_id: UUID,
        claimed: Row[tuple[str, dict[str, object]]],
        found: dict[str, object],
        now: datetime,
    ) -> None:
        same = body.c.body_id == body_id, body.c.jwks_uri == claimed.jwks_uri
        if found == claimed.jwks:
            async with self._log.engine.begin() as connection:
                await connection.execute(update(body).where(*same).values(jwks_fetched_at=now))
            return
        async with self._log.writing() as writing:
            # Meanwhile an operator may have given the body other keys, by value or at another place.
            still = await writing.connection.execute(select(body.c.body_id).where(*same))
            if still.one_or_none() is not None:
                actor = Actor(f"body:{body_id}", "body")
                await replace_keys(writing, body_id, found, actor, jwks_uri=claimed.jwks_uri)
        _events.info("client_keys_renewed", body=str(body_id))
