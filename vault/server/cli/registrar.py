"""Commands about registrars, who sign for statutory authorizations."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from joserfc.jwk import OKPKey

from consent import registrars
from consent.registrars import NewRegistrar
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, read_json, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Registrars: they sign for statutory authorizations, each with a key of their own.",
    epilog=examples(
        "creditvault registrar key zhang.jwk",
        'creditvault registrar add --name "Zhang Wei" --key zhang.jwk.pub',
    ),
)


@app.command(name="key")
def make_key(
    path: Annotated[Path, typer.Argument(help="File for the private key; it must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Make a registrar's key pair: the private key in PATH, the public one beside it in PATH.pub.

    Run it on the registrar's own machine; the private key never leaves it.

    Example: `creditvault registrar key zhang.jwk`
    """
    key = OKPKey.generate_key("Ed25519")
    public = path.with_name(path.name + ".pub")
    _write_new(path, key.as_dict(private=True), 0o600)
    _write_new(public, key.as_dict(private=False), 0o644)
    if as_json:
        print_json({"private": str(path), "public": str(public), "thumbprint": key.thumbprint()})
    else:
        typer.echo(f"private key {path}, public key {public}")


@app.command(name="add")
def add(
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


@app.command()
def end(
    registrar: Annotated[UUID, typer.Argument(metavar="REGISTRAR", help="Id of the registrar.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
) -> None:
    """End a registrar's right to sign, for good. What was approved before stands.

    Example: `creditvault registrar end 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "left the registry"`
    """
    change(lambda writing: registrars.stand_down_registrar(writing, registrar, reason, operator()))
    typer.echo(f"ended {registrar}")


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
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


def _write_new(path: Path, key: Mapping[str, Any], mode: int) -> None:
    """Writes a key to a file that is not there yet: none is ever written over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        json.dump(key, file)
        file.write("\n")
