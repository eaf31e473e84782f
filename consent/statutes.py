"""Statutory authorizations: proposed by one registrar, approved by another, revoked by any.

Proposal and approval are statements signed with the registrars' own keys (statements.py). The terms are
stored to the byte as both signed them; the columns beside them are read from them once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from access_log.log import Writing
from consent import cases, statements, terms
from consent.bases import LegalBasis, read_basis
from consent.endings import Kind
from consent.errors import InvalidError, StateError, StatementError, UnknownError
from consent.journal import Actor, write_register_event
from consent.registrars import Registrar, read_registrar, require_signatory
from consent.statements import (
    MOST_NAMED,
    Approval,
    Claimed,
    Proposal,
    Revocation,
    content_digest,
    read_statement,
)
from consent.tables import authorization, body


class NamedPersons(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="named"):
    """These persons: keyed hashes of their identifiers, hex, made like a token's."""

    subjects: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")], ...],
        Meta(min_length=1, max_length=MOST_NAMED),
    ]


class PersonsOfCases(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="case"):
    """Any person, in cases whose reference fits the pattern (consent/cases.py)."""

    pattern: Annotated[str, Meta(min_length=1, max_length=200)]


class AnyPerson(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="any"):
    """Any person."""


class Delay(Struct, frozen=True, forbid_unknown_fields=True):
    """The persons named are told of queries only from a date on, because a court ordered so (RULES 10)."""

    court_reference: Annotated[str, Meta(min_length=1, max_length=200)]
    until: Annotated[datetime, Meta(tz=True)]


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The terms of an authorization, as both registrars sign them.

    Attributes:
        per_day: queries allowed on one legal day.
        per_case: queries allowed for one case; None: as many as the day allows.
        valid_from: first instant.
        valid_until: first instant after the validity.
        delayed_notice: a delay of notice; None: each person sees each query at once.
    """

    body: UUID
    basis: UUID
    purposes: tuple[str, ...]
    fields: tuple[str, ...]
    scope: NamedPersons | PersonsOfCases | AnyPerson
    per_day: Annotated[int, Meta(ge=1, le=10_000_000)]
    per_case: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    valid_from: Annotated[datetime, Meta(tz=True)]
    valid_until: Annotated[datetime, Meta(tz=True)]
    delayed_notice: Delay | None = None

    def text(self) -> str:
        """The content of a proposal."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Authorization:
    """A statutory authorization as registered now."""

    authorization_id: UUID
    terms: Terms
    state: str
    proposer_id: UUID
    proposed_at: datetime
    approver_id: UUID | None
    approved_at: datetime | None
    revoked_at: datetime | None


_TERMS = msgspec.json.Decoder(Terms)


async def propose(writing: Writing, compact: str) -> UUID:
    """Registers what a registrar's signed statement proposes; returns the id the statement gives it.

    Raises:
        StatementError: the statement does not verify or is no proposal.
        UnknownError: the body or the legal basis is not registered.
        InvalidError: the terms break a rule.
        StateError: the id is in use.
    """
    claimed = read_statement(compact)
    proposal = claimed.statement
    if not isinstance(proposal, Proposal):
        raise StatementError("this statement is no proposal")
    proposer = await require_signatory(writing.connection, claimed, writing.now)
    proposed = read_terms(proposal.content)
    await _check_terms(writing, proposed)
    if await _read_row(writing.connection, proposal.authorization) is not None:
        raise StateError("an authorization with this id exists already: propose under a new one")
    scope, delay = proposed.scope, proposed.delayed_notice
    await writing.connection.execute(
        authorization.insert(),
        {
            "authorization_id": proposal.authorization,
            "body_id": proposed.body,
            "basis_id": proposed.basis,
            "purposes": list(proposed.purposes),
            "fields": list(proposed.fields),
            "scope": scope.__struct_config__.tag,
            "subjects": [bytes.fromhex(subject) for subject in scope.subjects]
            if isinstance(scope, NamedPersons)
            else [],
            "case_pattern": scope.pattern if isinstance(scope, PersonsOfCases) else None,
            "per_day": proposed.per_day,
            "per_case": proposed.per_case,
            "valid_from": proposed.valid_from,
            "valid_until": proposed.valid_until,
            "court_reference": None
            if delay is None
            else terms.text(delay.court_reference, "court reference"),
            "notice_until": None if delay is None else delay.until,
            "state": "proposed",
            "content": proposal.content,
            "proposal": compact,
            "proposer_id": proposer.registrar_id,
            "proposer_thumbprint": proposer.thumbprint,
            "proposed_at": writing.now,
        },
    )
    await write_register_event(
        writing,
        "authorization.proposed",
        proposal.authorization,
        _as_actor(proposer),
        {"content_sha256": proposal.content_sha256, "proposal_sha256": claimed.digest},
        body_id=proposed.body,
        basis_id=proposed.basis,
    )
    return proposal.authorization


