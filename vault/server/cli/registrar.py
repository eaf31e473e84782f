"""Commands about registrars, and those with which a registrar signs: here, or for a vault elsewhere."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from joserfc.jwk import OKPKey

from consent import acts, orders, registrars
from consent.handing_in import HandedIn, hand_in
from vault.server.assembly import Vault
from vault.server.cli.acting import read_json, with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.signing import (
    KeyFile,
    MaybeRegistrar,
    RegistrarId,
    Server,
    Signing,
    maybe_signing,
    send,
    signing,
)

_MOST = 1000
app = typer.Typer(
    no_args_is_help=True,
    help="Registrars: they sign acts on the registers, each with a key of their own.",
    epilog=examples(
        "creditvault registrar key zhang.jwk",
        'creditvault registrar add --name "Zhang Wei" --key zhang.jwk.pub',
        "creditvault registrar sign act.json --registrar ZHANG --key zhang.jwk --server https://vault.example",
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
    registrar: MaybeRegistrar = None,
    sign_with: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The private key of the registrar who orders it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a registrar by name and public key.

    The first two are registered so. For each further one a registrar orders it with --registrar and
    --sign-with, and another agrees.

    Example: `creditvault registrar add --name "Zhang Wei" --key zhang.jwk.pub`
    """
    act = acts.AddRegistrar(name=name, jwk=read_json(key))
    say(
        ordered(act, maybe_signing(registrar, sign_with)),
        "registrar",
        f"registered {name} as {{}}",
        as_json=as_json,
    )


@app.command()
def end(
    registrar: Annotated[UUID, typer.Argument(metavar="REGISTRAR", help="Id of the registrar.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
) -> None:
    """End a registrar's right to sign, for good. What was approved before stands.

    Example: `creditvault registrar end 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "left the registry"`
    """
    say(ordered(acts.EndRegistrar(registrar=registrar, reason=reason)), "registrar", "ended {}")


@app.command()
def sign(
    act: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The act, JSON; `do` names it.")],
    registrar: RegistrarId,
    key: KeyFile,
    server: Server = None,
    vault: Annotated[
        str | None, typer.Option(help="Issuer of the vault the statement is for; it is printed, not sent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Order an act on a register: sign it, and send it to a vault, or print the statement (--vault).

    docs/api.md lists the acts. One that needs two registrars waits until another agrees.

    Example: `creditvault registrar sign act.json --registrar ZHANG --key zhang.jwk --server https://vault.example`
    """
    content = acts.write(acts.read(json.dumps(read_json(act))))
    who = signing(registrar, key)
    if (server is None) == (vault is None):
        raise typer.BadParameter(
            "name the vault to send it to, or the one it is for", param_hint="--server, --vault"
        )
    if server is not None:
        _say(_sent(server, who.order(server, content)), as_json=as_json)
    else:
        assert vault is not None  # noqa: S101 -- one of the two is named
        typer.echo(who.order(vault, content))


@app.command(name="hand-in")
def hand_it_in(
    statement: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A statement that `registrar sign` printed.")
    ],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Hand a signed statement in: to this vault, or to one elsewhere.

    Example: `creditvault registrar hand-in statement.jws`
    """
    compact = "".join(statement.read_text(errors="replace").split())
    _say(_here(compact) if server is None else _sent(server, compact), as_json=as_json)


@app.command()
def agree(
    order: Annotated[UUID, typer.Argument(metavar="ORDER", help="Id of the order.")],
    registrar: RegistrarId,
    key: KeyFile,
    server: Server = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Agree to another registrar's order, whose act you see first; it is done then.

    Example: `creditvault registrar agree ORDER --registrar LI --key li.jwk --server https://vault.example`
    """
    who = signing(registrar, key)
    content = str(_order_here(order) if server is None else _order_at(server, who, order))
    typer.echo(f"act: {content}", err=as_json)
    # Without a terminal nobody can be asked; whoever wrote the script has answered.
    if not yes and sys.stdin.isatty():
        typer.confirm("Agree to exactly this act?", abort=True)
    if server is not None:
        _say(_sent(server, who.agree(server, order, content)), as_json=as_json)
        return
    _say(_here(lambda vault: who.agree(vault.profile.issuer, order, content)), as_json=as_json)


@app.command()
def read(
    what: Annotated[
        str,
        typer.Argument(
            help="bodies, bases, registrars, authorizations, orders, waiting; --of: officers, conduct, order."
        ),
    ],
    registrar: RegistrarId,
    key: KeyFile,
    server: Annotated[str, typer.Option(help="Issuer of the vault, as https://vault.example.")],
    of: Annotated[UUID | None, typer.Option(help="Id of the body or order.")] = None,
) -> None:
    """Read what of the registers is not public, as a registrar; prints JSON.

    Example: `creditvault registrar read officers --of BODY --registrar LI --key li.jwk
    --server https://vault.example`
    """
    who = signing(registrar, key)
    print_json(send(server, "read", who.ask(server, what, of))["found"])


@app.command()
def name(
    person: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A file with `scheme number` of one person.")
    ],
    registrar: RegistrarId,
    key: KeyFile,
    server: Annotated[str, typer.Option(help="Issuer of the vault, as https://vault.example.")],
) -> None:
    """Learn the id by which acts name a person, and when they are of age; it is written into their log.

    The number is read from a file, because every user of a machine can read a command line.

    Example: `creditvault registrar name person.txt --registrar LI --key li.jwk --server https://vault.example`
    """
    words = person.read_text(errors="replace").split()
    if len(words) != len(("scheme", "number")):
        raise typer.BadParameter("the file holds `scheme number` of one person", param_hint="PERSON")
    print_json(send(server, "person", signing(registrar, key).name(server, words[0], words[1])))


@app.command(name="orders")
def list_orders(
    every: Annotated[bool, typer.Option("--all", help="Those that were done or dropped, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the orders of this vault that wait for another registrar, newest first.

    Example: `creditvault registrar orders --all --json`
    """

    async def work(vault: Vault) -> list[orders.RegisteredOrder]:
        async with vault.engine.connect() as connection:
            return await orders.list_orders(connection, waiting=not every, most=_MOST)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "state", "ordered", "by", "agreed by", "act"),
        [
            (
                one.order_id,
                one.state,
                f"{one.ordered_at:%Y-%m-%d %H:%M}",
                one.registrar_id,
                one.agreed_by,
                one.act,
            )
            for one in found
        ],
    )


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


def _here(compact: str | Callable[[Vault], str]) -> HandedIn:
    """Hands a statement in to this vault."""

    async def work(vault: Vault) -> HandedIn:
        made = compact(vault) if callable(compact) else compact
        async with vault.log.writing() as writing:
            return await hand_in(writing, made, vault.profile.issuer, vault.nameable)

    return with_vault(work)


def _sent(server: str, compact: str) -> HandedIn:
    """Hands a statement in to a vault elsewhere."""
    return msgspec.convert(send(server, "statements", compact), HandedIn)


def _order_here(order: UUID) -> str:
    async def work(vault: Vault) -> str:
        async with vault.engine.connect() as connection:
            return (await orders.require_order(connection, order)).act

    return with_vault(work)


def _order_at(server: str, who: Signing, order: UUID) -> str:
    (found,) = send(server, "read", who.ask(server, "order", order))["found"]
    return str(found["act"])


def _say(done: HandedIn, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": done.id, "state": done.state, "object": done.object_id})
    else:
        say(done, "object", f"{done.state}: {{}}")
