"""Commands about bodies."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from consent import bodies
from consent.bodies import Body, Contact, NewBody
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, read_json, require_known, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Bodies: who may ask, furnish or inspect.",
    epilog=examples("creditvault body list", 'creditvault body suspend BODY --reason "under investigation"'),
)
BodyId = Annotated[UUID, typer.Argument(metavar="BODY", help="Id of the body.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the register.")]


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Its name.")],
    uscc: Annotated[str, typer.Option(help="Unified social credit code, 18 characters (GB 32100).")],
    kind: Annotated[str, typer.Option(help="Kind of body, as the catalogue names it: bank, court, …")],
    jwks: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Its public keys, a JWK Set.")],
    address: Annotated[str, typer.Option(help="Its address, for citizens.")],
    contact: Annotated[str, typer.Option(help="Its contact, for citizens.")],
    purpose: Annotated[list[str], typer.Option(help="A certified purpose; repeat for more.")] = [],  # noqa: B006 -- Typer copies it
    capacity: Annotated[list[str], typer.Option(help="ask, furnish or inspect; repeat for more.")] = ["ask"],  # noqa: B006
    redirect_uri: Annotated[list[str], typer.Option(help="Where people are sent back to.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Register a body.

    Example: `creditvault body add --name "Second Bank" --uscc 91999999MA00000079 --kind bank
    --jwks keys.json --address "1 Road" --contact privacy@bank.example --purpose credit-granting`
    """
    new = NewBody(
        uscc=uscc,
        name=name,
        kind=kind,
        contact=Contact(address, contact),
        jwks=read_json(jwks),
        redirect_uris=tuple(redirect_uri),
        purposes=tuple(purpose),
        capacities=tuple(capacity),
    )

    async def work(vault: Vault) -> UUID:
        require_known([kind], vault.catalogue.body_kinds, "--kind")
        require_known(purpose, vault.catalogue.purposes, "--purpose")
        async with vault.log.writing() as writing:
            return await bodies.add_body(writing, new, operator())

    body_id = with_vault(work)
    if as_json:
        print_json({"body": body_id})
    else:
        typer.echo(f"registered {name} as {body_id}")


@app.command()
def suspend(
    body: BodyId, reason: Reason, appeal: Annotated[str | None, typer.Option(help="Where to appeal.")] = None
) -> None:
    """Suspend a body; it takes effect on the next query.

    Example: `creditvault body suspend 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "under investigation"`
    """
    change(lambda writing: bodies.suspend_body(writing, body, reason, operator(), appeal=appeal))
    typer.echo(f"suspended {body}")


@app.command()
def reinstate(body: BodyId, reason: Reason) -> None:
    """Reinstate a suspended body.

    Example: `creditvault body reinstate 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "appeal upheld"`
    """
    change(lambda writing: bodies.reinstate_body(writing, body, reason, operator()))
    typer.echo(f"reinstated {body}")


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
    """List all bodies.

    Example: `creditvault body list --json`
    """

    async def work(vault: Vault) -> list[Body]:
        async with vault.engine.connect() as connection:
            return await bodies.list_bodies(connection)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "kind", "may", "purposes", "status"),
        [(one.body_id, one.name, one.kind, one.capacities, one.purposes, one.status) for one in found],
    )
