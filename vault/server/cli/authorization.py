"""Commands about statutory authorizations: proposed by one registrar, approved by another, revoked by any."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
import typer

from access_log.log import Writing
from consent import statutes
from consent.handing_in import hand_in
from consent.statements import MOST_NAMED, Approval, Proposal, Revocation, content_digest
from consent.statutes import AnyPerson, Authorization, Delay, NamedPersons, PersonsOfCases, Terms
from vault.records.query import parse_identifier
from vault.rights.naming import named_persons
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.persons import read_persons
from vault.server.cli.signing import (
    KeyFile,
    MaybeKey,
    MaybeRegistrar,
    RegistrarId,
    Server,
    Signing,
    maybe_signing,
    send,
    signing,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Statutory authorizations: proposed by one registrar, approved by another.",
    epilog=examples(
        "creditvault authorization list",
        "creditvault authorization approve AUTHORIZATION --registrar REGISTRAR --key li.jwk",
    ),
)
AuthorizationId = Annotated[UUID, typer.Argument(metavar="AUTHORIZATION", help="Id of the authorization.")]
Persons = Sequence[tuple[str, str]]
"""Each by scheme and number."""
_NONE = typer.BadParameter("there is no such authorization", param_hint="AUTHORIZATION")


@app.command()
def propose(
    registrar_id: RegistrarId,
    key: KeyFile,
    body: Annotated[UUID, typer.Option(help="Id of the body.")],
    basis_id: Annotated[UUID, typer.Option("--basis", help="Id of the legal basis.")],
    purpose: Annotated[list[str], typer.Option(help="A purpose; repeat for more.")],
    field: Annotated[list[str], typer.Option(help="A field, as FIN.type; repeat for more.")],
    per_day: Annotated[int, typer.Option(min=1, help="Queries allowed on one legal day.")],
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days it is valid, from now.")] = 365,
    per_case: Annotated[int | None, typer.Option(min=1, help="Queries allowed for one case.")] = None,
    case: Annotated[
        str | None, typer.Option(help="Any person, in cases whose reference fits this (at most one *).")
    ] = None,
    persons: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="These persons: a file, on each line `scheme number`."
        ),
    ] = None,
    anybody: Annotated[bool, typer.Option("--anybody", help="Any person, in any case.")] = False,
    delay_days: Annotated[
        int | None,
        typer.Option(min=1, help="Tell the persons named only after so many days, as a court ordered."),
    ] = None,
    court_reference: Annotated[
        str | None, typer.Option(help="Reference of the court's order; with --delay-days.")
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Propose an authorization, signed by one registrar.

    Name whom it reaches: --case, --persons (100 at most) or --anybody. Only persons who are named may be told
    later.

    Example: `creditvault authorization propose --registrar ID --key zhang.jwk --body ID --basis ID
    --purpose court-enforcement --field FIN.type --per-day 100 --case "(2026) Enforcement No. *"`
    """
    if sum((case is not None, persons is not None, anybody)) != 1:
        raise typer.BadParameter("name one of --case, --persons and --anybody", param_hint="--case")
    if (delay_days is None) != (court_reference is None):
        raise typer.BadParameter("name the days and the court's order, or neither", param_hint="--delay-days")
    who = signing(registrar_id, key)
    named = None if persons is None else read_persons(persons, "--persons")
    if named is not None and len(named) > MOST_NAMED:
        raise typer.BadParameter(
            f"an authorization names {MOST_NAMED} persons at most", param_hint="--persons"
        )
    now = datetime.now(UTC)

    def signed(scope: NamedPersons | PersonsOfCases | AnyPerson) -> str:
        terms = Terms(
            body=body,
            basis=basis_id,
            purposes=tuple(purpose),
            fields=tuple(field),
            scope=scope,
            per_day=per_day,
            per_case=per_case,
            valid_from=now,
            valid_until=now + timedelta(days=days),
            delayed_notice=None
            if delay_days is None or court_reference is None
            else Delay(court_reference, now + timedelta(days=delay_days)),
        )
        return who.sign(Proposal.of(uuid4(), registrar_id, now, terms.text()))

    async def work(vault: Vault) -> UUID:
        scope = _scope(case) if named is None else _named_here(vault, named)
        async with vault.log.writing() as writing:
            return (await hand_in(writing, signed(scope), vault.profile.issuer, vault.nameable)).id

    if server is None:
        proposed = with_vault(work)
    else:
        scope = _scope(case) if named is None else _named_at(server, who, named)
        proposed = send(server, "statements", signed(scope))["id"]
    if as_json:
        print_json({"authorization": proposed})
    else:
        typer.echo(f"proposed {proposed}; another registrar approves it")


