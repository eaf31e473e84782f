"""`creditvault log close`: the log is closed, and another opened in its place."""

import asyncio
import re
from typing import Annotated

import typer

from access_log.checkpoint import VerifierKey
from access_log.closing import Closed, Order, close
from access_log.losses import Operator
from vault.server.assembly import open_closing
from vault.server.cli.acting import operator
from vault.server.cli.output import AsJson, print_json
from vault.server.database import check_schema, database_urls
from vault.server.settings import LOG_ORIGIN, Settings

_LONGEST = 255


def close_log(
    new_origin: Annotated[
        str, typer.Option(help="Name of the log to be opened, for instance vault.example/log/2027.")
    ],
    reason: Annotated[str | None, typer.Option(help="Why, in words that are published.")] = None,
    as_it_stands: Annotated[
        bool,
        typer.Option(
            "--as-it-stands", help="Close it although entries are missing that were raised or published."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Close the log for good, and open another whose entry 0 holds the old one's last checkpoint.

    Nobody can write to the old log afterwards, whatever is restored; it is served and verified as before. Set
    CREDITVAULT_LOG_ORIGIN to the new log and start server and worker again. It may be repeated after an
    interruption: what was begun is completed. docs/operations.md says when, and what to prepare.

    Example: `creditvault log close --new-origin vault.example/log/2027 --reason "a log a year"`
    """
    if not re.fullmatch(LOG_ORIGIN, new_origin) or len(new_origin) > _LONGEST:
        raise typer.BadParameter("a name like vault.example/log/2027", param_hint="--new-origin")
    if not yes:
        typer.confirm(f"The log will be closed for good, and {new_origin} opened. Go on?", abort=True)
    done, keys = asyncio.run(_close(new_origin, reason, as_it_stands=as_it_stands))
    if as_json:
        print_json(
            {
                "closed": done.says.closed,
                "opened": done.says.origin,
                "planned": done.says.planned,
                "size": done.says.size,
                "held": done.says.held,
                "missing": done.says.missing,
                "resumed": done.resumed,
                "keys": [str(key) for key in keys],
            }
        )
        return
    _tell(done, keys)


async def _close(
    new_origin: str, reason: str | None, *, as_it_stands: bool
) -> tuple[Closed, tuple[VerifierKey, ...]]:
    settings = Settings()
    actor = operator()
    order = Order(Operator(actor.name, actor.role), reason, as_it_stands=as_it_stands)
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_closing(settings, urls.application, new_origin) as (old, new, roots):
            done = await close(old, new, order)
            await roots.create()
            return done, await new.verifier_keys()


def _tell(done: Closed, keys: tuple[VerifierKey, ...]) -> None:
    says = done.says
    begun = " (it had been begun before)" if done.resumed else ""
    typer.echo(f"{says.closed} is closed with {says.size:,} entries{begun}")
    if says.missing:
        typer.echo(f"{says.missing:,} of them are missing here; entry 0 of the new log says so")
    elif not says.planned:
        typer.echo("the entries here are not those that were signed; entry 0 of the new log says so")
    typer.echo(f"{says.origin} is open; its entry 0 holds the last checkpoint of the old one")
    for key in keys:
        typer.echo(f"log key  {key}")
    typer.echo(
        f"Now set CREDITVAULT_LOG_ORIGIN={says.origin} and start server and worker again; publish the key,"
    )
    typer.echo("tell witnesses and auditors, and make a backup: an older one knows nothing of the new log.")
