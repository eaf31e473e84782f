"""`creditvault log publish`: the log as files, for any static web server or object store."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from access_log.closed.publishing import publish_closed, publish_succession
from access_log.errors import VerificationError
from access_log.policy import Policy
from access_log.publishing import Published
from access_log.publishing import publish as publish_log
from access_log.roots.log import RootsLog
from access_log.roots.publishing import publish_roots
from access_log.witness import remembered
from access_log.witnessed.publishing import publish_witnessed
from vault.records.covert_counts import publish_counts
from vault.server.assembly import open_roots, witness_policy
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings

_EVERY = 5.0


def publish(
    directory: Annotated[
        Path | None, typer.Argument(help="The folder. Unset: CREDITVAULT_PUBLISH_DIR.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on publishing until stopped.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds between two looks of --follow.")
    ] = _EVERY,
    whole: Annotated[
        bool, typer.Option("--whole", help="Compare every file, also those published before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish the log into a folder: entries and tiles first, the checkpoint last.

    With a policy of witnesses (CREDITVAULT_WITNESS_POLICY) the newest checkpoint that they cosigned stands
    beside it, as `witnessed`.

    Repeat it as often as you like: it goes on where it stopped, and never takes back what was published.
    Exit code 1 means that the stored entries are not those that were raised.

    Example: `creditvault log publish /srv/log`
    """
    settings = Settings()
    place = directory or settings.publish_dir
    if place is None:
        raise typer.BadParameter("name a folder, or set CREDITVAULT_PUBLISH_DIR", param_hint="DIRECTORY")
    try:
        asyncio.run(_publish(settings, place, every if follow else None, whole=whole, as_json=as_json))
    except VerificationError as error:
        if as_json:
            print_json({"sound": False, "index": error.index, "reason": error.reason})
        else:
            typer.echo(f"NOT SOUND: {error}", err=True)
        raise typer.Exit(1) from None


async def _publish(
    settings: Settings, place: Path, every: float | None, *, whole: bool, as_json: bool
) -> None:
    policy = witness_policy(settings)
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_roots(settings, urls.application) as (_, roots, closed):
            for each in closed:
                await publish_closed(each.log, each.roots, place)
            if closed:
                await publish_succession(roots.log, place)
            cosigned = await _cosigned(roots, policy)
            done = await _once(roots, place, policy, whole=whole)
            _tell(place, done, as_json=as_json, one_line=every is not None)
            while every is not None:
                await asyncio.sleep(every)
                before, cosigned = cosigned, await _cosigned(roots, policy)
                if (await asyncio.to_thread(roots.log.outside.read)).size > done.size or cosigned != before:
                    done = await _once(roots, place, policy)
                    _tell(place, done, as_json=as_json, one_line=True)


async def _once(roots: RootsLog, place: Path, policy: Policy | None, *, whole: bool = False) -> Published:
    with progress("publishing") as bar:
        task = bar.task_ids[0]

        def show(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        published = await publish_log(roots.log, place, whole=whole, progress=show)
        await publish_roots(roots, place)
        await publish_counts(roots.log, place, published.size)
        if policy is not None:
            await publish_witnessed(roots.log, place, policy)
    return published


async def _cosigned(roots: RootsLog, policy: Policy | None) -> str | None:
    """What the database remembers as the newest witnessed checkpoint."""
    if policy is None:
        return None
    async with roots.log.engine.connect() as connection:
        return await remembered.newest_witnessed(connection, roots.log.number)


def _tell(place: Path, done: Published, *, as_json: bool, one_line: bool) -> None:
    if not as_json:
        typer.echo(
            f"{place}: {done.size:,} entries published, {done.written:,} files written, "
            f"{done.same:,} were there"
        )
    elif one_line:
        typer.echo(json.dumps(asdict(done)))
    else:
        print_json({"sound": True, **asdict(done)})
