"""Legal bases, and statutory authorizations under four eyes, on a real database."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from access_log.log import Log
from consent import bases, statutes
from consent.bodies import add_body
from consent.errors import InvalidError, StateError, StatementError, UnknownError
from consent.journal import digest
from consent.registrars import stand_down_registrar
from consent.statements import Proposal, Revocation, read_statement
from consent.statutes import AnyPerson, Delay, NamedPersons, PersonsOfCases
from tests.consent.logged import document, documents, newest, payloads
from tests.consent.registers import (
    OPERATOR,
    Registered,
    Signatory,
    new_basis,
    new_body,
    register_all,
    registrar,
    terms_for,
)


async def test_a_legal_basis_is_registered_and_ended(log: Log) -> None:
    async with log.writing() as writing:
        basis_id = await bases.add_basis(writing, new_basis(notice_delay_days=30), OPERATOR)
        with pytest.raises(InvalidError, match="registered already"):
            await bases.add_basis(writing, new_basis(), OPERATOR)
        with pytest.raises(InvalidError):
            await bases.end_basis(writing, basis_id, date(2019, 1, 1), "never was", OPERATOR)
        with pytest.raises(UnknownError):
            await bases.end_basis(writing, uuid4(), date(2027, 1, 1), "which", OPERATOR)
        await bases.end_basis(writing, basis_id, date(2027, 12, 31), "superseded", OPERATOR)
        basis = await bases.read_basis(writing.connection, basis_id)
        assert await bases.list_bases(writing.connection) == [basis]
        assert await bases.read_basis(writing.connection, uuid4()) is None
    assert basis is not None
    assert (basis.in_force_until, basis.notice_delay_days) == (date(2027, 12, 31), 30)
    assert basis.categories == {"FIN", "JUD"}
    assert (await document(log, "basis.registered"))["in_force_from"] == "2020-01-01"
    values = await newest(log)
    assert (values["event"], values["basis"]) == ("basis.ended", str(basis_id))


@pytest.mark.parametrize(
    "change",
    [
        {"code": "Article 253"},
        {"title": ""},
        {"jurisdiction": "People's Republic"},
        {"purposes": ("Enforcement!",)},
        {"categories": ("fin",)},
        {"in_force_until": date(2019, 12, 31)},
        {"notice_delay_days": -1},
    ],
)
async def test_a_basis_that_breaks_a_rule_is_not_registered(log: Log, change: dict[str, Any]) -> None:
    async with log.writing() as writing:
        with pytest.raises(InvalidError):
            await bases.add_basis(writing, new_basis(**change), OPERATOR)
    assert await documents(log) == []


async def test_an_authorization_is_proposed_by_one_and_approved_by_another(log: Log) -> None:
    known = await register_all(log)
    async with log.engine.connect() as connection:
        found = await statutes.read_authorization(connection, known.authorization)
        assert await statutes.list_authorizations(connection) == [found]
        assert await statutes.list_authorizations(connection, known.court) == [found]
        assert await statutes.list_authorizations(connection, known.bank) == []
        assert await statutes.read_authorization(connection, uuid4()) is None
    assert found is not None
    assert (found.state, found.terms) == ("approved", known.terms)
    assert (found.proposer_id, found.approver_id) == (known.first.registrar_id, known.second.registrar_id)
    proposed, approved = (await payloads(log))[-2:]
    assert proposed.values()["event"] == "authorization.proposed"
    assert proposed.values()["actor"] == f"registrar:{known.first.registrar_id}"
    assert approved.values()["actor"] == f"registrar:{known.second.registrar_id}"
    assert approved.values()["basis"] == str(known.basis)
    assert approved.values()["body"] == str(known.court)


async def test_both_signatures_stand_in_the_document_of_the_approval(log: Log) -> None:
    known = await register_all(log)
    async with log.engine.connect() as connection:
        row = (
            await connection.execute(text('SELECT content, proposal, approval FROM consent."authorization"'))
        ).one()
    written = await document(log, "authorization.approved")
    assert written["proposal_sha256"] == read_statement(row.proposal).digest
    assert written["approval_sha256"] == read_statement(row.approval).digest
    assert written["content_sha256"] == digest(row.content)
    assert row.content == known.terms.text()
    stored = [one for one in await documents(log) if json.loads(one) == written]
    assert (await newest(log))["document"] == digest(stored[0])


async def propose_again(log: Log, known: Registered, **changes: Any) -> tuple[Any, statutes.Terms]:
    async with log.writing() as writing:
        terms = terms_for(known.court, known.basis, writing.now, **changes)
        return await statutes.propose(writing, known.first.proposes(terms, writing.now)), terms


async def approve(log: Log, authorization_id: Any, compact: str) -> None:
    async with log.writing() as writing:
        await statutes.approve(writing, authorization_id, compact)


async def now(log: Log) -> Any:
    async with log.writing() as writing:
        return writing.now


async def test_the_proposer_cannot_approve(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    with pytest.raises(StatementError, match="another registrar"):
        await approve(log, proposed, known.first.approves(proposed, terms, await now(log)))


async def test_a_registrar_cannot_sign_for_another(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    forged = Signatory(known.second.registrar_id, known.first.private_jwk)
    with pytest.raises(StatementError):
        await approve(log, proposed, forged.approves(proposed, terms, await now(log)))


async def test_approving_something_else_fails(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    other, other_terms = await propose_again(log, known, per_day=1000)
    at = await now(log)
    for compact in (
        known.second.approves(proposed, other_terms, at),
        known.second.approves(other, terms, at),
        known.second.approves(other, other_terms, at),
        known.first.proposes(terms, at, proposed),
    ):
        with pytest.raises(StatementError):
            await approve(log, proposed, compact)
    await approve(log, proposed, known.second.approves(proposed, terms, at))


async def test_a_stranger_approves_nothing(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    stranger = Signatory(uuid4(), known.second.private_jwk)
    with pytest.raises(StatementError, match="no active registrar"):
        await approve(log, proposed, stranger.approves(proposed, terms, await now(log)))


async def test_a_registrar_who_stood_down_neither_proposes_nor_approves(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    async with log.writing() as writing:
        third = await registrar(writing, "Zhang")
        await stand_down_registrar(writing, known.second.registrar_id, "retired", OPERATOR)
    with pytest.raises(StatementError, match="no active registrar"):
        await approve(log, proposed, known.second.approves(proposed, terms, await now(log)))
    async with log.writing() as writing:
        await stand_down_registrar(writing, known.first.registrar_id, "key lost", OPERATOR)
    with pytest.raises(StateError, match="stood down"):
        await approve(log, proposed, third.approves(proposed, terms, await now(log)))
    with pytest.raises(StatementError, match="no active registrar"):
        await propose_again(log, known)


async def test_terms_altered_in_the_database_are_not_approved(log: Log) -> None:
    known = await register_all(log)
    proposed, terms = await propose_again(log, known)
    more = terms_for(known.court, known.basis, await now(log), per_day=9999)
    async with log.engine.begin() as connection:
        await connection.execute(
            text('UPDATE consent."authorization" SET content = :content WHERE authorization_id = :id'),
            {"content": more.text(), "id": proposed},
        )
    at = await now(log)
    with pytest.raises(StatementError):
        await approve(log, proposed, known.second.approves(proposed, terms, at))
    with pytest.raises(StatementError, match="not those of the signed proposal"):
        await approve(log, proposed, known.second.approves(proposed, more, at))


async def test_what_is_approved_or_revoked_is_not_approved_again(log: Log) -> None:
    known = await register_all(log)
    approval = known.second.approves(known.authorization, known.terms, await now(log))
    with pytest.raises(StateError):
        await approve(log, known.authorization, approval)
    with pytest.raises(UnknownError):
        await approve(log, uuid4(), approval)
    async with log.writing() as writing:
        await statutes.revoke_unsigned(writing, known.authorization, "misused", OPERATOR)
    with pytest.raises(StateError):
        await approve(log, known.authorization, approval)


async def test_the_database_itself_holds_four_eyes(log: Log) -> None:
    known = await register_all(log)
    for change in (
        "approver_id = proposer_id",
        "approver_thumbprint = proposer_thumbprint",
        "approval = NULL",
    ):
        with pytest.raises(IntegrityError):
            async with log.engine.begin() as connection:
                await connection.execute(text(f'UPDATE consent."authorization" SET {change}'))
    assert known.authorization


async def test_any_registrar_revokes_by_statement(log: Log) -> None:
    known = await register_all(log)
    proposed, _ = await propose_again(log, known)
    at = await now(log)
    revocation = known.second.sign(
        Revocation(
            authorization=known.authorization, registrar=known.second.registrar_id, at=at, reason="misused"
        )
    )
    async with log.writing() as writing:
        with pytest.raises(StatementError):
            await statutes.revoke(writing, proposed, revocation)
        with pytest.raises(StatementError):
            await statutes.revoke(writing, proposed, known.second.approves(proposed, known.terms, at))
        await statutes.revoke(writing, known.authorization, revocation)
        with pytest.raises(StateError):
            await statutes.revoke(writing, known.authorization, revocation)
        found = await statutes.read_authorization(writing.connection, known.authorization)
    assert found is not None
    assert (found.state, found.revoked_at) == ("revoked", writing.now)
    assert (await document(log, "authorization.revoked"))["revocation_sha256"] == read_statement(
        revocation
    ).digest


async def test_an_operator_revokes_at_once_even_what_is_only_proposed(log: Log) -> None:
    known = await register_all(log)
    proposed, _ = await propose_again(log, known)
    async with log.writing() as writing:
        await statutes.revoke_unsigned(writing, proposed, "a mistake", OPERATOR)
        with pytest.raises(InvalidError):
            await statutes.revoke_unsigned(writing, known.authorization, "", OPERATOR)
        with pytest.raises(UnknownError):
            await statutes.revoke_unsigned(writing, uuid4(), "which", OPERATOR)
    values = await newest(log)
    assert (values["event"], values["actor"]) == ("authorization.revoked", "operator:test")


@pytest.mark.parametrize(
    "change",
    [
        {"purposes": ()},
        {"fields": ()},
        {"fields": ("FIN",)},
        {"purposes": ("supervision",)},
        {"fields": ("TAX.status",)},
        {"scope": PersonsOfCases(pattern="a*b*c")},
        {"scope": PersonsOfCases(pattern="*")},
        {"scope": NamedPersons(subjects=())},
        {"scope": NamedPersons(subjects=("short",))},
        {"per_day": 0},
        {"per_case": 0},
        {"body": uuid4()},
        {"basis": uuid4()},
    ],
)
async def test_terms_that_break_a_rule_are_not_proposed(log: Log, change: dict[str, Any]) -> None:
    known = await register_all(log)
    before = len(await documents(log))
    with pytest.raises((InvalidError, UnknownError)):
        await propose_again(log, known, **change)
    assert len(await documents(log)) == before


async def test_an_authorization_ends_after_it_begins_and_not_in_the_past(log: Log) -> None:
    known = await register_all(log)
    at = await now(log)
    for start, end in (
        (at, at),
        (at + timedelta(days=2), at + timedelta(days=1)),
        (at - timedelta(days=2), at),
    ):
        with pytest.raises(InvalidError):
            await propose_again(log, known, valid_from=start, valid_until=end)


async def test_terms_are_a_closed_schema(log: Log) -> None:
    known = await register_all(log)
    terms = json.loads(known.terms.text())
    for content in ({**terms, "unlimited": True}, {}, {**terms, "valid_until": "2027-01-01T00:00:00"}):
        async with log.writing() as writing:
            proposal = Proposal.of(uuid4(), known.first.registrar_id, writing.now, json.dumps(content))
            with pytest.raises(InvalidError):
                await statutes.propose(writing, known.first.sign(proposal))


async def test_an_id_is_proposed_once_and_by_a_proposal(log: Log) -> None:
    known = await register_all(log)
    async with log.writing() as writing:
        with pytest.raises(StateError):
            await statutes.propose(
                writing, known.first.proposes(known.terms, writing.now, known.authorization)
            )
        with pytest.raises(StatementError):
            await statutes.propose(
                writing, known.first.approves(known.authorization, known.terms, writing.now)
            )
        with pytest.raises(StatementError):
            await statutes.approve(
                writing, known.authorization, known.first.proposes(known.terms, writing.now)
            )


async def test_the_scopes_are_stored_as_signed(log: Log) -> None:
    async with log.writing() as writing:
        court = await add_body(writing, new_body(), OPERATOR)
        basis = await bases.add_basis(writing, new_basis(), OPERATOR)
        anna = await registrar(writing, "Anna")
        for scope in (NamedPersons(subjects=("ab" * 32, "cd" * 32)), PersonsOfCases(pattern="(2026)*")):
            terms = terms_for(court, basis, writing.now, scope=scope)
            await statutes.propose(writing, anna.proposes(terms, writing.now))
        rows = await writing.connection.execute(
            text('SELECT scope, subjects, case_pattern FROM consent."authorization" ORDER BY scope')
        )
        assert [tuple(row) for row in rows] == [
            ("case", [], "(2026)*"),
            ("named", [b"\xab" * 32, b"\xcd" * 32], None),
        ]


NAMED = NamedPersons(subjects=("00" * 32,))


@pytest.mark.parametrize(
    ("allowed", "days", "scope", "why"),
    [
        (30, 31, NAMED, "within the 30 days"),
        (30, -1, NAMED, "in the future"),
        (0, 1, NAMED, "allows no delay"),
        (30, 7, PersonsOfCases(pattern="(2026) No. *"), "name them"),
        (30, 7, AnyPerson(), "name them"),
    ],
)
async def test_notice_is_delayed_only_as_the_law_allows(
    log: Log, allowed: int, days: int, scope: Any, why: str
) -> None:
    async with log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
        basis_id = await bases.add_basis(writing, new_basis(notice_delay_days=allowed), OPERATOR)
        proposer = await registrar(writing, "Ada")
        delay = Delay("order 17", writing.now + timedelta(days=days))
        terms = terms_for(body_id, basis_id, writing.now, scope=scope, delayed_notice=delay)
        with pytest.raises(InvalidError, match=why):
            await statutes.propose(writing, proposer.proposes(terms, writing.now))


async def test_a_delay_of_notice_needs_its_courts_reference(log: Log) -> None:
    async with log.writing() as writing:
        body_id = await add_body(writing, new_body(), OPERATOR)
        basis_id = await bases.add_basis(writing, new_basis(notice_delay_days=30), OPERATOR)
        proposer = await registrar(writing, "Ada")
        for reference in ("", "  "):
            delay = Delay(reference, writing.now + timedelta(days=7))
            terms = terms_for(body_id, basis_id, writing.now, scope=NAMED, delayed_notice=delay)
            with pytest.raises(InvalidError):
                await statutes.propose(writing, proposer.proposes(terms, writing.now))


def test_terms_without_a_delay_read_as_they_always_did() -> None:
    text = (
        '{"body":"5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11","basis":"5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c12",'
        '"purposes":["a"],"fields":["FIN.type"],"scope":{"kind":"any"},"per_day":1,"per_case":null,'
        '"valid_from":"2026-01-01T00:00:00Z","valid_until":"2026-02-01T00:00:00Z"}'
    )
    assert statutes.read_terms(text).delayed_notice is None
