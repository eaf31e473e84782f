"""Companions: a query about a person of several identities stands in each stream whose records it opens.

The query is decided and charged once, and its entry stands in the stream of the identity asked about (RULES
13). For every other identity of which it opens records, a companion follows in the same transaction: an entry
of the same type and attributes in that identity's own stream, with that identity's record versions, and 13.2
as its reason. It names the query by the same `request_digest`, and stands behind it. So after a split each
stream still says who opened the records of its own, and nothing of the other's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import requests
from access_log.errors import LogStateError
from access_log.log import Event, Log, RequestMark
from access_log.payload import JSON, Payload
from access_log.requests import EarlierRequest
from vault.records import store
from vault.records.choose import Choice, opened_versions
from vault.records.opening import Wanted
from vault.records.query import LogProof
from vault.records.store import Found

RULE: Final = "RULES 13.2"
"""The reason of a companion."""

_NO_BODY: Final = bytes(32)


@dataclass(slots=True)
class Companion:
    """What a query opens of an identity joined with the one it asks about.

    Attributes:
        request_id: under which its entry is found again.
        stream: of the identity, or of a covert case about it.
        position: among the events of the transaction that writes it; None for what was written before.
        entry: index of its entry.
        proof: of that entry.
    """

    found: Found
    choice: Choice
    request_id: UUID
    stream: bytes
    position: int | None = None
    entry: int | None = None
    proof: LogProof | None = None

    @property
    def subject_id(self) -> UUID:
        """The identity."""
        return self.found.person.subject_id

    def event(self, query: Payload, body_id: UUID) -> Event:
        """The entry: that of the query, said of this identity."""
        stated: dict[str, JSON] = {
            name: value for name, value in query.values().items() if name not in ("seq", "previous")
        }
        stated["record_versions"] = self.choice.record_versions()
        stated["subject"] = str(self.subject_id)
        stated["reason"] = RULE
        mark = RequestMark(self.request_id, body_id, None, _NO_BODY)
        return Event(self.stream, Payload.create(query.type, stated), mark)

    @property
    def wanted(self) -> Wanted | None:
        """What is to be opened, once its entry stands."""
        if self.entry is None or not self.choice.opened:
            return None
        return Wanted(self.subject_id, self.found.wrapped_key, self.choice.opened, self.entry)


def companion_id(request_id: UUID, subject_id: UUID) -> UUID:
    """The request id of the companion that a request has for this identity."""
    return uuid5(request_id, f"companion {subject_id}")


async def earlier_companions(
    connection: AsyncConnection, log: Log, request_id: UUID, others: Sequence[Found]
) -> Mapping[UUID, EarlierRequest]:
    """The companions of an earlier request, by identity: of those that are joined now, and had one then."""
    ids = {companion_id(request_id, one.person.subject_id): one.person.subject_id for one in others}
    found = await requests.by_ids(connection, log.number, list(ids)) if ids else {}
    return {ids[each]: earlier for each, earlier in found.items()}


async def versions_of(
    connection: AsyncConnection, log: Log, subject_id: UUID | None, earlier: EarlierRequest
) -> tuple[Payload, list[store.SealedRecord]]:
    """What an earlier entry says, and the record versions of this identity that it says were to be opened.

    Raises:
        CryptoError: the payload was altered.
        LogStateError: the key of its payload is gone.
    """
    opened = await log.sealer.open(earlier.index, earlier.expiry_id, earlier.sealed)
    if opened is None:
        raise LogStateError(f"the key of the payload of entry {earlier.index} is gone")
    payload = Payload.decode(opened)
    values: Mapping[str, Any] = payload.values()
    named = opened_versions(values["record_versions"])
    if subject_id is None or not named:
        return payload, []
    return payload, await store.versions(connection, subject_id, named)
