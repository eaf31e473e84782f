"""Does every entry stand in the stream it belongs to? (FORMAT 4.8; run by `creditvault log audit-streams`).

`places` shows that each entry stands at the next number of exactly one stream. This shows that it is the
right one:

(1) an entry of type 1 or 2 that belongs to a covert case stands in the stream of that case, one of type 10
    where queries about its person stand: in their own stream, or in that of one of their cases;
(2) else an entry of types 1 to 6 and 10 that is about a person stands in that person's own stream;
(3) else, about nobody, in the stream for those not found (1, 2, 10) or in that of the system (3 to 6);
(4) every covert stream is that of one case, which has a court reference and an end.

Whom a stream belongs to is not the log's to know: its owner lends that knowledge.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.findings import Findings
from access_log.log import NOT_FOUND_STREAM, SYSTEM_STREAM, StreamKind

_QUERIES: Final = frozenset({EntryType.QUERY_PERMITTED, EntryType.QUERY_REFUSED})
_ASKED: Final = _QUERIES | {EntryType.NOT_RELEASED}
_EVENTS: Final = frozenset({EntryType.CONSENT, EntryType.AUTHORIZATION, EntryType.RECORD, EntryType.RIGHTS})
_COVERT_STREAMS: Final = text("SELECT stream_id FROM access_log.stream WHERE kind = :kind ORDER BY stream_id")


@dataclass(frozen=True, slots=True)
class Case:
    """A covert case: queries of one body about one person that are disclosed to them later.

    Attributes:
        stream: of the case.
        subject: whom it is about, as payloads name them.
        body: that asks, likewise.
        basis: the authorization, likewise.
        court_reference: of the court that ordered the delay; None where there is none.
        since: first instant, milliseconds since the epoch.
        until: first instant after it; None where there is no end.
    """

    stream: bytes
    subject: str
    body: str
    basis: str
    court_reference: str | None
    since: int
    until: int | None

    def covers(self, standing: "Standing") -> bool:
        """Whether a query belongs to this case."""
        asked = (standing.subject, standing.body, standing.basis)
        in_time = self.since <= standing.time and (self.until is None or standing.time < self.until)
        return asked == (self.subject, self.body, self.basis) and in_time


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry, the stream it stands in, and what its payload says that it is about."""

    index: int
    type: EntryType
    time: int
    stream: bytes
    subject: str | None
    body: str | None
    basis: str | None


class Owners(Protocol):
    """Whose stream is whose; read from the same state of the database as the log."""

    async def streams_of(self, connection: AsyncConnection, subjects: Collection[str]) -> Mapping[str, bytes]:
        """The own stream of each of these persons; one that is not known is absent."""

    async def cases(self, connection: AsyncConnection) -> Sequence[Case]:
        """Every covert case there ever was."""


class Belonging:
    """Checks entries as they are met, in any order.

    Args:
        owners: knows whose stream is whose.
        findings: where what is wrong is put down.
    """

    def __init__(self, owners: Owners, findings: Findings) -> None:
        self._owners = owners
        self._findings = findings
        self._by_stream: dict[bytes, Case] = {}
        self._by_subject: dict[str, list[Case]] = {}
        self._covert: set[bytes] = set()
        self.checked = 0

    async def begin(self, connection: AsyncConnection) -> None:
        """Reads the cases and checks each covert stream (4)."""
        for case in await self._owners.cases(connection):
            if case.stream in self._by_stream:
                self._findings.add(None, "two covert cases share one stream")
            self._by_stream[case.stream] = case
            self._by_subject.setdefault(case.subject, []).append(case)
        rows = await connection.execute(_COVERT_STREAMS, {"kind": int(StreamKind.COVERT)})
        self._covert = {bytes(stream) for (stream,) in rows}
        for stream in self._covert:
            found = self._by_stream.get(stream)
            if found is None:
                self._findings.add(None, "a covert stream belongs to no case: who opened it hides queries")
            elif not (found.court_reference or "").strip():
                self._findings.add(None, "a covert stream has no court reference")
            elif found.until is None:
                self._findings.add(None, "a covert stream has no end date")
        if any(case.stream not in self._covert for case in self._by_stream.values()):
            self._findings.add(None, "a covert case names a stream that is none of the covert ones")

    async def check(self, connection: AsyncConnection, standings: Sequence[Standing]) -> None:
        """Checks some entries (1) to (3)."""
        demanded = [one for one in standings if one.type in _ASKED or one.type in _EVENTS]
        subjects = {one.subject for one in demanded if one.subject is not None}
        own = await self._owners.streams_of(connection, subjects) if subjects else {}
        for one in demanded:
            self.checked += 1
            reason = self._reason_against(one, own)
            if reason is not None:
                self._findings.add(one.index, reason)

    def _reason_against(self, one: Standing, own: Mapping[str, bytes]) -> str | None:
        if one.stream in self._covert:
            return self._against_covert(one)
        if one.type in _QUERIES and any(
            case.covers(one) for case in self._by_subject.get(one.subject or "", ())
        ):
            return "it belongs to a covert case and does not stand in its stream"
        if one.subject is None:
            expected = NOT_FOUND_STREAM if one.type in _ASKED else SYSTEM_STREAM
            name = "for those not found" if one.type in _ASKED else "of the system"
            return (
                None
                if one.stream == expected
                else f"it is about nobody and does not stand in the stream {name}"
            )
        if one.subject not in own:
            return "it is about a person whom the vault does not know"
        if one.stream != own[one.subject]:
            return "it is about a person and does not stand in their stream: it is hidden from them"
        return None

    def _against_covert(self, one: Standing) -> str | None:
        """(1)."""
        case = self._by_stream.get(one.stream)
        if one.type not in _ASKED:
            return "it stands in a covert stream, where only queries stand"
        if case is None or one.subject != case.subject:
            return "it stands in the covert stream of no case, or of another person's"
        if one.type in _QUERIES and not case.covers(one):
            return "it stands in a covert stream whose case it does not belong to, or that had ended"
        return None
