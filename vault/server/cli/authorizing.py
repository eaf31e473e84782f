"""Commands about registrars, legal bases and statutory authorizations."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer
from joserfc.jwk import OKPKey

from consent import bases, registrars, statutes
from consent.bases import LegalBasis, NewBasis
from consent.registrars import NewRegistrar
from consent.statements import Approval, Proposal, Revocation, content_digest, sign_statement
from consent.statutes import AnyPerson, Authorization, NamedPersons, PersonsOfCases, Terms
from vault.records.query import parse_identifier
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, read_json, with_vault
from vault.server.cli.output import AsJson, print_json, print_table

registrar = typer.Typer(no_args_is_help=True, help="Registrars, who sign for authorizations.")
basis = typer.Typer(no_args_is_help=True, help="Legal bases of authorizations.")
authorization = typer.Typer(
    no_args_is_help=True, help="Statutory authorizations: proposed by one registrar, approved by another."
)
AuthorizationId = Annotated[UUID, typer.Argument(metavar="AUTHORIZATION", help="Id of the authorization.")]
RegistrarId = Annotated[UUID, typer.Option("--registrar", help="Id of the registrar who signs.")]
KeyFile = Annotated[
    Path, typer.Option("--key", exists=True, dir_okay=False, help="The registrar's private key, a JWK.")
]


@registrar.command(name="key")
def make_key(
    path: Annotated[Path, typer.Argument(help="File for the private key; it must not exist.")],
) -> None:
    """Make a registrar's key pair: the private key in PATH, the public one beside it in PATH.pub.

    Run it on the registrar's own machine; the private key never leaves it.

    Example: `creditvault registrar key zhang.jwk`
    """
    key = OKPKey.generate_key("Ed25519")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(key.as_dict(private=True), file)
    public = path.with_name(path.name + ".pub")
    public.write_text(json.dumps(key.as_dict(private=False)) + "\n")
    typer.echo(f"private key {path}, public key {public}")


@registrar.command(name="add")
def add_registrar(
    name: Annotated[str, typer.Option(help="The registrar's name.")],
    key: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The public key, a JWK.")],
    as_json: AsJson = False,
) -> None:
    """Register a registrar by name and public key.

    Example: `creditvault registrar add --name "Zhang Wei" --key zhang.jwk.pub`
    """
    new = NewRegistrar(name, read_json(key))
    registrar_id = change(lambda writing: registrars.add_registrar(writing, new, operator()))
    if as_json:
        print_json({"registrar": registrar_id})
    else:
        typer.echo(f"registered {name} as {registrar_id}")


@registrar.command(name="list")
def list_registrars(as_json: AsJson = False) -> None:
    """List all registrars.

    Example: `creditvault registrar list`
    """

    async def work(vault: Vault) -> list[registrars.Registrar]:
        async with vault.engine.connect() as connection:
            return await registrars.list_registrars(connection)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "key", "status"),
        [(one.registrar_id, one.name, one.thumbprint, one.status) for one in found],
    )


@basis.command(name="add")
def add_basis(
    code: Annotated[str, typer.Option(help="Its code, for instance civil-procedure-253.")],
    title: Annotated[str, typer.Option(help="Title of the law.")],
    article: Annotated[str, typer.Option(help="Article within it.")],
    in_force_from: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day in force.")
    ],
    purpose: Annotated[list[str], typer.Option(help="A purpose it supports; repeat for more.")],
    category: Annotated[list[str], typer.Option(help="A category it supports; repeat for more.")],
    in_force_until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day in force.")
    ] = None,
    notice_delay_days: Annotated[int, typer.Option(help="Longest delay of notice to the person.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Register a legal basis.

    Example: `creditvault basis add --code enforcement --title "Civil Procedure Law" --article 253
    --from 2024-01-01 --purpose court-enforcement --category FIN`
    """

    async def work(vault: Vault) -> UUID:
        new = NewBasis(
            code=code,
            title=title,
            article=article,
            jurisdiction=vault.catalogue.pack.code,
            in_force_from=in_force_from.date(),
            in_force_until=_day(in_force_until),
            purposes=tuple(purpose),
            categories=tuple(category),
            notice_delay_days=notice_delay_days,
        )
        async with vault.log.writing() as writing:
            return await bases.add_basis(writing, new, operator())

    basis_id = with_vault(work)
    if as_json:
        print_json({"basis": basis_id})
    else:
        typer.echo(f"registered {code} as {basis_id}")


@basis.command(name="list")
def list_bases(as_json: AsJson = False) -> None:
    """List all legal bases.

    Example: `creditvault basis list`
    """

    async def work(vault: Vault) -> list[LegalBasis]:
        async with vault.engine.connect() as connection:
            return await bases.list_bases(connection)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "code", "title", "article", "from", "until", "purposes", "categories"),
        [
            (
                one.basis_id,
                one.code,
                one.title,
                one.article,
                one.in_force_from,
                one.in_force_until,
                one.purposes,
                one.categories,
            )
            for one in found
        ],
    )


