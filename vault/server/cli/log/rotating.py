"""`creditvault log rotate-key`: the log signs with new keys from now on."""

import asyncio
from typing import Annotated

import typer

from access_log.rotate import Change, change_keys
from vault.server.assembly import open_log
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings


def rotate_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give the log new signing keys, in every process at once; the old ones sign the change, and no more.

    The change is an entry of the log, and GET /log/keys leads whoever has the old keys to the new ones. It
    may be repeated after an interruption: a change that was begun is completed, and no other is begun.

    Example: `creditvault log rotate-key --yes`
    """
    if not yes:
        typer.confirm("The log's present keys will be retired for good. Go on?", abort=True)
    change = asyncio.run(_rotate())
    if as_json:
        print_json(
            {
                "epoch": change.epoch,
                "keys": [str(key) for key in change.keys],
                "index": change.index,
                "resumed": change.resumed,
            }
        )
        return
    begun = " (the change had been begun before)" if change.resumed else ""
    typer.echo(
        f"the log signs with its keys of epoch {change.epoch} now{begun}; entry {change.index} names them"
    )
    for key in change.keys:
        typer.echo(f"log key  {key}")
    typer.echo("Publish them where inspectors take the log's key, and publish /log/keys beside the log.")


async def _rotate() -> Change:
    settings = Settings()
    actor = operator()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log:
            return await change_keys(log, actor.name, actor.role)