@app.command()
def approve(
    authorization_id: AuthorizationId,
    registrar_id: RegistrarId,
    key: KeyFile,
    server: Server = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
) -> None:
    """Approve a proposed authorization, signed by another registrar, who sees its terms first.

    Example: `creditvault authorization approve AUTHORIZATION --registrar ID --key li.jwk`
    """
    who = signing(registrar_id, key)
    terms = _terms_here(authorization_id) if server is None else _terms_at(server, who, authorization_id)
    typer.echo(f"terms: {terms}")
    # Without a terminal nobody can be asked; whoever wrote the script has answered.
    if not yes and sys.stdin.isatty():
        typer.confirm("Approve exactly these terms?", abort=True)
    statement = who.sign(
        Approval(
            authorization=authorization_id,
            registrar=registrar_id,
            at=datetime.now(UTC),
            content_sha256=content_digest(terms),
        )
    )
    _hand_in(statement, server)
    typer.echo(f"approved {authorization_id}")


@app.command()
def revoke(
    authorization_id: AuthorizationId,
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
    registrar_id: MaybeRegistrar = None,
    key: MaybeKey = None,
    server: Server = None,
) -> None:
    """Revoke an authorization; it takes effect on the next query.

    With --registrar and --key it is a registrar's signed statement, without them the operator's own act.

    Example: `creditvault authorization revoke AUTHORIZATION --reason "case closed"`
    """
    who = maybe_signing(registrar_id, key)
    if who is None:
        if server is not None:
            raise typer.BadParameter("elsewhere a registrar's word counts alone", param_hint="--server")

        async def act(writing: Writing) -> None:
            await statutes.revoke_unsigned(writing, authorization_id, reason, operator())

        change(act)
    else:
        statement = Revocation(
            authorization=authorization_id, registrar=who.registrar_id, at=datetime.now(UTC), reason=reason
        )
        _hand_in(who.sign(statement), server)
    typer.echo(f"revoked {authorization_id}")


@app.command(name="list")
def list_all(
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


def _hand_in(statement: str, server: str | None) -> None:
    """Hands a statement in, to this vault or to one elsewhere."""
    if server is not None:
        send(server, "statements", statement)
        return

    async def work(vault: Vault) -> None:
        async with vault.log.writing() as writing:
            await hand_in(writing, statement, vault.profile.issuer, vault.nameable)

    with_vault(work)


def _terms_here(authorization_id: UUID) -> str:
    async def work(vault: Vault) -> Authorization | None:
        async with vault.engine.connect() as connection:
            return await statutes.read_authorization(connection, authorization_id)

    standing = with_vault(work)
    if standing is None:
        raise _NONE
    return standing.terms.text()


def _terms_at(server: str, who: Signing, authorization_id: UUID) -> str:
    found = send(server, "read", who.ask(server, "authorizations"))["found"]
    terms = next((one["terms"] for one in found if one["authorization_id"] == str(authorization_id)), None)
    if terms is None:
        raise _NONE
    return msgspec.convert(terms, Terms).text()


def _scope(case: str | None) -> PersonsOfCases | AnyPerson:
    return AnyPerson() if case is None else PersonsOfCases(pattern=case)


def _named_here(vault: Vault, persons: Persons) -> NamedPersons:
    identifiers = [parse_identifier(scheme, number, vault.schemes) for scheme, number in persons]
    return named_persons(vault.keys, identifiers)


def _named_at(server: str, who: Signing, persons: Persons) -> NamedPersons:
    return NamedPersons(subjects=tuple(send(server, "scope", who.scope(server, persons))["subjects"]))
