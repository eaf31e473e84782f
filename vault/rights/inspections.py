"""One use of an inspection token: decided by RULES 11, and in the log before anything of it is answered.

1  the log's head row is locked
2  the proof is recorded; a repeated one or a revoked token is turned away without an entry
3  body and officer are read as registered now, and the rules asked
4  what is allowed is done or read, in the same transaction
5  an entry of type 8 in the system stream states the use, or that it was refused
6  commit, sign, raise the outside lock                (access_log.log); only then is anything answered
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import SYSTEM_STREAM, Event, Log, Writing
from access_log.payload import JSON, Party, Payload
from consent import inspection, inspectors
from consent.facts import OfficerFacts
from consent.inspection import Inspector
from consent.oauth.protection import Presented
from consent.oauth.rar import Inspection
from consent.oauth.replay import record_proofs, revoked
from consent.permit import Refusal
from vault.records.query import REPEATED_PROOF, REVOKED_TOKEN

REFUSED: Final = "inspection refused"
Found = TypeVar("Found")
Act = Callable[[Writing], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Used(Generic[Found]):
    """An allowed use.

    Attributes:
        found: what was read or done.
        receipt: of the entry that states the use.
    """

    found: Found
    receipt: str


@dataclass(frozen=True, slots=True)
class UseRefused:
    """A use that a rule refused; the refusal is in the log.

    Attributes:
        receipt: of its entry.
        opening: of its entry, for the inspector.
    """

    refusal: Refusal
    receipt: str
    opening: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an inspector is about to do.

    Attributes:
        event: as the entry names it, for instance `entry opened`.
        about: what of; stands in the entry too, sealed.
        covers: the range of time it asks for, if it lists.
    """

    event: str
    about: Mapping[str, JSON]
    covers: timedelta = timedelta(0)


def inspector_of(presented: Presented) -> Inspector | None:
    """Who inspects with this token; None when it is for something else."""
    details = presented.details
    if not isinstance(details, Inspection):
        return None
    return Inspector(presented.body_id, details.officer, details.case_reference)


async def use(
    log: Log, presented: Presented, inspector: Inspector, purpose: Purpose, act: Act[Found]
) -> Used[Found] | UseRefused:
    """Decides, does and logs one use.

    Args:
        log: the log.
        presented: what the request presented, verified.
        inspector: whom its token names.
        purpose: what it is for.
        act: what is done or read under the head lock, if it is allowed.

    Raises:
        AccessError: the proof served another request, or the token was revoked; no entry.
        AccessLogError: the log cannot append or release; nothing may be answered.
        CryptoError: keys cannot be used now, or a payload was altered; nothing stands.
    """
    found: Found | None = None
    async with log.writing() as writing:
        await require_unspent(writing.connection, presented)
        body, officer = await inspectors.read(writing.connection, inspector)
        refusal = inspection.refusal(inspection.Use(inspector, body, officer, purpose.covers))
        if refusal is None:
            found = await act(writing)
        position = writing.add(Event(SYSTEM_STREAM, _payload(inspector, officer, purpose, refusal)))
    # Durable and raised: from here on the inspector may be answered.
    receipt = writing.receipts[position]
    if refusal is not None:
        return UseRefused(refusal, receipt, writing.payloads[position].opening(Party.INSPECTOR))
    return Used(found, receipt)  # type: ignore[arg-type]  # an act that was allowed has found what it finds


async def require_unspent(connection: AsyncConnection, presented: Presented) -> None:
    """Records the proof of a request.

    Raises:
        AccessError: it served another request, or the token was revoked.
    """
    proof = (presented.jkt, presented.proof_jti, presented.proof_expires_at)
    if not await record_proofs(connection, [proof]):
        raise REPEATED_PROOF.error
    if await revoked(connection, [presented.token]):
        raise REVOKED_TOKEN.error


def _payload(
    inspector: Inspector, officer: OfficerFacts, purpose: Purpose, refusal: Refusal | None
) -> Payload:
    """The statement of a use. No person stands in it: what it opened names them, and it stands there."""
    about: dict[str, JSON] = {"case_reference": inspector.case_reference, **purpose.about}
    if refusal is not None:
        about |= {"asked": purpose.event, "rule": refusal.rule}
    return Payload.create(
        EntryType.INSPECTION,
        {
            "event": purpose.event if refusal is None else REFUSED,
            "actor": f"officer:{inspector.officer_id}",
            "actor_role": officer.role or None,
            "body": str(inspector.body_id),
            "object": about,
        },
    )
