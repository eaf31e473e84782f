"""`creditvault erase`: a person is erased, by the order of two registrars."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from consent.acts import ErasePerson
from consent.oauth.jose import take_apart
from vault.rights.erasure import Signers, erase
from vault.server.assembly import Vault, certifier
from vault.server.cli.acting import read_json, with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples
from vault.server.cli.signing import KeyFile, RegistrarId, Signing

app = typer.Typer(
    no_args_is_help=True,
    help="Erase a person where the law allows it: two registrars order it, an operator carries it out.",
    epilog=examples(
        'creditvault erase order PERSON --basis "PIPL 47" --reason "asked for it" --registrar R --key R.jwk',
        "creditvault erase carry-out ORDER --certificate erased.jws",
    ),
)


@app.command(name="order")
def order(
    person: Annotated[UUID, typer.Argument(help="Id of the person.")],
    basis: Annotated[str, typer.Option(help="The provision of law that allows it.")],
    reason: Annotated[str, typer.Option(help="Why; names nobody.")],
    registrar: RegistrarId,
    key: KeyFile,
    with_log: Annotated[
        bool,
        typer.Option("--with-log", help="Erase too what the log says of them, where the law allows."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Order the erasure of a person; another registrar agrees with `creditvault registrar agree`.

    Example: `creditvault erase order PERSON --basis "PIPL 47" --reason "asked" --registrar R --key R.jwk`
    """
    act = ErasePerson(person=person, basis=basis, reason=reason, log="erased" if with_log else "kept")
    say(ordered(act, Signing(registrar, read_json(key))), "person", "ordered for {}", as_json=as_json)


@app.command(name="carry-out")
def carry_out(
    order_id: Annotated[UUID, typer.Argument(metavar="ORDER", help="Id of the order, agreed to.")],
    certificate: Annotated[
        Path | None, typer.Option(help="File for the certificate, a JWS; else it is printed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Carry out an order to erase a person, and give out the certificate. It may be killed and repeated.

    Key, identifiers and records are gone at once; backups open until the day the certificate states. A legal
    hold, a notice that a court delays, or a case that is not answered forbids it.

    Example: `creditvault erase carry-out ORDER --certificate erased.jws`
    """

    async def work(vault: Vault) -> str:
        today = vault.catalogue.today(datetime.now(UTC))
        final_on = today + timedelta(days=vault.settings.backup_days)
        signers = Signers(vault.keeper.signer, certifier(vault))
        return await erase(vault.log, vault.logs, signers, order_id, final_on)

    signed = with_vault(work)
    if certificate is not None:
        certificate.write_text(signed)
    if as_json:
        typer.echo(take_apart(signed).payload.decode())
    elif certificate is None:
        typer.echo(signed)
    else:
        typer.echo(f"erased; the certificate is in {certificate}")
