"""Failed authentications of clients, counted across all workers, per address and per client.

A signature cannot be guessed; what is limited is the work strangers cause, and what an operator is told.

- An address that failed `MOST` times within a minute is refused until the minute ends, before any work
  (429, RFC 6585 §4). A client that authenticated from there within the last hour is still heard: two who
  share an address do not share its fate.
- A client in whose name as many attempts failed is NOT refused: whoever knows a `client_id`, and all do,
  could lock the body out. Its good assertions serve as ever; the failing ones are answered 429, and the
  operator is told.

The count stands in PostgreSQL. What a worker knows by itself is only which addresses it found over the limit,
and who authenticated from where: a request that succeeds costs no statement more.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from time import time
from typing import Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

MOST: Final = 60
"""Failures within `PERIOD` that are answered as what they are."""
PERIOD: Final = timedelta(minutes=1)

_KNOWN_FOR: Final = 3600.0
_REMEMBERED: Final = 4096
_SITE_BITS: Final = 64
_COUNT: Final = text(
    "INSERT INTO consent.failed_authentication AS f (counted_hash, failures, expires_at)"
    " VALUES (:hash, 1, :ends) ON CONFLICT (counted_hash) DO UPDATE SET"
    " failures = CASE WHEN f.expires_at <= :now THEN 1 ELSE f.failures + 1 END,"
    " expires_at = CASE WHEN f.expires_at <= :now THEN :ends ELSE f.expires_at END"
    " RETURNING failures, expires_at"
)
_events = structlog.get_logger()
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who says to be whom.

    Attributes:
        address: the network the request came from; None where it is not known.
        client_id: the client named, in its one spelling; None where none is.
    """

    address: str | None
    client_id: str | None


class FailedAuthentications:
    """Counts failures, and says who is not heard for now.

    Args:
        engine: the application role's database, shared by all workers.
        clock: seconds since the epoch.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time) -> None:
        self._engine = engine
        self._clock = clock
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._known: OrderedDict[Attempt, float] = OrderedDict()

    def wait(self, attempt: Attempt) -> int | None:
        """Seconds to wait before this attempt is looked at; None if it is heard now."""
        if attempt.address is None:
            return None
        now = self._clock()
        until = self._refused.get(attempt.address)
        if until is None or until <= now or self._known.get(attempt, 0.0) > now - _KNOWN_FOR:
            return None
        return _seconds(until - now)

    def succeeded(self, attempt: Attempt) -> None:
        """Remembers that this client authenticated from there."""
        if attempt.address is not None:
            _remember(self._known, attempt, self._clock())

    async def failed(self, attempt: Attempt) -> int | None:
        """Counts a failure.

        Returns:
            Seconds to tell the client to wait; None below the limit.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        waits = []
        if attempt.address is not None and (ends := await self._over("address", attempt.address, now)):
            _remember(self._refused, attempt.address, ends)
            waits.append(ends)
        if attempt.client_id is not None and (ends := await self._over("client", attempt.client_id, now)):
            waits.append(ends)
        return _seconds(max(waits) - now.timestamp()) if waits else None

    async def _over(self, kind: str, counted: str, now: datetime) -> float | None:
        """Counts one more; returns when the period ends, if it has too many."""
        asked = {
            "hash": hashlib.sha256(f"{kind} {counted}".encode()).digest(),
            "now": now,
            "ends": now + PERIOD,
        }
        async with self._engine.begin() as connection:
            failures, ends = (await connection.execute(_COUNT, asked)).one()
        if failures <= MOST:
            return None
        if failures == MOST + 1:
            # Once in a period. An id that parsed as one is no text of a stranger; an address is not written.
            body = {"body": counted} if kind == "client" else {}
            _events.warning("authentications_fail", per=kind, within=PERIOD.seconds, **body)
        return float(ends.timestamp())


def network_of(host: str | None) -> str | None:
    """What counts as one address: of IPv6 the network of one site.

    None on loopback: there it is a proxy that does not tell whom it speaks for, or a demo.
    """
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, _SITE_BITS), strict=False))


def client_named(client_id: object) -> str | None:
    """A client id in its one spelling; anything else is no client of ours and is not counted as one."""
    try:
        return str(UUID(client_id)) if isinstance(client_id, str) else None
    except ValueError:
        return None


def _seconds(left: float) -> int:
    return max(1, int(left) + 1)


def _remember(memory: OrderedDict[Key, float], key: Key, value: float) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
