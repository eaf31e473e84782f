"""Erasure of a person where the law allows it, by the order of two registrars (`erase-person`).

    1  what stands of them is ended: consents, mandates, each as its own entry
    2  in one transaction under the log's head lock: they are joined with no other identity, no legal hold
       stands, no court delays a notice, no case waits for its answer; then their key, identifiers and records
       are gone, an entry of type 9 (`person.erased`) says so, the certificate is kept, and the act stands
       beside the outside lock
    3  the certificate is given out

What the log says of them is kept until its retention ends, or erased too, as ordered. Leaves, chain and every
proof stay: whoever holds a receipt can show that its entry was logged, and what it said as far as they were
given it. Killed before the commit of 2 nothing is erased; killed after it the same command gives the
certificate. A restored database has the person again: the act is done once more before anything is released
(`reapply`). Backups open until they have aged out; the certificate states that day.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log import losses
from access_log.log import SYSTEM_STREAM, Log, Writing
from access_log.losses import Operator, Ranges
from access_log.stored_log import StoredLog
from access_log.streams import indexes_of
from consent import acts, consents, mandates, orders
from consent.acts import ErasePerson
from consent.endings import Kind
from consent.errors import StateError, UnknownError
from consent.journal import VAULT, to_json
from consent.permit import Person
from consent.record import Signer
from consent.tables import erasure
from vault.records import store
from vault.records.joining import JoinedSubjects
from vault.records.tables import access_case, covert_case, erased_subject, identifier, record, subject
from vault.rights.holds import held

CERTIFICATE: Final = "creditvault-erasure"
"""Type of the JWS that a certificate is."""

_FORGET_PAYLOADS = text(
    "DELETE FROM access_log.payload WHERE log = :log AND index = ANY(CAST(:indexes AS bigint[]))"
)
_FORGET_STREAM = text("DELETE FROM access_log.stream WHERE stream_id = :stream_id")
_KEPT_BY_LAW: Final = (
    {
        "what": "the log's entries, with type and time",
        "why": "they name nobody",
        "until": None,
    },
    {
        "what": "consents with their events, under an id that leads to nobody",
        "why": "records of processing",
        "until": "their retention ends",
    },
)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of a person.

    Attributes:
        payloads: of the log; none where they are kept.
    """

    identifiers: int
    records: int
    payloads: int


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs what an erasure gives out: the copies of consents it ends, and its certificate."""

    copies: Signer
    certificate: Signer


async def erase(log: Log, logs: Sequence[StoredLog], signers: Signers, order_id: UUID, final_on: date) -> str:
    """Carries out the order to erase a person; returns the certificate, a compact JWS. May be repeated.

    Args:
        log: the open log.
        logs: every log of the database.
        signers: of copies and certificate.
        order_id: of the registrars' order.
        final_on: the day from which on no backup opens what is erased now.

    Raises:
        UnknownError: there is no such order, or no such person.
        StateError: it is no order to erase, waits for a second registrar, or something forbids the erasure.
        AccessLogError: the log cannot append; nothing was erased.
    """
    async with log.engine.connect() as connection:
        given = await _certificate_of(connection, order_id)
        if given is not None:
            return given
        act = await _ordered(connection, order_id)
        await _require_apart(connection, act.person)
        row = await store.subject(connection, act.person)
        if row is None:
            raise UnknownError("this person is not known")
        standing = [one.consent_id for one in await consents.of_person(connection, act.person)]
        appointed = [one.mandate_id for one in await mandates.of_person(connection, act.person)]
    await _end_all(log, row.person, standing, appointed, signers.copies)  # 1
    async with log.writing() as writing:  # 2
        given = await _certificate_of(writing.connection, order_id)
        if given is not None:
            return given
        await _require_free(writing.connection, log, logs, act)
        with_log = act.log == "erased"
        erased = await remove(writing, log, act.person, with_log=with_log, order_id=order_id)
        content = {
            "v": 1,
            "order": str(order_id),
            "person": str(act.person),
            "erased_at": writing.now.isoformat(),
            "basis": act.basis,
            "log": {"origin": log.origin, "payloads": act.log},
            "erased": {
                "subject_key": True,
                "identifiers": erased.identifiers,
                "records": erased.records,
                "payloads": erased.payloads,
            },
            "kept": [*_KEPT_BY_LAW, *([] if with_log else [_payloads_kept(act)])],
            "final_on": final_on.isoformat(),
        }
        certificate = signers.certificate.sign(to_json(content).encode())
        await writing.connection.execute(
            erasure.insert(),
            {
                "subject_id": act.person,
                "order_id": order_id,
                "with_log": with_log,
                "erased_at": writing.now,
                "certificate": certificate,
            },
        )
    return certificate  # 3


async def remove(
    writing: Writing, log: StoredLog, subject_id: UUID, *, with_log: bool, order_id: UUID | None = None
) -> Erased:
    """Removes a person in the transaction of `writing`, and adds its entry and its ending.

    Args:
        writing: the transaction; nothing else may be added to the person's own stream in it.
        log: the open log.
        subject_id: the person.
        with_log: whether their stream and the payloads of its entries go, too.
        order_id: of the registrars; None where it is done once more after a restore.

    Raises:
        UnknownError: there is no such person.
    """
    connection = writing.connection
    row = await store.subject(connection, subject_id)
    if row is None:
        raise UnknownError("this person is not known")
    indexes: list[int] = []
    if with_log:
        indexes = await indexes_of(connection, log, row.person.stream_id, row.created_at)
        await connection.execute(_FORGET_PAYLOADS, {"log": log.number, "indexes": indexes})
        await connection.execute(_FORGET_STREAM, {"stream_id": row.person.stream_id})
    else:
        kept = {"subject_id": subject_id, "stream_id": row.person.stream_id}
        await connection.execute(erased_subject.insert(), kept)
    await JoinedSubjects().part(connection, subject_id)  # in a restored database they may be joined again
    records = await connection.execute(delete(record).where(record.c.subject_id == subject_id))
    found = await connection.execute(delete(identifier).where(identifier.c.subject_id == subject_id))
    await connection.execute(delete(subject).where(subject.c.subject_id == subject_id))
    event, document = losses.operator_event(
        SYSTEM_STREAM,
        losses.ERASED,
        Operator(VAULT.name, VAULT.role),
        {
            "order": None if order_id is None else str(order_id),
            "erased_payloads": [list(each) for each in Ranges.of_indexes(indexes).ranges],
        },
    )
    position = writing.add(event)
    kind = Kind.PERSON_ERASED_WITH_LOG if with_log else Kind.PERSON_ERASED
    writing.end(kind, subject_id, subject_id)
    await losses.keep(connection, log.number, writing.head.size + position, document)
    return Erased(found.rowcount, records.rowcount, len(indexes))


async def remove_again(writing: Writing, log: StoredLog, subject_id: UUID, *, with_log: bool) -> None:
    """Erases once more whom a restored database has again.

    Raises:
        UnknownError: it does not have them.
    """
    await remove(writing, log, subject_id, with_log=with_log)
    known = select(erasure.c.subject_id).where(erasure.c.subject_id == subject_id)
    if (await writing.connection.execute(known)).one_or_none() is None:
        await writing.connection.execute(
            erasure.insert(),
            {"subject_id": subject_id, "with_log": with_log, "erased_at": writing.now},
        )


async def _certificate_of(connection: AsyncConnection, order_id: UUID) -> str | None:
    found = await connection.execute(select(erasure.c.certificate).where(erasure.c.order_id == order_id))
    certificate: str | None = found.scalar_one_or_none()
    return certificate


async def _ordered(connection: AsyncConnection, order_id: UUID) -> ErasePerson:
    order = await orders.require_order(connection, order_id)
    act = acts.read(order.act)
    if not isinstance(act, ErasePerson):
        raise StateError("this order is about something else")
    if order.state != "done":
        raise StateError("this order waits for another registrar, or was dropped")
    return act


async def _end_all(
    log: Log, person: Person, standing: Sequence[UUID], appointed: Sequence[UUID], signer: Signer
) -> None:
    """Step 1. What does not stand any more is left as it is."""
    async with log.writing() as writing:
        for each in standing:
            with suppress(StateError):
                await consents.withdraw(writing, person, each, None, signer, actor=VAULT)
        for each in appointed:
            with suppress(StateError):
                await mandates.end(writing, person, each, VAULT)


async def _require_free(
    connection: AsyncConnection, log: Log, logs: Sequence[StoredLog], act: ErasePerson
) -> None:
    """Step 2: what forbids an erasure now.

    Raises:
        StateError: something does.
        UnknownError: there is no such person any more.
    """
    await _require_apart(connection, act.person)
    kept = await held(connection, logs)
    if act.person in kept.persons:
        raise StateError("a legal hold stands on this person: lift it first (`creditvault hold list`)")
    row = await store.subject(connection, act.person)
    if row is None:
        raise UnknownError("this person is not known")
    cases = select(func.count()).select_from(covert_case).where(covert_case.c.subject_id == act.person)
    if (await connection.execute(cases)).scalar_one():
        raise StateError("a court had notices to this person delayed: what tells of it may not be erased")
    own: dict[int, list[int]] = {
        each.number: await indexes_of(connection, each, row.person.stream_id, row.created_at) for each in logs
    }
    if any(set(found) & set(kept.payloads.get(number, ())) for number, found in own.items()):
        raise StateError("a legal hold stands on a case of theirs: lift it first (`creditvault hold list`)")
    asked = await connection.execute(
        select(access_case.c.log, access_case.c.opened_index).where(access_case.c.state != "answered")
    )
    if any(index in own.get(number, ()) for number, index in asked):
        raise StateError("a case of this person is not answered: answer it first (`creditvault cases list`)")
    if act.log == "erased" and any(found for number, found in own.items() if number != log.number):
        raise StateError("entries about this person stand in a closed log: order it with the log kept")


async def _require_apart(connection: AsyncConnection, subject_id: UUID) -> None:
    """Whoever orders an erasure names one identity: that others stay must have been decided.

    Raises:
        StateError: it is joined with others.
    """
    if len(await store.identities(connection, subject_id)) > 1:
        raise StateError("this identity is joined with others: have it split off first, then erase each")


def _payloads_kept(act: ErasePerson) -> dict[str, Any]:
    return {
        "what": "what the log's entries say, under an id that leads to nobody",
        "why": f"the life of the log (SZ 45, ZJ 20); basis of the erasure: {act.basis}",
        "until": "its retention ends",
    }
