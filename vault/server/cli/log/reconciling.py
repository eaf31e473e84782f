"""`creditvault log reconcile`: the log held against receipts and against the keyring's journal."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vault.server.assembly import open_log
from vault.server.cli.output import AsJson, print_json, progress
from vault.server.database import check_schema, database_urls
from vault.server.key_server_audit import KeyServerAudit, WithAudit
from vault.server.providers import journal
from vault.server.reconciliation import (
    Differences,
    Unwraps,
    reconcile_receipts,
    reconcile_unwraps,
)
from vault.server.settings import Settings


def reconcile(
    receipts: Annotated[
        Path | None,
        typer.Option(help="A receipt, or a folder of them: each must be of this log.", show_default=False),
    ] = None,
    audit: Annotated[
        list[Path] | None,
        typer.Option(
            "--key-server-audit",
            help="The key server's own audit log, which its host wrote; several, oldest first.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the log against the journal of unwraps, a key server's own, and receipts that bodies kept.

    Exit code 1 means that they differ; each difference is named.

    Example: `creditvault log reconcile --receipts /srv/receipts-of-the-bank`
    """
    found = Differences()
    unwraps, count = asyncio.run(_reconcile(receipts, audit or [], found))
    if as_json:
        print_json(
            {
                "agree": not found.listed,
                "receipts": count,
                "journal": asdict(unwraps),
                "differences": [asdict(one) for one in found.listed],
                "more": found.more,
            }
        )
    else:
        if count is not None:
            typer.echo(f"{count:,} receipts")
        typer.echo(
            f"{unwraps.lines:,} lines of the journal: {unwraps.unwrapped:,} unwraps and {unwraps.cached:,} "
            f"further uses for entries, {unwraps.jobs:,} for jobs; {unwraps.judged:,} entries judged"
        )
        for one in found.listed:
            typer.echo(f"{one.where}: {one.reason}")
        if found.more:
            typer.echo(f"and {found.more} more")
        typer.echo("they agree" if not found.listed else "THEY DIFFER: see docs/operations.md")
    raise typer.Exit(1 if found.listed else 0)


async def _reconcile(
    receipts: Path | None, audit: list[Path], found: Differences
) -> tuple[Unwraps, int | None]:
    settings = Settings()
    with database_urls(settings) as urls:
        check_schema(urls.application)
        async with open_log(settings, urls.application) as log:
            count = None
            if receipts is not None:
                with progress("receipts") as bar:
                    task = bar.task_ids[0]
                    count = await reconcile_receipts(
                        log, receipts, found, lambda done, of: bar.update(task, completed=done, total=of)
                    )
            with progress("journal") as bar:
                task = bar.task_ids[0]
                own = KeyServerAudit(audit, settings.openbao_mount, settings.openbao_prefix)
                lines = WithAudit(journal(settings), own) if audit else journal(settings)
                unwraps = await reconcile_unwraps(
                    log, lines, found, lambda done, of: bar.update(task, completed=done, total=of)
                )
            for name in own.more_checked_than_wrapped():
                found.add(f"key {name}", "more wraps were opened as checks than were made")
            return unwraps, count