async def approve(writing: Writing, authorization_id: UUID, compact: str) -> None:
    """Puts a proposed authorization into force by another registrar's signed statement.

    Raises:
        UnknownError: no such authorization.
        StateError: it is not merely proposed, or its proposer stood down meanwhile.
        StatementError: the statement does not verify, approves something else, or comes from the proposer.
    """
    claimed = read_statement(compact)
    approval = claimed.statement
    if not isinstance(approval, Approval):
        raise StatementError("this statement is no approval")
    row = await _require_row(writing.connection, authorization_id)
    if row["state"] != "proposed":
        raise StateError(f"this authorization is {row['state']}: only a proposed one can be approved")
    approver = await require_signatory(writing.connection, claimed, writing.now)
    # (1) What is approved is this authorization, to the byte what was proposed.
    if approval.authorization != authorization_id or approval.content_sha256 != content_digest(
        row["content"]
    ):
        raise StatementError("this statement approves another authorization, or other terms")
    # (2) Four eyes: another registrar with another key.
    if approver.registrar_id == row["proposer_id"] or approver.thumbprint == row["proposer_thumbprint"]:
        raise StatementError("who proposed an authorization cannot approve it: another registrar must sign")
    # (3) The stored proposal still stands as its registrar signed it.
    proposal = read_statement(row["proposal"])
    await _check_proposal(writing, proposal, row)
    await writing.connection.execute(
        update(authorization)
        .where(authorization.c.authorization_id == authorization_id)
        .values(
            state="approved",
            approval=compact,
            approver_id=approver.registrar_id,
            approver_thumbprint=approver.thumbprint,
            approved_at=writing.now,
        )
    )
    await write_register_event(
        writing,
        "authorization.approved",
        authorization_id,
        _as_actor(approver),
        {
            "content_sha256": approval.content_sha256,
            "proposal_sha256": proposal.digest,
            "approval_sha256": claimed.digest,
        },
        body_id=row["body_id"],
        basis_id=row["basis_id"],
    )


async def revoke(writing: Writing, authorization_id: UUID, compact: str) -> None:
    """Revokes an authorization by a registrar's signed statement, whichever registrar's.

    Raises:
        UnknownError: no such authorization.
        StateError: it is revoked already.
        StatementError: the statement does not verify, or revokes something else.
    """
    claimed = read_statement(compact)
    revocation = claimed.statement
    if not isinstance(revocation, Revocation) or revocation.authorization != authorization_id:
        raise StatementError("this statement does not revoke this authorization")
    registrar = await require_signatory(writing.connection, claimed, writing.now)
    content = {"reason": revocation.reason, "revocation_sha256": claimed.digest}
    await _revoke(writing, authorization_id, _as_actor(registrar), content, compact)


async def revoke_unsigned(writing: Writing, authorization_id: UUID, reason: str, actor: Actor) -> None:
    """Revokes an authorization on the word of an operator: stopping must never wait for a signature.

    Raises:
        UnknownError: no such authorization.
        StateError: it is revoked already.
        InvalidError: the reason says nothing.
    """
    await _revoke(writing, authorization_id, actor, {"reason": terms.text(reason, "reason")}, None)


async def read_authorization(connection: AsyncConnection, authorization_id: UUID) -> Authorization | None:
    """The authorization as registered now."""
    row = await _read_row(connection, authorization_id)
    return None if row is None else _authorization(row)


async def list_authorizations(
    connection: AsyncConnection, body_id: UUID | None = None
) -> list[Authorization]:
    """All authorizations, or those of one body, the newest first."""
    statement = select(authorization).order_by(authorization.c.proposed_at.desc())
    if body_id is not None:
        statement = statement.where(authorization.c.body_id == body_id)
    return [_authorization(row) for row in (await connection.execute(statement)).mappings()]


