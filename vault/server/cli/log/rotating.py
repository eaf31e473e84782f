"""`creditvault log rotate-key`: the log signs with new keys from now on."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from access_log.roots.rotate import RootsChange, change_roots_key
from access_log.rotate import Change, change_keys
from vault.server.assembly import open_log, open_roots
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings


def rotate_key(
    roots: Annotated[
        bool, typer.Option("--roots", help="The key of the log of roots, and not the log's own.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give the log new signing keys, in every process at once; the old ones sign the change, and no more.

    The change is an entry of the log, and GET /log/keys leads whoever has the old keys to the new ones. It
    may be repeated after an interruption: a change that was begun is completed, and no other is begun.

    With --roots it is the key of the log of roots that is changed, in the same way: an entry of the log names
    the new key, old and new sign the first checkpoint of the roots that cover it, and GET /log/roots/keys
    leads from the old one to the new.

    Example: `creditvault log rotate-key --yes`
    """
    if not yes:
        typer.confirm("The present keys will be retired for good. Go on?", abort=True)
    if roots:
        _tell_roots(asyncio.run(_rotate_roots()), as_json=as_json)
        return
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


def _tell_roots(change: RootsChange, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(change), "key": str(change.key)})
        return
    begun = " (the change had been begun before)" if change.resumed else ""
    typer.echo(
        f"the log of roots is signed with its key of epoch {change.epoch} now{begun}; entry {change.index} "
        f"names it, and both keys signed the tree of {change.size:,} roots"
    )
    typer.echo(f"roots key  {change.key}")
    typer.echo("Publish it where inspectors and auditors take the key of the roots.")


async def _rotate_roots() -> RootsChange:
    settings = Settings()
    actor = operator()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_roots(settings, urls.application) as (log, roots, _):
            return await change_roots_key(log, roots, actor.name, actor.role)
