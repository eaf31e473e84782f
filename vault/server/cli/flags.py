"""Commands about flags: patterns of queries that people should look at."""

from typing import Annotated

import typer

from vault.records import flags
from vault.records.flags import RaisedFlag
from vault.server.assembly import Vault
from vault.server.cli.acting import with_vault
from vault.server.cli.output import AsJson, examples, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Flags: patterns of queries that people should look at. None ever held a query up.",
    epilog=examples("creditvault flags list", "creditvault flags list --after 4711 --json"),
)
_MOST = 1000


@app.command(name="list")
def list_all(
    after: Annotated[int | None, typer.Option(min=0, help="Only those behind this entry.")] = None,
    as_json: AsJson = False,
) -> None:
    """List flags, the oldest first, at most 1000; the entries they name say who asked what.

    Example: `creditvault flags list --json`
    """

    async def work(vault: Vault) -> list[RaisedFlag]:
        async with vault.engine.connect() as connection:
            return await flags.list_flags(connection, vault.log, after=after, most=_MOST)

    found = with_vault(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("entry", "raised", "kind", "body", "officer", "queries", "entries"),
        [
            (
                one.index,
                f"{one.raised_at:%Y-%m-%d %H:%M}",
                one.flag.kind if one.flag else "(not kept any more)",
                one.flag.body if one.flag else None,
                one.flag.officer if one.flag else None,
                one.flag.count if one.flag else None,
                ", ".join(map(str, one.flag.entries)) if one.flag else None,
            )
            for one in found
        ],
    )