async def _check_proposal(writing: Writing, proposal: Claimed, row: RowMapping) -> None:
    registrar = await read_registrar(writing.connection, row["proposer_id"])
    if registrar is None or registrar.status != "active":
        raise StateError("the registrar who proposed this authorization stood down: propose it anew")
    stated = proposal.statement
    if not isinstance(stated, Proposal) or stated.content != row["content"]:
        raise StatementError("the stored terms are not those of the signed proposal: propose it anew")
    statements.verify(proposal, registrar.jwk, writing.now)


async def _check_terms(writing: Writing, proposed: Terms) -> None:
    terms.purposes(proposed.purposes)
    terms.fields(proposed.fields)
    if not proposed.purposes or not proposed.fields:
        raise InvalidError("an authorization covers at least one purpose and one field")
    if isinstance(proposed.scope, PersonsOfCases) and not cases.is_pattern(proposed.scope.pattern):
        raise InvalidError("a case pattern is plain text with at most one *")
    if not proposed.valid_from < proposed.valid_until or proposed.valid_until <= writing.now:
        raise InvalidError("an authorization must end after it begins, and not in the past")
    known = select(body.c.body_id).where(body.c.body_id == proposed.body)
    if (await writing.connection.execute(known)).one_or_none() is None:
        raise UnknownError("no body is registered under the id in the terms")
    basis = await read_basis(writing.connection, proposed.basis)
    if basis is None:
        raise UnknownError("no legal basis is registered under the id in the terms")
    if not basis.purposes.issuperset(proposed.purposes):
        raise InvalidError(
            "the legal basis does not support every purpose: name another basis, or leave it out"
        )
    if not basis.categories.issuperset(name.partition(".")[0] for name in proposed.fields):
        raise InvalidError("the legal basis does not support the category of every field: leave it out")
    if proposed.delayed_notice is not None:
        _check_delay(proposed, proposed.delayed_notice, basis, writing.now)


def _check_delay(proposed: Terms, delay: Delay, basis: LegalBasis, now: datetime) -> None:
    """Requires what RULES 10 requires of terms that delay notice."""
    if not isinstance(proposed.scope, NamedPersons):
        raise InvalidError("a delay of notice is for persons who are named: name them")
    if not basis.notice_delay_days:
        raise InvalidError("the legal basis allows no delay of notice: name another basis, or no delay")
    # Counted from the first instant a query is possible, so that no query is told of later than allowed.
    latest = max(proposed.valid_from, now) + timedelta(days=basis.notice_delay_days)
    if not max(proposed.valid_from, now) < delay.until <= latest:
        raise InvalidError(
            f"notice is given in the future, within the {basis.notice_delay_days} days the legal basis "
            "allows, counted from the first instant of validity"
        )


async def _revoke(
    writing: Writing,
    authorization_id: UUID,
    actor: Actor,
    content: Mapping[str, str],
    compact: str | None,
) -> None:
    row = await _require_row(writing.connection, authorization_id)
    if row["state"] == "revoked":
        raise StateError("this authorization is revoked already")
    await writing.connection.execute(
        update(authorization)
        .where(authorization.c.authorization_id == authorization_id)
        .values(state="revoked", revocation=compact, revoked_at=writing.now)
    )
    await write_register_event(
        writing,
        "authorization.revoked",
        authorization_id,
        actor,
        content,
        body_id=row["body_id"],
        basis_id=row["basis_id"],
    )
    writing.end(Kind.AUTHORIZATION_REVOKED, authorization_id)


async def _read_row(connection: AsyncConnection, authorization_id: UUID) -> RowMapping | None:
    found = await connection.execute(
        select(authorization).where(authorization.c.authorization_id == authorization_id)
    )
    return found.mappings().one_or_none()


async def _require_row(connection: AsyncConnection, authorization_id: UUID) -> RowMapping:
    row = await _read_row(connection, authorization_id)
    if row is None:
        raise UnknownError("no authorization is registered under this id")
    return row


def read_terms(content: str) -> Terms:
    """The terms of a proposal, from its content.

    Raises:
        InvalidError: they are of another form.
    """
    try:
        return _TERMS.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidError("the terms do not have the members and forms of an authorization") from error


def _as_actor(registrar: Registrar) -> Actor:
    return Actor(f"registrar:{registrar.registrar_id}", "registrar")


def _authorization(row: RowMapping) -> Authorization:
    return Authorization(
        authorization_id=row["authorization_id"],
        terms=read_terms(row["content"]),
        state=row["state"],
        proposer_id=row["proposer_id"],
        proposed_at=row["proposed_at"],
        approver_id=row["approver_id"],
        approved_at=row["approved_at"],
        revoked_at=row["revoked_at"],
    )
