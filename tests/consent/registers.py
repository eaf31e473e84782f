"""Ready-made register entries: bodies with real keys, registrars who sign, a signer of consent copies."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from access_log.log import Log, StreamKind, Writing
from consent.bases import NewBasis, add_basis
from consent.bodies import Contact, NewBody, NewOfficer, add_body, add_officer
from consent.journal import Actor
from consent.permit import Person
from consent.record import Keeper, NewConsent, Notice
from consent.registrars import NewRegistrar, add_registrar
from consent.statements import Approval, Proposal, Statement, content_digest, sign_statement
from consent.statutes import AnyPerson, NamedPersons, PersonsOfCases, Terms, approve, propose

OPERATOR = Actor("operator:test", "operator")
USCC = "91999999MA00000079"
KEY = OKPKey.generate_key("Ed25519")


def jwks(*kids: str) -> dict[str, Any]:
    return {"keys": [{**KEY.as_dict(private=False), "kid": kid} for kid in kids or ("one",)]}


def new_body(**changes: Any) -> NewBody:
    values: dict[str, Any] = {
        "uscc": USCC,
        "name": "Fictitious Bank",
        "kind": "bank",
        "contact": Contact("1 Test Street", "privacy@bank.example"),
        "jwks": jwks(),
        "redirect_uris": ("https://bank.example/callback",),
        "purposes": ("credit-granting",),
        "capacities": ("ask",),
    }
    return NewBody(**{**values, **changes})


def new_basis(**changes: Any) -> NewBasis:
    values: dict[str, Any] = {
        "code": "civil-procedure-253",
        "title": "Civil Procedure Law",
        "article": "253",
        "jurisdiction": "cn",
        "in_force_from": date(2020, 1, 1),
        "purposes": ("court-enforcement",),
        "categories": ("FIN", "JUD"),
    }
    return NewBasis(**{**values, **changes})


@dataclass(frozen=True)
class Signatory:
    """A registrar with the private key that only they hold."""

    registrar_id: UUID
    private_jwk: dict[str, Any]

    def sign(self, statement: Statement) -> str:
        return sign_statement(self.private_jwk, statement)

    def proposes(self, terms: Terms, at: datetime, authorization_id: UUID | None = None) -> str:
        return self.sign(Proposal.of(authorization_id or uuid4(), self.registrar_id, at, terms.text()))

    def approves(self, authorization_id: UUID, terms: Terms, at: datetime) -> str:
        return self.sign(
            Approval(
                authorization=authorization_id,
                registrar=self.registrar_id,
                at=at,
                content_sha256=content_digest(terms.text()),
            )
        )


async def registrar(writing: Writing, name: str) -> Signatory:
    key = OKPKey.generate_key("Ed25519") if name < "M" else ECKey.generate_key("P-256")
    registrar_id = await add_registrar(writing, NewRegistrar(name, key.as_dict(private=False)), OPERATOR)
    return Signatory(registrar_id, key.as_dict(private=True))


class CopySigner:
    """Signs consent copies with a key of its own."""

    key = OKPKey.generate_key("Ed25519")

    def sign(self, payload: bytes) -> str:
        return jws.serialize_compact({"alg": "Ed25519"}, payload, self.key, algorithms=["Ed25519"])

    def public_key(self) -> dict[str, object]:
        return dict(self.key.as_dict(private=False))

    def opened(self, copy: str) -> bytes:
        return jws.deserialize_compact(copy, self.key, algorithms=["Ed25519"]).payload


KEEPER = Keeper(
    party_id="91999999MA00000079",
    name="Fictitious Registry",
    address="2 Test Street",
    contact="help@vault.example",
    jurisdiction="cn",
    storage_locations=("Shanghai",),
    withdrawal_method="https://vault.example/me/consents",
    privacy_rights="https://vault.example/rights",
    signer=CopySigner(),
)


def new_consent(body_id: UUID, **changes: Any) -> NewConsent:
    values: dict[str, Any] = {
        "body_id": body_id,
        "purpose": "credit-granting",
        "fields": ("FIN.type", "FIN.amount_class"),
        "mode": "view",
        "validity_days": 30,
        "data_life_days": 90,
        "notice": Notice("https://bank.example/notice", "3", bytes(range(32))),
        "language": "zh-CN",
        "max_uses": 3,
    }
    return NewConsent(**{**values, **changes})


def terms_for(
    body_id: UUID,
    basis_id: UUID,
    now: datetime,
    *,
    scope: NamedPersons | PersonsOfCases | AnyPerson | None = None,
    **changes: Any,
) -> Terms:
    values: dict[str, Any] = {
        "body": body_id,
        "basis": basis_id,
        "purposes": ("court-enforcement",),
        "fields": ("FIN.type", "JUD.performance"),
        "scope": scope or AnyPerson(),
        "per_day": 3,
        "per_case": 2,
        "valid_from": now - timedelta(days=1),
        "valid_until": now + timedelta(days=30),
    }
    return Terms(**{**values, **changes})


@dataclass(frozen=True)
class Registered:
    """A court with an approved authorization, a bank, an officer in each, and two registrars."""

    court: UUID
    judge: UUID
    bank: UUID
    clerk: UUID
    basis: UUID
    authorization: UUID
    terms: Terms
    first: Signatory
    second: Signatory


async def register_all(log: Log, **terms: Any) -> Registered:
    async with log.writing() as writing:
        court = await add_body(
            writing,
            new_body(
                uscc="11999999MB0000008N",
                name="Fictitious Court",
                kind="court",
                purposes=("court-enforcement",),
            ),
            OPERATOR,
        )
        bank = await add_body(writing, new_body(), OPERATOR)
        judge = await add_officer(writing, NewOfficer(court, "Judge", "enforcement judge"), OPERATOR)
        clerk = await add_officer(writing, NewOfficer(bank, "Clerk", "loan officer"), OPERATOR)
        basis = await add_basis(writing, new_basis(), OPERATOR)
        first, second = await registrar(writing, "Anna"), await registrar(writing, "Wei")
        agreed = terms_for(court, basis, writing.now, **terms)
        authorization = await propose(writing, first.proposes(agreed, writing.now))
        await approve(writing, authorization, second.approves(authorization, agreed, writing.now))
    return Registered(court, judge, bank, clerk, basis, authorization, agreed, first, second)


async def person(log: Log) -> Person:
    one = Person(uuid4(), uuid4().bytes)
    async with log.engine.begin() as connection:
        await log.open_streams(connection, StreamKind.PERSON, [one.stream_id])
    return one
