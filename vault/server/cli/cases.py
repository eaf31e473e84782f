"""Commands about cases of queries that somebody does not recognise.

An operator sees how cases stand. Whose they are, about which query, and what was said is for inspectors:
their every look is logged.
"""

from typing import Annotated
from uuid import UUID

import typer

from vault.rights import access_cases
from vault.rights.access_cases import CaseRow, State
from vault.server.assembly import Vault
from vault.server.cli.acting import with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Cases of queries that somebody does not recognise: how they stand.",
    epilog=examples("creditvault cases list", "creditvault cases list --state open --json"),
)
_COLUMNS = ("case", "state", "opened", "changed", "opened by entry", "answered by entry")
_MOST = 1000


@app.command(name="list")
def list_all(
    state: Annotated[State | None, typer.Option(help="Only those that stand so.")] = None,
    as_json: AsJson = False,
) -> None:
    """List cases in the order they were opened in.

    Example: `creditvault cases list --state open`
    """

    async def work(vault: Vault) -> list[CaseRow]:
        async with vault.engine.connect() as connection:
            return await access_cases.list_cases(connection, state=state, most=_MOST)

    _print(with_vault(work), as_json=as_json)


@app.command()
def show(
    case: Annotated[UUID, typer.Argument(metavar="CASE", help="Id of the case.")], as_json: AsJson = False
) -> None:
    """Show how one case stands; what was said in it is for inspectors.

    Example: `creditvault cases show 4f7c1f9e-7d5c-4f1c-9b5e-0d4c5b7c2a11 --json`
    """

    async def work(vault: Vault) -> CaseRow | None:
        async with vault.engine.connect() as connection:
            return await access_cases.read_case(connection, case)

    found = with_vault(work)
    if found is None:
        raise typer.BadParameter("there is no such case; see `creditvault cases list`", param_hint="CASE")
    if as_json:
        print_json(found)
    else:
        _print([found], as_json=False)


def _print(found: list[CaseRow], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        _COLUMNS,
        [
            (
                one.case_id,
                one.state,
                f"{one.opened_at:%Y-%m-%d %H:%M}",
                f"{one.changed_at:%Y-%m-%d %H:%M}",
                one.opened_index,
                one.answered_index,
            )
            for one in found
        ],
    )
