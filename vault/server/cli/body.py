"""Commands about bodies."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from consent import bodies, conduct
from consent.bodies import Body, Contact, NewBody
from consent.body_keys import public_keys, replace_keys
from consent.conduct import Conduct, Mark
from consent.oauth.errors import KeysNotFetchedError
from consent.oauth.jwks_uri import PublishedKeys
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, read_json, require_known, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Bodies: who may ask, furnish or inspect.",
    epilog=examples("creditvault body list", 'creditvault body suspend BODY --reason "under investigation"'),
)
BodyId = Annotated[UUID, typer.Argument(metavar="BODY", help="Id of the body.")]
Jwks = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its public keys, a JWK Set.")]
JwksUri = Annotated[str | None, typer.Option(help="Where it publishes its keys, in place of --jwks.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the register.")]


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Its name.")],
    uscc: Annotated[str, typer.Option(help="Unified social credit code, 18 characters (GB 32100).")],
    kind: Annotated[str, typer.Option(help="Kind of body, as the catalogue names it: bank, court, …")],
    address: Annotated[str, typer.Option(help="Its address, for citizens.")],
    contact: Annotated[str, typer.Option(help="Its contact, for citizens.")],
    purpose: Annotated[list[str], typer.Option(help="A certified purpose; repeat for more.")] = [],  # noqa: B006 -- Typer copies it
    capacity: Annotated[list[str], typer.Option(help="ask, furnish or inspect; repeat for more.")] = ["ask"],  # noqa: B006
    redirect_uri: Annotated[list[str], typer.Option(help="Where people are sent back to.")] = [],  # noqa: B006
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    as_json: AsJson = False,
) -> None:
    """Register a body, with its keys (--jwks) or with where it publishes them (--jwks-uri).

    Example: `creditvault body add --name "Second Bank" --uscc 91999999MA00000079 --kind bank
    --jwks keys.json --address "1 Road" --contact privacy@bank.example --purpose credit-granting`
    """

    async def work(vault: Vault) -> UUID:
        require_known([kind], vault.catalogue.body_kinds, "--kind")
        require_known(purpose, vault.catalogue.purposes, "--purpose")
        new = NewBody(
            uscc=uscc,
            name=name,
            kind=kind,
            contact=Contact(address, contact),
            jwks=await _keys(vault, jwks, jwks_uri),
            redirect_uris=tuple(redirect_uri),
            purposes=tuple(purpose),
            capacities=tuple(capacity),
            jwks_uri=jwks_uri,
        )
        async with vault.log.writing() as writing:
            return await bodies.add_body(writing, new, operator())

    body_id = with_vault(work)
    if as_json:
        print_json({"body": body_id})
    else:
        typer.echo(f"registered {name} as {body_id}")


@app.command()
def keys(body: BodyId, jwks: Jwks = None, jwks_uri: JwksUri = None, as_json: AsJson = False) -> None:
    """Replace a body's keys; while it changes them, the set holds the old key and the new one.

    The change is an entry of the log and takes effect at once. With --jwks-uri later ones need no command.

    Example: `creditvault body keys 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --jwks old-and-new.jwks`
    """

    async def work(vault: Vault) -> list[str]:
        found = await _keys(vault, jwks, jwks_uri)
        async with vault.log.writing() as writing:
            await replace_keys(writing, body, found, operator(), jwks_uri=jwks_uri)
        return [str(key.get("kid")) for key in found["keys"]]

    kids = with_vault(work)
    if as_json:
        print_json({"body": body, "kids": kids})
    else:
        typer.echo(f"{body} signs with {', '.join(kids)} from now on")


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


@app.command(name="strike-off")
def strike_off(
    body: BodyId, reason: Reason, appeal: Annotated[str | None, typer.Option(help="Where to appeal.")] = None
) -> None:
    """Strike a body off the register, for good; it takes effect on the next query.

    Example: `creditvault body strike-off 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "sold data"`
    """
    change(lambda writing: bodies.strike_off_body(writing, body, reason, operator(), appeal=appeal))
    typer.echo(f"struck off {body}")


@app.command()
def mark(
    body: BodyId,
    reason: Reason,
    kind: Annotated[Mark, typer.Option(help="What it was.")] = "warning",
    appeal: Annotated[str | None, typer.Option(help="Where to appeal.")] = None,
) -> None:
    """Write a warning or a violation into a body's conduct file; its status stays.

    Example: `creditvault body mark 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "asked without a case"`
    """
    change(lambda writing: conduct.mark(writing, body, kind, reason, operator(), appeal=appeal))
    typer.echo(f"wrote a {kind} into the file of {body}")


@app.command(name="conduct")
def conduct_file(body: BodyId, as_json: AsJson = False) -> None:
    """Show a body's conduct file: warnings, violations, and every change of its status.

    Example: `creditvault body conduct 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11`
    """

    async def work(vault: Vault) -> list[Conduct]:
        async with vault.engine.connect() as connection:
            return await conduct.conduct_file(connection, body)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("when", "event", "reason", "appeal", "by"),
        [(f"{one.at:%Y-%m-%d %H:%M}", one.event, one.reason, one.appeal, one.actor) for one in found],
    )


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


async def _keys(vault: Vault, jwks: Path | None, jwks_uri: str | None) -> dict[str, Any]:
    """The keys handed in, or found where the body publishes them."""
    if (jwks is None) == (jwks_uri is None):
        raise typer.BadParameter("give either the keys or their address", param_hint="--jwks, --jwks-uri")
    if jwks_uri is None:
        assert jwks is not None  # noqa: S101 -- one of the two is given
        return public_keys(read_json(jwks))
    try:
        return await PublishedKeys(loopback=vault.profile.is_loopback).fetch(jwks_uri)
    except KeysNotFetchedError as error:
        raise typer.BadParameter(f"no keys can be had there: {error}", param_hint="--jwks-uri") from None
