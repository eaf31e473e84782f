"""Commands about the log: show entries, and examine the whole of it."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from access_log import stored
from access_log.entry import Entry
from access_log.fsck import Report, examine_log
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.server.assembly import open_log
from vault.server.cli.output import AsJson, examples, print_json, print_table, progress
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="The access log: show entries, and examine the whole of it.",
    epilog=examples("creditvault log show --last 20", "creditvault log fsck --json"),
)
_LAST = 10


@app.command()
def show(
    index: Annotated[int | None, typer.Option(min=0, help="Show this entry alone.")] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="Show this many of the newest.")] = _LAST,
    as_json: AsJson = False,
) -> None:
    """Show entries as they are published: they name nobody.

    Example: `creditvault log show --last 20`
    """
    found = asyncio.run(_entries(index, last))
    rows = [(at, Entry.decode(raw), raw) for at, raw in found]
    if as_json:
        print_json(
            [
                {
                    "index": at,
                    "time": _moment(entry),
                    "type": entry.type.name.lower(),
                    "label": entry.label,
                    "commitment": entry.commitment,
                    "entry": raw,
                }
                for at, entry, raw in rows
            ]
        )
        return
    print_table(
        ("index", "time (UTC)", "type", "commitment"),
        [
            (at, f"{_moment(entry):%Y-%m-%d %H:%M:%S}", entry.type.name.lower(), entry.commitment.hex()[:16])
            for at, entry, _ in rows
        ],
    )


@app.command()
def fsck(as_json: AsJson = False) -> None:
    """Examine the whole log in its database: entries, tree, payloads, streams, requests.

    Exit code 1 means that something does not hold; the lowest bad index comes first.

    Example: `creditvault log fsck`
    """
    report = asyncio.run(_examine())
    if as_json:
        print_json(
            {
                "sound": report.sound,
                **_counts(report),
                "placed": report.placed,
                "unplaced": report.unplaced,
                "findings": report.findings,
                "more": report.more,
            }
        )
    else:
        _tell(report)
    raise typer.Exit(0 if report.sound else 1)


async def _entries(index: int | None, last: int) -> list[tuple[int, bytes]]:
    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log, log.engine.connect() as connection:
            size = log.outside.read().size
            if index is not None and index >= size:
                raise typer.BadParameter(f"the log has {size} entries", param_hint="--index")
            first = max(0, size - last) if index is None else index
            end = size if index is None else index + 1
            return await stored.entries(connection, log.number, first, end)


async def _examine() -> Report:
    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log:
            with progress("examining") as bar:
                task = bar.task_ids[0]
                return await examine_log(
                    log,
                    # A provider that cannot answer now says nothing about a payload: that error goes out.
                    altered=(UnsealError, ProviderRefusedError),
                    retention_years=settings.payload_years,
                    progress=lambda done, of: bar.update(task, completed=done, total=of),
                )


def _counts(report: Report) -> dict[str, int | None]:
    return {
        "size": report.size,
        "entries": report.entries,
        "raised": report.raised,
        "payloads": report.payloads,
        "expired": report.expired,
        "tiles": report.tiles,
        "streams": report.streams,
        "requests": report.requests,
    }


def _tell(report: Report) -> None:
    for name, count in _counts(report).items():
        typer.echo(f"{name:<10}{'unknown' if count is None else f'{count:,}':>14}")
    if not report.placed:
        typer.echo("places in streams were not checked: the entries themselves do not hold")
    for finding in report.findings:
        where = "the log" if finding.index is None else f"entry {finding.index}"
        typer.echo(f"{where}: {finding.reason}")
    if report.more:
        typer.echo(f"and {report.more} more")
    typer.echo("sound" if report.sound else "NOT SOUND: keep the database as it is, see docs/operations.md")


def _moment(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.time / 1000, UTC)
