"""`creditvault catalogue`: what may be handed in, as furnishers' software reads it."""

import sys
from typing import Annotated

import typer

from vault.catalogue import load_catalogue
from vault.furnishing.published import PublishedCatalogue
from vault.server.assembly import schemes_of
from vault.server.cli.output import AsJson, examples, print_table
from vault.server.settings import Settings

app = typer.Typer(
    help="The catalogue of records, and the schemas of their submissions.",
    epilog=examples("creditvault catalogue list", "creditvault catalogue schema FIN > FIN.schema.json"),
    no_args_is_help=True,
)


@app.command("list")
def list_categories(as_json: AsJson = False) -> None:
    """List the categories of records, with the rules each brings.

    Example: `creditvault catalogue list`
    """
    settings = Settings()
    catalogue = load_catalogue(settings.pack)
    if as_json:
        published = PublishedCatalogue(catalogue, schemes_of(settings), settings.issuer)
        sys.stdout.write(published.index.body.decode())
        return
    typer.echo(f"{catalogue.version}, digest {catalogue.digest}")
    print_table(
        ("code", "title", "tier", "adverse", "bases", "fields"),
        [
            (one.code, one.title, one.tier, one.adverse, one.bases, ", ".join(one.fields))
            for one in catalogue.categories.values()
        ],
    )


@app.command("schema")
def schema(
    category: Annotated[str, typer.Argument(help="A code of the catalogue, as FIN.")],
) -> None:
    """Print the JSON Schema (2020-12) of a submission of one category, as the server publishes it.

    Example: `creditvault catalogue schema FIN > FIN.schema.json`
    """
    settings = Settings()
    catalogue = load_catalogue(settings.pack)
    if category not in catalogue.categories:
        known = ", ".join(catalogue.categories)
        raise typer.BadParameter(f"the catalogue has no such code; use {known}", param_hint="CATEGORY")
    published = PublishedCatalogue(catalogue, schemes_of(settings), settings.issuer)
    sys.stdout.write(published.schemas[category].body.decode())
