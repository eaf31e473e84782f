"""`creditvault log fsck`: the whole log examined in its database."""

import asyncio

import typer

from access_log.belonging import Owners
from access_log.fsck import Report, examine_log
from vault.crypto.errors import ProviderRefusedError, UnsealError
from vault.server.assembly import open_roots
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import check_schema, database_urls
from vault.server.settings import Settings


def fsck(as_json: AsJson = False) -> None:
    """Examine the whole log in its database: entries, tree, payloads, streams, requests, the log of roots.

    Exit code 1 means that something does not hold; the lowest bad index comes first.

    Example: `creditvault log fsck`
    """
    report = examined()
    tell(report, as_json=as_json)
    raise typer.Exit(0 if report.sound else 1)


def examined(owners: Owners | None = None) -> Report:
    """Examines the log of the settings, with progress.

    Args:
        owners: Knows whose stream is whose, where that is to be examined, too.
    """
    return asyncio.run(_examine(owners))


def tell(report: Report, *, as_json: bool) -> None:
    """Says what an examination found."""
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


async def _examine(owners: Owners | None) -> Report:
    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_roots(settings, urls.application) as (log, roots, _):
            with progress("examining") as bar:
                task = bar.task_ids[0]
                return await examine_log(
                    log,
                    # A provider that cannot answer now says nothing about a payload: that error goes out.
                    altered=(UnsealError, ProviderRefusedError),
                    retention_years=settings.payload_years,
                    owners=owners,
                    roots=roots,
                    progress=lambda done, of: bar.update(task, completed=done, total=of),
                )


def _counts(report: Report) -> dict[str, int | None]:
    return {
        "size": report.size,
        "entries": report.entries,
        "raised": report.raised,
        "payloads": report.payloads,
        "expired": report.expired,
        "lost": report.lost,
        "tiles": report.tiles,
        "streams": report.streams,
        "requests": report.requests,
        **({} if report.belonging is None else {"belonging": report.belonging}),
        **({} if report.roots is None else {"roots": report.roots.roots, "crowns": report.roots.crowns}),
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
