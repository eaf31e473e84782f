"""Commands about the officers who act inside bodies."""

from typing import Annotated
from uuid import UUID

import typer

from consent import acts, bodies
from consent.bodies import Officer
from vault.server.assembly import Vault
from vault.server.cli.acting import with_vault
from vault.server.cli.ordering import ordered, say
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Officers: who acts inside a body, and stands in every query.",
    epilog=examples('creditvault officer add --body BODY --name "Li Wei" --role "loan officer"'),
)


@app.command(name="add")
def add(
    body: Annotated[UUID, typer.Option(help="Id of the body.")],
    name: Annotated[str, typer.Option(help="The officer's name; inspectors see it.")],
    role: Annotated[str, typer.Option(help="The officer's role; citizens see it.")],
    as_json: AsJson = False,
) -> None:
    """Register an officer of a body.

    Example: `creditvault officer add --body ID --name "Li Wei" --role "loan officer"`
    """
    act = acts.AddOfficer(body=body, name=name, role=role)
    say(ordered(act), "officer", "registered the officer as {}", as_json=as_json)


@app.command()
def end(
    officer: Annotated[UUID, typer.Argument(metavar="OFFICER", help="Id of the officer.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the register.")],
) -> None:
    """End an officer's right to act, for good; it takes effect on the next query.

    Example: `creditvault officer end 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11 --reason "left the bank"`
    """
    say(ordered(acts.EndOfficer(officer=officer, reason=reason)), "officer", "ended {}")


@app.command(name="list")
def list_all(body: Annotated[UUID, typer.Option(help="Id of the body.")], as_json: AsJson = False) -> None:
    """List the officers of a body.

    Example: `creditvault officer list --body 5f0c2a2e-6a6e-4a56-9f0e-1d0a3f5b7c11`
    """

    async def work(vault: Vault) -> list[Officer]:
        async with vault.engine.connect() as connection:
            return await bodies.list_officers(connection, body)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(("id", "name", "role", "status"), [(o.officer_id, o.name, o.role, o.status) for o in found])
