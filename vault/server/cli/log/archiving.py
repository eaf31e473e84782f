"""`creditvault log archive`: closed ranges of entries moved out of the database."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import create_async_engine

from access_log.archive import Archive
from access_log.archiving import Archived
from access_log.archiving import archive as archive_ranges
from access_log.archiving import drop as drop_ranges
from access_log.errors import VerificationError
from vault.server.assembly import open_log
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings, archive_of

_YEAR = 365


def archive(
    directory: Annotated[
        Path | None, typer.Argument(help="The archive. Unset: CREDITVAULT_ARCHIVE_DIR.", show_default=False)
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take archived partitions out of the database; needs its owner.")
    ] = False,
    older_than: Annotated[
        int, typer.Option(min=0, max=36_500, help="Days the newest entry of a partition is old at least.")
    ] = _YEAR,
    as_json: AsJson = False,
) -> None:
    """Copy closed partitions of entries into an archive and read it back; with --drop take them out.

    Repeat it as often as you like. The server needs CREDITVAULT_ARCHIVE_DIR from the first --drop on. Exit
    code 1 means that what is stored or archived does not begin the tree that was signed.

    Example: `creditvault log archive /srv/archive`
    """
    settings = Settings()
    place = directory or settings.archive_dir
    if place is None:
        raise typer.BadParameter("name a folder, or set CREDITVAULT_ARCHIVE_DIR", param_hint="DIRECTORY")
    try:
        done = asyncio.run(_archive(settings, place, timedelta(days=older_than), drop=drop))
    except VerificationError as error:
        if as_json:
            print_json({"sound": False, "index": error.index, "reason": error.reason})
        else:
            typer.echo(f"NOT SOUND: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        print_json(
            {
                "sound": True,
                "ranges": [[each.first, each.end] for each in done.ranges],
                "entries": done.entries,
                "written": done.written,
                "dropped": drop,
            }
        )
        return
    act = "taken out of the database" if drop else "archived, and read back"
    for each in done.ranges:
        typer.echo(f"entries {each.first:,} to {each.end - 1:,} {act}")
    if not done.ranges:
        typer.echo(
            "no archived partition to take out"
            if drop
            else f"no closed partition older than {older_than} days"
        )


async def _archive(settings: Settings, place: Path, older_than: timedelta, *, drop: bool) -> Archived:
    with database_urls(settings) as urls, progress("reading back" if drop else "archiving") as bar:
        task = bar.task_ids[0]

        def show(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        check_schema(urls.application)
        async with open_log(settings, urls.application) as log:
            place = archive_of(place, log.number, log.origin)
            if not drop:
                return await archive_ranges(log, Archive(place), older_than=older_than, progress=show)
            if urls.owner is None:
                raise typer.BadParameter(
                    "set CREDITVAULT_OWNER_DATABASE_URL: entries are taken out by the owner"
                )
            owner = create_async_engine(urls.owner)
            try:
                return await drop_ranges(log, owner, Archive(place), older_than=older_than, progress=show)
            finally:
                await owner.dispose()
