"""`creditvault log reimport`: what a restored database lacks, imported from the published log."""

import asyncio
from typing import Annotated

import typer

from access_log.errors import VerificationError
from access_log.losses import Operator
from access_log.reimport import Reimport, reimport
from access_log.roots.publishing import FOLDER
from access_log.roots.reimport import bring_back
from access_log.sources import source_of
from vault.server.assembly import open_roots
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings


def reimport_entries(
    published: Annotated[str, typer.Argument(metavar="DIRECTORY-or-URL", help="Where the log is published.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify everything, write nothing.")] = False,
    without_endings: Annotated[
        bool,
        typer.Option(
            "--without-endings",
            help="Go on although the file of withdrawals and revocations is lost: repeat them by hand.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import the entries and roots a restored database lacks from the published log.

    Everything is verified against the outside lock before anything is written, and written in one
    transaction. Payloads that were lost with the database are declared lost in an entry of type 9, and what
    was withdrawn, revoked or suspended since the backup is so again, from what is kept beside the outside
    lock. Then roots that were published with the log and are missing are put back, each held against the
    entries. Exit code 1 means that the published log does not verify.

    Example: `creditvault log reimport /srv/www/log --dry-run`
    """
    try:
        done, roots = asyncio.run(_reimport(published, dry_run=dry_run, without_endings=without_endings))
    except VerificationError as error:
        if as_json:
            print_json({"sound": False, "index": error.index, "reason": error.reason})
        else:
            typer.echo(f"NOT SOUND, nothing was imported: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        print_json(
            {
                "held": done.held,
                "raised": done.raised,
                "published": done.published,
                "first": done.first,
                "imported": 0 if done.declared is None else done.end - done.first,
                "missing": done.end - done.first,
                "declared": done.declared,
                "streams": done.streams,
                "of_lost_streams": done.lost.ranges,
                "reapplied": done.reapplied,
                "roots": roots,
            }
        )
    else:
        _tell(done, dry_run=dry_run)
        if roots is not None:
            typer.echo(f"{roots:,} roots that were published were put back")


async def _reimport(published: str, *, dry_run: bool, without_endings: bool) -> tuple[Reimport, int | None]:
    """What was imported, and how many roots were put back; None where none are published, or in a dry run."""
    source, below = source_of(published), source_of(f"{published.rstrip('/')}/{FOLDER}")
    settings = Settings()
    actor = operator()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_roots(settings, urls.application) as (log, roots, _):
            if without_endings:
                log.endings = None
            with progress("reimporting") as bar:
                task = bar.task_ids[0]
                done = await reimport(
                    log,
                    source,
                    actor=Operator(actor.name, actor.role),
                    dry_run=dry_run,
                    progress=lambda _what, done, of: bar.update(task, completed=done, total=of),
                )
            return done, None if dry_run else await bring_back(roots, below)


def _tell(done: Reimport, *, dry_run: bool) -> None:
    typer.echo(f"the database held {done.held:,} entries, {done.raised:,} were raised")
    missing = done.end - done.first
    if not missing:
        typer.echo("nothing is missing")
        return
    if dry_run:
        typer.echo(
            f"{missing:,} entries from {done.first} on are missing, and would be imported: they verify"
        )
        return
    typer.echo(f"{missing:,} entries from {done.first} on were imported; {done.streams:,} streams moved")
    typer.echo(f"entry {done.declared} declares their payloads lost")
    typer.echo(f"{done.reapplied:,} withdrawals, revocations and the like that it lacked stand again")
    if done.lost:
        typer.echo(
            f"{len(done.lost):,} of them are of streams that were lost with the database: persons enrolled "
            "since must be enrolled again"
        )
    typer.echo("next: `creditvault log fsck`, and docs/operations.md, After a restore")