@authorization.command()
def propose(
    registrar_id: RegistrarId,
    key: KeyFile,
    body: Annotated[UUID, typer.Option(help="Id of the body.")],
    basis_id: Annotated[UUID, typer.Option("--basis", help="Id of the legal basis.")],
    purpose: Annotated[list[str], typer.Option(help="A purpose; repeat for more.")],
    field: Annotated[list[str], typer.Option(help="A field, as FIN.type; repeat for more.")],
    per_day: Annotated[int, typer.Option(min=1, help="Queries allowed on one legal day.")],
    days: Annotated[int, typer.Option(min=1, help="Days it is valid, from now.")] = 365,
    per_case: Annotated[int | None, typer.Option(min=1, help="Queries allowed for one case.")] = None,
    case: Annotated[
        str | None, typer.Option(help="Any person, in cases whose reference fits this (at most one *).")
    ] = None,
    person: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="These persons: a file, on each line `scheme number`."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose an authorization, signed by one registrar. Without --case and --person it reaches anybody.

    Example: `creditvault authorization propose --registrar ID --key zhang.jwk --body ID --basis ID
    --purpose court-enforcement --field FIN.type --per-day 100 --case "(2026) Enforcement No. *"`
    """
    if case is not None and person is not None:
        raise typer.BadParameter("name cases or persons, not both", param_hint="--case")

    persons = None if person is None else person.read_text().splitlines()

    async def work(vault: Vault) -> UUID:
        now = datetime.now(UTC)
        terms = Terms(
            body=body,
            basis=basis_id,
            purposes=tuple(purpose),
            fields=tuple(field),
            scope=await _scope(vault, case, persons),
            per_day=per_day,
            per_case=per_case,
            valid_from=now,
            valid_until=now + timedelta(days=days),
        )
        statement = Proposal.of(uuid4(), registrar_id, now, terms.text())
        async with vault.log.writing() as writing:
            return await statutes.propose(writing, sign_statement(read_json(key), statement))

    proposed = with_vault(work)
    if as_json:
        print_json({"authorization": proposed})
    else:
        typer.echo(f"proposed {proposed}; another registrar approves it")


@authorization.command()
def approve(authorization_id: AuthorizationId, registrar_id: RegistrarId, key: KeyFile) -> None:
    """Approve a proposed authorization, signed by another registrar. Its terms are shown first.

    Example: `creditvault authorization approve AUTHORIZATION --registrar ID --key li.jwk`
    """

    async def work(vault: Vault) -> None:
        async with vault.log.writing() as writing:
            standing = await statutes.read_authorization(writing.connection, authorization_id)
            if standing is None:
                raise typer.BadParameter("there is no such authorization", param_hint="AUTHORIZATION")
            terms = standing.terms.text()
            typer.echo(f"terms: {terms}")
            statement = Approval(
                authorization=authorization_id,
                registrar=registrar_id,
                at=writing.now,
                content_sha256=content_digest(terms),
            )
            await statutes.approve(writing, authorization_id, sign_statement(read_json(key), statement))

    with_vault(work)
    typer.echo(f"approved {authorization_id}")


@authorization.command()
def revoke(
    authorization_id: AuthorizationId,
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
    registrar_id: RegistrarId,
    key: KeyFile,
) -> None:
    """Revoke an authorization; it takes effect on the next query.

    Example: `creditvault authorization revoke AUTHORIZATION --reason "case closed"
    --registrar ID --key li.jwk`
    """

    async def work(vault: Vault) -> None:
        async with vault.log.writing() as writing:
            statement = Revocation(
                authorization=authorization_id, registrar=registrar_id, at=writing.now, reason=reason
            )
            await statutes.revoke(writing, authorization_id, sign_statement(read_json(key), statement))

    with_vault(work)
    typer.echo(f"revoked {authorization_id}")


@authorization.command(name="list")
def list_authorizations(
    body: Annotated[UUID | None, typer.Option(help="Of this body alone.")] = None, as_json: AsJson = False
) -> None:
    """List authorizations, newest first.

    Example: `creditvault authorization list --body 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11`
    """

    async def work(vault: Vault) -> list[Authorization]:
        async with vault.engine.connect() as connection:
            return await statutes.list_authorizations(connection, body)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "body", "state", "purposes", "fields", "valid until"),
        [
            (
                one.authorization_id,
                one.terms.body,
                one.state,
                one.terms.purposes,
                one.terms.fields,
                f"{one.terms.valid_until:%Y-%m-%d}",
            )
            for one in found
        ],
    )


async def _scope(
    vault: Vault, case: str | None, persons: list[str] | None
) -> NamedPersons | PersonsOfCases | AnyPerson:
    if case is not None:
        return PersonsOfCases(pattern=case)
    if persons is None:
        return AnyPerson()
    identifiers = []
    for line in persons:
        scheme, _, number = line.strip().partition(" ")
        if scheme:
            identifiers.append(parse_identifier(scheme, number, vault.schemes))
    hashes = await vault.keys.subject_hashes(identifiers)
    return NamedPersons(subjects=tuple(each.hex() for each in hashes))


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
