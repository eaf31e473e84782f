"""Commands about legal holds: what retention must not remove while a proceeding needs it."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from access_log.log import Writing
from vault.records import subjects
from vault.records.query import parse_identifier
from vault.rights import holds
from vault.rights.holds import Hold, Kind, Order
from vault.server.assembly import Vault
from vault.server.cli.acting import change, operator, with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table
from vault.server.cli.persons import read_persons

app = typer.Typer(
    no_args_is_help=True,
    help="Legal holds: rows that retention must not remove while a proceeding needs them.",
    epilog=examples("creditvault hold list", "creditvault hold lift HOLD"),
)


@app.command()
def place(
    reason: Annotated[str, typer.Option(help="Why; the register keeps it.")],
    reference: Annotated[str, typer.Option(help="Of whoever ordered it, for instance a court's.")],
    person: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="This person: a file with one line `scheme number`."),
    ] = None,
    case: Annotated[UUID | None, typer.Option(help="This case (`creditvault cases list`).")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep what is about a person, or of a case, past its retention. Nothing more is shown to anybody.

    It is an entry of the log; a person sees that it stands, and who placed it.

    Example: `creditvault hold place --person person.txt --reason "claim for damages" --reference "order 17"`
    """
    if (person is None) == (case is None):
        raise typer.BadParameter("name one of --person and --case", param_hint="--person")
    named = None if person is None else read_persons(person, "--person")
    if named is not None and len(named) != 1:
        raise typer.BadParameter("the file holds one line `scheme number`", param_hint="--person")

    async def work(vault: Vault) -> UUID:
        kind: Kind = "case" if named is None else "person"
        about = case if named is None else await _person(vault, *named[0])
        assert about is not None  # noqa: S101 -- one of the two was named
        async with vault.log.writing() as writing:
            return await holds.place(writing, Order(kind, about, reason, reference), operator())

    placed = with_vault(work)
    if as_json:
        print_json({"hold": placed})
    else:
        typer.echo(f"hold {placed} stands; `creditvault hold lift {placed}` lifts it")


@app.command()
def lift(hold: Annotated[UUID, typer.Argument(metavar="HOLD", help="Id of the hold.")]) -> None:
    """Lift a hold: what is past its retention goes at night, contents with the month they were moved to.

    Example: `creditvault hold lift 4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11`
    """

    async def act(writing: Writing) -> None:
        await holds.lift(writing, hold, operator())

    change(act)
    typer.echo(f"hold {hold} is lifted")


@app.command(name="list")
def list_all(
    standing: Annotated[bool, typer.Option("--standing", help="Only those that stand.")] = False,
    as_json: AsJson = False,
) -> None:
    """List holds in the order they were placed in.

    Example: `creditvault hold list --standing`
    """

    async def work(vault: Vault) -> list[Hold]:
        async with vault.engine.connect() as connection:
            return await holds.holds(connection, standing=standing)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("hold", "on", "reference", "reason", "placed", "lifted"),
        [
            (
                one.hold_id,
                "person" if one.order.kind == "person" else f"case {one.order.object_id}",
                one.order.reference,
                one.order.reason,
                f"{one.placed_at:%Y-%m-%d}",
                None if one.lifted_at is None else f"{one.lifted_at:%Y-%m-%d}",
            )
            for one in found
        ],
    )


async def _person(vault: Vault, scheme: str, number: str) -> UUID:
    identifier = parse_identifier(scheme, number, vault.schemes)
    (blind,) = await vault.keys.blind([identifier])
    async with vault.engine.connect() as connection:
        found = await subjects.find(connection, scheme, blind)
    if found is None:
        raise typer.BadParameter("the vault knows nobody with this number", param_hint="--person")
    return found.subject_id
