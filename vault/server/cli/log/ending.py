"""`creditvault log endings`: what is kept beside the outside lock through a restore."""

import asyncio
from collections import Counter
from typing import Annotated

import typer

from access_log.endings import EndingsFile
from consent.endings import Kind
from vault.server.assembly import open_log
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.endings import begin as begin_file
from vault.server.settings import Settings

_KNOWN = {int(kind): kind.name.lower() for kind in Kind}


def endings(
    begin: Annotated[
        bool, typer.Option("--begin", help="Make the file anew from what is ended in the database.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Examine what keeps withdrawals, revocations and suspensions through a restore.

    With --begin the file is made where there is none, because it was lost while the database is whole. It is
    refused for a database that lacks entries. (`creditvault migrate` makes that of a vault from before it.)

    Example: `creditvault log endings`
    """
    settings = Settings()
    later = settings.endings_of(2, settings.log_origin)
    path = later if later.exists() else settings.endings_of(1, settings.log_origin)
    file = EndingsFile(path, settings.log_origin)
    if begin:
        asyncio.run(_begin(settings, file))
    kept = Counter(_KNOWN.get(each.kind, f"kind_{each.kind}") for each in file.each())
    if as_json:
        print_json({"file": str(file.path), "kept": kept.total(), "kinds": dict(kept)})
        return
    typer.echo(f"{file.path} is whole and keeps {kept.total():,}")
    for kind, count in sorted(kept.items()):
        typer.echo(f"  {count:,} {kind.replace('_', ' ')}")


async def _begin(settings: Settings, file: EndingsFile) -> None:
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log:
            await begin_file(log, file, operator())
