"""Commands about legal bases: the articles of law that statutory authorizations rest on."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import typer

from consent import bases
from consent.bases import LegalBasis, NewBasis
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, require_known, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

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
    as_json: AsJson = False,
) -> None:
    """Register a legal basis.

    Example: `creditvault basis add --code enforcement --title "Civil Procedure Law" --article 253
    --from 2024-01-01 --purpose court-enforcement --category FIN`
    """

    async def work(vault: Vault) -> UUID:
        require_known(purpose, vault.catalogue.purposes, "--purpose")
        require_known(category, vault.catalogue.categories, "--category")
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
    change(lambda writing: bases.end_basis(writing, basis, last_day.date(), reason, operator()))
    typer.echo(f"ends {basis} after {last_day:%Y-%m-%d}")


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


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
