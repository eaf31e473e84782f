"""Who plays in the demo, the flow tests and the benchmarks: bodies, officers, registrars, laws, all invented.

Everybody is registered through the same functions as in production, each registration an entry of the log.
Keys are drawn once and kept beside the demo's other files, so that a second run meets the same people.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from joserfc.jwk import OKPKey
from stdnum.cn import uscc

from access_log.log import Log
from consent import bodies, registrars, statutes
from consent.bases import NewBasis, add_basis, list_bases
from consent.bodies import Contact, NewBody, NewOfficer
from consent.journal import Actor
from consent.registrars import NewRegistrar
from consent.statements import Approval, Proposal, content_digest, sign_statement
from consent.statutes import PersonsOfCases, Terms
from demo.client import new_key, public_jwks

OPERATOR = Actor("operator:demo", "operator")
REDIRECT_URI = "http://127.0.0.1:8441/returned"
_ACT = "demo-enforcement"
COURT_CASE = "(2026) Demo Enforcement No. 17"


@dataclass(frozen=True)
class Role:
    """One body of the cast."""

    code: str
    name: str
    kind: str
    capacities: tuple[str, ...]
    purposes: tuple[str, ...] = ()


ROLES = (
    Role("furnisher", "First Example Bank (furnishing)", "bank", ("furnish",)),
    Role("bank", "Second Example Bank", "bank", ("ask",), ("credit-granting", "credit-review")),
    Role("court", "Example District Court", "court", ("ask", "furnish"), ("court-enforcement",)),
    Role("labour", "Example Labour Inspectorate", "authority", ("furnish",)),
    Role("tax", "Example Tax Bureau", "tax-authority", ("furnish",)),
    Role("licensing", "Example Licensing Office", "authority", ("furnish",)),
    Role("inspectorate", "Example Data Protection Inspectorate", "authority", ("inspect",)),
    Role("desk", "Example Citizens' Service Desk", "authority", ("desk",)),
)


@dataclass
class Player:
    """A body with its key and its officer."""

    role: Role
    key: OKPKey
    body_id: UUID
    officer_id: UUID


@dataclass
class Cast:
    """Everybody, registered."""

    players: dict[str, Player] = field(default_factory=dict)
    authorization: UUID = field(default_factory=uuid4)
    registrar_keys: list[OKPKey] = field(default_factory=list)
    registrar_ids: list[UUID] = field(default_factory=list)

    def __getitem__(self, code: str) -> Player:
        return self.players[code]


async def gather(log: Log, keys_file: Path) -> Cast:
    """Registers everybody, or whoever is still missing after an earlier run, however that one ended.

    Args:
        log: the open log.
        keys_file: where the cast's private keys are kept; they are written before anybody is registered.
    """
    drawn = _drawn(keys_file)
    cast = Cast(authorization=UUID(drawn["authorization"]))
    for number, role in enumerate(ROLES):
        key = OKPKey.import_key(drawn["bodies"][role.code])
        cast.players[role.code] = await _player(log, role, key, _credit_code(number))
    basis_id = await _enforcement_act(log)
    for name, each in drawn["registrars"].items():
        key = OKPKey.import_key(each)
        cast.registrar_keys.append(key)
        cast.registrar_ids.append(await _registrar(log, name, key))
    await _authorize_the_court(log, cast, basis_id)
    return cast


async def _player(log: Log, role: Role, key: OKPKey, code: str) -> Player:
    async with log.engine.connect() as connection:
        registered = {body.uscc: body.body_id for body in await bodies.list_bodies(connection)}
    body_id = registered.get(code)
    if body_id is None:
        async with log.writing() as writing:
            body_id = await bodies.add_body(
                writing,
                NewBody(
                    uscc=code,
                    name=role.name,
                    kind=role.kind,
                    contact=Contact("1 Example Street", f"privacy@{role.code}.example"),
                    jwks=public_jwks(key),
                    redirect_uris=(REDIRECT_URI,),
                    purposes=role.purposes,
                    capacities=role.capacities,
                ),
                OPERATOR,
            )
    async with log.engine.connect() as connection:
        officers = await bodies.list_officers(connection, body_id)
    if officers:
        return Player(role, key, body_id, officers[0].officer_id)
    async with log.writing() as writing:
        new = NewOfficer(body_id, f"Officer of {role.code}", "case officer")
        return Player(role, key, body_id, await bodies.add_officer(writing, new, OPERATOR))


async def _registrar(log: Log, name: str, key: OKPKey) -> UUID:
    async with log.engine.connect() as connection:
        registered = {
            one.thumbprint: one.registrar_id for one in await registrars.list_registrars(connection)
        }
    if key.thumbprint() in registered:
        return registered[key.thumbprint()]
    async with log.writing() as writing:
        return await registrars.add_registrar(
            writing, NewRegistrar(name, key.as_dict(private=False)), OPERATOR
        )


async def _enforcement_act(log: Log) -> UUID:
    async with log.engine.connect() as connection:
        known = {basis.code: basis.basis_id for basis in await list_bases(connection)}
    if _ACT in known:
        return known[_ACT]
    async with log.writing() as writing:
        return await add_basis(
            writing,
            NewBasis(
                code=_ACT,
                title="Fictitious Enforcement Act",
                article="Article 1",
                jurisdiction="cn",
                in_force_from=date(2020, 1, 1),
                purposes=("court-enforcement",),
                categories=("FIN", "JUD", "LAB", "LIC", "TAX"),
            ),
            OPERATOR,
        )


async def _authorize_the_court(log: Log, cast: Cast, basis_id: UUID) -> None:
    """The court's statutory authorization: proposed by one registrar, approved by the other."""
    async with log.engine.connect() as connection:
        standing = await statutes.read_authorization(connection, cast.authorization)
    if standing is None:
        async with log.writing() as writing:
            await statutes.propose(writing, _proposal(cast, basis_id, writing.now))
    if standing is None or standing.state == "proposed":
        async with log.writing() as writing:
            proposed = await statutes.read_authorization(writing.connection, cast.authorization)
            if proposed is None:
                raise RuntimeError("the authorization just proposed is not registered")
            approval = Approval(
                authorization=cast.authorization,
                registrar=cast.registrar_ids[1],
                at=writing.now,
                content_sha256=content_digest(proposed.terms.text()),
            )
            signed = sign_statement(_private(cast.registrar_keys[1]), approval)
            await statutes.approve(writing, cast.authorization, signed)


