"""Consents: what a person grants to one body, and takes back as easily.

A consent is never changed. Its state is its list of events, each with the whole consent record of that
moment (record.py) and the citizen's signed copy of it. A consent that was refused leaves no trace: there is
no function for it.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.entry import EntryType
from access_log.log import Event, Writing
from access_log.payload import Payload
from consent import freeze, terms
from consent.bodies import read_body
from consent.endings import Kind
from consent.errors import FrozenError, StateError, UnknownError
from consent.journal import VAULT, Actor, digest, to_json
from consent.permit import DataRange, Person
from consent.record import (
    EXPIRED,
    GIVEN,
    WITHDRAWN,
    Frequency,
    Keeper,
    NewConsent,
    Signer,
    add_event,
    check,
    first_record,
)
from consent.tables import body, consent, consent_due, consent_event, consent_use


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A consent record as it stands after an event.

    Attributes:
        record: JSON text; its SHA-256 stands in the log.
        copy: compact JWS over exactly that text, for the citizen.
    """

    consent_id: UUID
    record: str
    copy: str


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One event in the life of a consent; number 1 is the grant."""

    number: int
    event: str
    at: datetime
    reason: str | None
    record: str
    copy: str


@dataclass(frozen=True, slots=True)
class Consent:
    """A person's consent with all its events, the oldest first."""

    consent_id: UUID
    body_id: UUID
    body_name: str
    purpose: str
    fields: tuple[str, ...]
    mode: str
    max_uses: int | None
    frequency: Frequency | None
    data_range: DataRange
    granted_at: datetime
    expires_at: datetime
    data_life_days: int
    uses: int
    events: tuple[ConsentEvent, ...]

    def state(self, now: datetime) -> Literal["active", "withdrawn", "expired", "used-up"]:
        """What the person reads about it at this moment."""
        if self.events[-1].event == "withdrawn":
            return "withdrawn"
        if self.expires_at <= now:
            return "expired"
        if self.max_uses is not None and self.max_uses <= self.uses:
            return "used-up"
        return "active"


async def grant(
    writing: Writing, person: Person, new: NewConsent, keeper: Keeper, *, actor: Actor | None = None
) -> SignedRecord:
    """Records what a person grants; live for the next query.

    Args:
        writing: the transaction; the caller adds to it what hangs on the consent.
        person: who grants.
        new: what is granted.
        keeper: stated in the record; signs the copy.
        actor: who acted for the person, if not they themselves.

    Raises:
        UnknownError: the body is not registered.
        FrozenError: the person froze their consents.
        StateError: the body is not active.
        InvalidError: a part breaks a rule.
    """
    granted_to = await read_body(writing.connection, new.body_id)
    if granted_to is None:
        raise UnknownError("no body is registered under this id")
    if granted_to.status != "active":
        raise StateError("this body is not active: nobody can consent to its queries now")
    if await freeze.stands(writing.connection, person.subject_id):
        raise FrozenError("this person froze their consents: nothing can be granted before they end that")
    check(new, granted_to)
    consent_id = uuid4()
    expires_at = writing.now + timedelta(days=new.validity_days)
    frequency = new.frequency
    await writing.connection.execute(
        consent.insert(),
        {
            "subject_id": person.subject_id,
            "consent_id": consent_id,
            "body_id": new.body_id,
            "purpose": new.purpose,
            "fields": list(new.fields),
            "mode": new.mode,
            "max_uses": new.max_uses,
            "frequency_times": None if frequency is None else frequency.times,
            "frequency_days": None if frequency is None else frequency.days,
            "data_from": new.data_range.first,
            "data_until": new.data_range.last,
            "granted_at": writing.now,
            "expires_at": expires_at,
            "data_life_days": new.data_life_days,
            "notice_uri": new.notice.uri,
            "notice_version": new.notice.version,
            "notice_hash": new.notice.sha256,
            "language": new.language,
        },
    )
    await writing.connection.execute(
        consent_due.insert(),
        {"subject_id": person.subject_id, "consent_id": consent_id, "expires_at": expires_at},
    )
    record = first_record(consent_id, person, new, granted_to, keeper)
    actor = actor or Actor.subject(person.subject_id)
    add_event(record, GIVEN, actor.name, writing.now)
    happening = _Happening("granted", 1, consent_id, new.body_id, None, actor)
    return await _write_event(writing, person, happening, record, keeper.signer)


async def withdraw(
    writing: Writing,
    person: Person,
    consent_id: UUID,
    reason: str | None,
    signer: Signer,
    *,
    actor: Actor | None = None,
) -> SignedRecord:
    """Takes a consent back; the next query is refused.

    Args:
        writing: the transaction.
        person: whose consent it is.
        consent_id: which.
        reason: a code such as `not-needed`, or None: nobody owes a reason. Never free text, which would stand
            unsealed.
        signer: signs the copy.
        actor: who acted for the person, if not they themselves.

    Raises:
        UnknownError: the person has no such consent.
        StateError: it was withdrawn before.
        InvalidError: the reason is no code.
    """
    standing = await _standing(writing, person, consent_id)
    code = None if reason is None else terms.code(reason, "reason")
    actor = actor or Actor.subject(person.subject_id)
    add_event(standing.record, WITHDRAWN, actor.name, writing.now)
    happening = _Happening("withdrawn", standing.number + 1, consent_id, standing.body_id, code, actor)
    signed = await _write_event(writing, person, happening, standing.record, signer)
    writing.end(Kind.CONSENT_WITHDRAWN, consent_id, person.subject_id)
    return signed


