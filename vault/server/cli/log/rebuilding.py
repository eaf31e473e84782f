"""`creditvault log rebuild`: what follows from the entries, made anew where it does not."""

import asyncio
import sys
from typing import Annotated

import typer

from access_log.errors import VerificationError
from access_log.losses import Operator
from access_log.rebuild import Rebuilt, rebuild
from vault.server.assembly import open_roots
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import DatabaseUrls, application_engine, check_schema, database_urls
from vault.server.settings import Settings


def rebuild_derived(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it is changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make anew what follows from the entries: tiles, head, streams' places, crowns, the database's indexes.

    Entries and payloads are never touched; where the entries do not verify against the outside lock, nothing
    is changed (exit code 1). It runs as the owner of the database, while nobody else appends, and an entry of
    type 9 says what it did. First it finds out what would change, and asks.

    Example: `creditvault log rebuild --dry-run`
    """
    settings = Settings()
    with database_urls(settings) as urls:
        if urls.owner is None:
            raise typer.BadParameter("set CREDITVAULT_OWNER_DATABASE_URL: tiles are changed as the owner")
        check_schema(urls.application)
        try:
            found = asyncio.run(_rebuild(settings, urls, dry_run=True))
            if found.changed and not dry_run and _agreed(found, yes=yes, as_json=as_json):
                found = asyncio.run(_rebuild(settings, urls, dry_run=False))
        except VerificationError as error:
            if as_json:
                print_json({"sound": False, "index": error.index, "reason": error.reason})
            else:
                typer.echo(f"NOT SOUND, nothing was changed: {error}", err=True)
            raise typer.Exit(1) from None
    if as_json:
        print_json({"changed": found.declared is not None, **vars(found)})
    else:
        _tell(found)


async def _rebuild(settings: Settings, urls: DatabaseUrls, *, dry_run: bool) -> Rebuilt:
    assert urls.owner is not None  # noqa: S101 -- looked at before
    actor = operator()
    owner = application_engine(urls.owner, settings)
    try:
        async with open_roots(settings, urls.application) as (log, roots, _):
            with progress("deriving") as bar:
                task = bar.task_ids[0]
                return await rebuild(
                    log,
                    owner,
                    actor=Operator(actor.name, actor.role),
                    roots=roots,
                    dry_run=dry_run,
                    progress=lambda _what, done, of: bar.update(task, completed=done, total=of),
                )
    finally:
        await owner.dispose()


def _agreed(found: Rebuilt, *, yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("this changes the database: look with --dry-run, then add --yes")
    _tell(found)
    return typer.confirm("Make it anew?")


def _tell(found: Rebuilt) -> None:
    if found.roots_left is not None:
        typer.echo(f"log of roots: left as it is, its roots do not verify: {found.roots_left}")
    if not found.changed:
        typer.echo(f"everything follows from the {found.entries:,} entries; nothing to do")
        return
    done = "was made anew" if found.declared is not None else "does not follow from the entries"
    for what, named in (
        ("indexes", found.indexes),
        ("tiles", [*found.tiles, *([f"and {found.more_tiles} more"] if found.more_tiles else [])]),
        ("head", found.head),
        ("streams", [f"{found.streams:,} rows"] if found.streams else []),
        ("log of roots", found.roots),
    ):
        if named:
            typer.echo(f"{what}: {done}: {'; '.join(named)}")
    if found.declared is not None:
        typer.echo(f"entry {found.declared} says so")