def _proposal(cast: Cast, basis_id: UUID, now: datetime) -> str:
    terms = Terms(
        body=cast["court"].body_id,
        basis=basis_id,
        purposes=("court-enforcement",),
        fields=(
            "FIN.type", "FIN.amount_class", "FIN.status", "FIN.contract_end",
            "JUD.case_number", "JUD.performance",
            "LAB.order", "LIC.licence", "LIC.status", "TAX.breach", "TAX.status",
        ),
        scope=PersonsOfCases(pattern="(2026) Demo Enforcement No. *"),
        per_day=1_000_000,
        valid_from=now,
        valid_until=now + timedelta(days=365),
    )  # fmt: skip
    statement = Proposal.of(cast.authorization, cast.registrar_ids[0], now, terms.text())
    return sign_statement(_private(cast.registrar_keys[0]), statement)


def _credit_code(number: int) -> str:
    """A well-formed unified social credit code (GB 32100) of nobody."""
    # Number 7 is the body that the documentation registers.
    head = f"91999999MA{number + (number >= 7):07}"  # noqa: PLR2004 -- as the line before says
    return head + uscc.calc_check_digit(head)


def _private(key: OKPKey) -> dict[str, Any]:
    return dict(key.as_dict(private=True))


def _drawn(path: Path) -> dict[str, Any]:
    """The cast's keys, drawn and kept before they are used; whoever joined it since is drawn, too."""
    drawn: dict[str, Any] = (
        json.loads(path.read_text())
        if path.exists()
        else {
            "authorization": str(uuid4()),
            "registrars": {name: _private(new_key()) for name in ("Registrar One", "Registrar Two")},
            "bodies": {},
        }
    )
    missing = [role.code for role in ROLES if role.code not in drawn["bodies"]]
    if not missing:
        return drawn
    drawn["bodies"] |= {code: _private(new_key()) for code in missing}
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(drawn, file)
    temporary.replace(path)
    return drawn
