"""Which keys of the server sign access tokens, and since when.

A change is announced in the database before it takes effect, so that every worker, and whoever fetched the
key set lately, knows the new key before a token of it comes:

    announced ──── LEAD ────► the new key signs ──── OVERLAP ────► tokens of the old key are refused

The old key signs until the new one does, and its last token lives to its end. Where the old key is known to
others, `compromised` takes it out at once: a worker that has not heard of it yet may then refuse new tokens
for some seconds, which is the lesser evil.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from joserfc.jwk import OKPKey
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent.errors import StateError
from consent.journal import Actor, write_register_event
from consent.oauth.tables import token_key
from consent.oauth.tokens import LONGEST_LIFE, ed25519_key

LEAD: Final = timedelta(minutes=10)
"""From the announcement to the first token: longer than workers take to look, and caches to forget."""
OVERLAP: Final = timedelta(seconds=LONGEST_LIFE + 60)
"""From the first token of a new key to the end of the old ones."""

Seed = Callable[[int], Awaitable[bytes]]
"""The seed of one version of the key, 32 bytes."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One version of the key.

    Attributes:
        version: from 1.
        signs_from: since when it signs; None for the first.
        others_until: until when tokens of earlier versions are accepted; None for the first.
    """

    version: int
    signs_from: datetime | None
    others_until: datetime | None


_FIRST: Final = TokenKey(1, None, None)


@dataclass(frozen=True, slots=True)
class Standing:
    """The versions that count at one moment: the one that signs first."""

    signs: TokenKey
    verify: tuple[TokenKey, ...]


def standing(keys: Sequence[TokenKey], now: datetime) -> Standing:
    """What counts now.

    Args:
        keys: every version ever announced, oldest first.
        now: the present.
    """
    signs = [key for key in keys if key.signs_from is None or key.signs_from <= now][-1]
    ended = [key.version for key in keys if key.others_until is not None and key.others_until <= now]
    first = max(ended, default=_FIRST.version)
    return Standing(signs, (signs, *(key for key in keys if key.version >= first and key != signs)))


async def read_keys(connection: AsyncConnection) -> list[TokenKey]:
    """Every version ever announced, oldest first."""
    rows = await connection.execute(
        select(token_key.c.version, token_key.c.signs_from, token_key.c.others_until).order_by(
            token_key.c.version
        )
    )
    return [_FIRST, *(TokenKey(*row) for row in rows)]


async def announce(writing: Writing, version: int, actor: Actor, *, compromised: bool = False) -> TokenKey:
    """Announces the next version, whose seed was made before.

    Args:
        writing: the transaction of the log.
        version: the next one.
        actor: who changes the key.
        compromised: whether the present keys are to end at once.

    Raises:
        StateError: another version is the next, or the last change has not come to its end and nothing is
            compromised.
    """
    newest = (await read_keys(writing.connection))[-1]
    if newest.version + 1 != version:
        raise StateError("somebody else changed the key at this moment: look at the keys, then decide")
    if not compromised and newest.others_until is not None and newest.others_until > writing.now:
        raise StateError(
            f"the last change of the key ends at {newest.others_until:%Y-%m-%d %H:%M} UTC: wait for it"
        )
    signs_from = writing.now if compromised else writing.now + LEAD
    others_until = writing.now if compromised else signs_from + OVERLAP
    next_key = TokenKey(version, signs_from, others_until)
    key_id = uuid4()
    await writing.connection.execute(
        token_key.insert(),
        {
            "version": next_key.version,
            "key_id": key_id,
            "announced_at": writing.now,
            "signs_from": signs_from,
            "others_until": others_until,
        },
    )
    content = {
        "version": next_key.version,
        "signs_from": signs_from.isoformat(),
        "others_until": others_until.isoformat(),
        "compromised": compromised,
    }
    await write_register_event(writing, "token_key.announced", key_id, actor, content)
    return next_key


async def keys_of(keys: Sequence[TokenKey], seed: Seed) -> list[OKPKey]:
    """The keys themselves, made from their seeds."""
    return [ed25519_key(await seed(key.version)) for key in keys]
