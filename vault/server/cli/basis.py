"""Commands about legal bases: the articles of law that statutory authorizations rest on."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from consent import acts, bases
from consent.bases import LegalBasis
from vault.server.assembly import Vault
from vault.server.cli.acting import with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.signing import MaybeKey, MaybeRegistrar, maybe_signing

app = typer.Typer(
    no_args_is_help=True,
    help="Legal bases: the articles of law that statutory authorizations rest on.",
    epilog=examples("creditvault basis list --json"),
)


@app.command(name="add")
def add(
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
    notice_delay_days: Annotated[int, typer.Option(min=0, help="Longest delay of notice to the person.")] = 0,
    registrar: MaybeRegistrar = None,
    key: MaybeKey = None,
    as_json: AsJson = False,
) -> None:
    """Register a legal basis; once two registrars are registered, two do.

    Example: `creditvault basis add --code enforcement --title "Civil Procedure Law" --article 253
    --from 2024-01-01 --purpose court-enforcement --category FIN`
    """
    act = acts.AddBasis(
        code=code,
        title=title,
        article=article,
        in_force_from=in_force_from.date(),
        in_force_until=None if in_force_until is None else in_force_until.date(),
        purposes=tuple(purpose),
        categories=tuple(category),
        notice_delay_days=notice_delay_days,
    )
    say(ordered(act, maybe_signing(registrar, key)), "basis", f"registered {code} as {{}}", as_json=as_json)


@app.command()
def end(
    basis: Annotated[UUID, typer.Argument(metavar="BASIS", help="Id of the legal basis.")],
    last_day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day in force.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
) -> None:
    """State the last day on which a legal basis is in force; what rests on it is refused from then on.

    Example: `creditvault basis end 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --last-day 2027-12-31
    --reason "repealed"`
    """
    act = acts.EndBasis(basis=basis, last_day=last_day.date(), reason=reason)
    say(ordered(act), "basis", f"ends {{}} after {last_day:%Y-%m-%d}")


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
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