async def expire(writing: Writing, person: Person, consent_id: UUID, signer: Signer) -> SignedRecord:
    """Writes down that a consent has ended. It did without this: no query waits for it (RULES 3.6).

    Args:
        writing: the transaction.
        person: whose consent it is.
        consent_id: which.
        signer: signs the copy.

    Raises:
        UnknownError: the person has no such consent.
        StateError: it was withdrawn, or written down as expired, before; or its time has not come.
    """
    standing = await _standing(writing, person, consent_id)
    if writing.now < standing.expires_at:
        raise StateError("this consent has not expired")
    add_event(standing.record, EXPIRED, VAULT.name, writing.now)
    happening = _Happening("expired", standing.number + 1, consent_id, standing.body_id, None, VAULT)
    return await _write_event(writing, person, happening, standing.record, signer)


async def due(connection: AsyncConnection, now: datetime, at_most: int) -> list[tuple[UUID, UUID]]:
    """Consents whose end has come and is not written down, as (person, consent), the longest due first."""
    rows = await connection.execute(
        select(consent_due.c.subject_id, consent_due.c.consent_id)
        .where(consent_due.c.expires_at <= now)
        .order_by(consent_due.c.expires_at, consent_due.c.consent_id)
        .limit(at_most)
    )
    return [(subject_id, consent_id) for subject_id, consent_id in rows]


async def forget_due(connection: AsyncConnection, subject_id: UUID, consent_id: UUID) -> None:
    """Waits for the end of this consent no longer."""
    await connection.execute(
        delete(consent_due).where(
            consent_due.c.subject_id == subject_id, consent_due.c.consent_id == consent_id
        )
    )


async def of_person(connection: AsyncConnection, subject_id: UUID) -> list[Consent]:
    """Every consent a person ever gave, with all events, the newest first."""
    rows = await connection.execute(
        select(consent, body.c.name.label("body_name"), func.coalesce(consent_use.c.uses, 0).label("uses"))
        .join(body, body.c.body_id == consent.c.body_id)
        .outerjoin(
            consent_use,
            (consent_use.c.subject_id == consent.c.subject_id)
            & (consent_use.c.consent_id == consent.c.consent_id),
        )
        .where(consent.c.subject_id == subject_id)
        .order_by(consent.c.granted_at.desc(), consent.c.consent_id)
    )
    found = rows.mappings().all()
    events = await connection.execute(
        select(consent_event)
        .where(consent_event.c.subject_id == subject_id)
        .order_by(consent_event.c.consent_id, consent_event.c.number)
    )
    of_consent: dict[UUID, list[ConsentEvent]] = {}
    for event in events.mappings():
        of_consent.setdefault(event["consent_id"], []).append(
            ConsentEvent(**{name: event[name] for name in ConsentEvent.__slots__})
        )
    return [_consent(row, of_consent[row["consent_id"]]) for row in found]


@dataclass(frozen=True, slots=True)
class _Standing:
    """A consent that was granted and has not ended, with its record as of now."""

    body_id: UUID
    expires_at: datetime
    number: int
    record: dict[str, Any]


async def _standing(writing: Writing, person: Person, consent_id: UUID) -> _Standing:
    of_this = (consent_event.c.subject_id == person.subject_id) & (consent_event.c.consent_id == consent_id)
    newest = (
        select(consent_event, consent.c.body_id, consent.c.expires_at)
        .join(consent)
        .where(of_this)
        .order_by(consent_event.c.number.desc())
        .limit(1)
    )
    last = (await writing.connection.execute(newest)).mappings().one_or_none()
    if last is None:
        raise UnknownError("this person has no such consent")
    if last["event"] != "granted":
        raise StateError("this consent does not stand any more")
    return _Standing(last["body_id"], last["expires_at"], last["number"], json.loads(last["record"]))


@dataclass(frozen=True, slots=True)
class _Happening:
    event: str
    number: int
    consent_id: UUID
    body_id: UUID
    reason: str | None
    actor: Actor


async def _write_event(
    writing: Writing, person: Person, happening: _Happening, record: dict[str, Any], signer: Signer
) -> SignedRecord:
    """Writes an event with the record it leads to, and its entry (type 3) in the person's stream."""
    text = to_json(record)
    copy = signer.sign(text.encode())
    if happening.event != "granted":
        await forget_due(writing.connection, person.subject_id, happening.consent_id)
    await writing.connection.execute(
        consent_event.insert(),
        {
            "subject_id": person.subject_id,
            "consent_id": happening.consent_id,
            "number": happening.number,
            "event": happening.event,
            "at": writing.now,
            "reason": happening.reason,
            "record": text,
            "copy": copy,
        },
    )
    payload = Payload.create(
        EntryType.CONSENT,
        {
            "event": f"consent.{happening.event}",
            "actor": happening.actor.name,
            "actor_role": happening.actor.role,
            "body": str(happening.body_id),
            "object": str(happening.consent_id),
            "document": digest(text),
            "subject": str(person.subject_id),
        },
    )
    writing.add(Event(person.stream_id, payload))
    return SignedRecord(happening.consent_id, text, copy)


def _consent(row: RowMapping, events: list[ConsentEvent]) -> Consent:
    times, days = row["frequency_times"], row["frequency_days"]
    return Consent(
        consent_id=row["consent_id"],
        body_id=row["body_id"],
        body_name=row["body_name"],
        purpose=row["purpose"],
        fields=tuple(row["fields"]),
        mode=row["mode"],
        max_uses=row["max_uses"],
        frequency=None if times is None else Frequency(times, days),
        data_range=DataRange(row["data_from"], row["data_until"]),
        granted_at=row["granted_at"],
        expires_at=row["expires_at"],
        data_life_days=row["data_life_days"],
        uses=row["uses"],
        events=tuple(events),
    )
