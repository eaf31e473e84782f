"""`creditvault keys expire`: what the worker does every day about months that are over."""

from typing import Annotated

import typer

from vault.records.month_ends import DueMonth, Ran
from vault.server.assembly import Vault, month_ends
from vault.server.cli.acting import with_vault
from vault.server.cli.output import AsJson, print_json, print_table

_HELD_UP = 1


def expire(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which months are due, and destroy nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy the expiry keys of months that are over; records with a longer life are carried on before.

    What hung on them is unreadable from then on, and in every backup once backups have aged out. It may be
    killed and repeated. Exit code 1: a month keeps its key, because something on it may still be shown.

    Example: `creditvault keys expire --dry-run --json`
    """
    if dry_run:
        _print_due(with_vault(_due), as_json=as_json)
        return
    ran = with_vault(_run)
    if as_json:
        print_json(ran)
    else:
        _print_ran(ran)
    if ran.held_up:
        raise typer.Exit(_HELD_UP)


async def _due(vault: Vault) -> list[DueMonth]:
    return await month_ends(vault).due()


async def _run(vault: Vault) -> Ran:
    return await month_ends(vault).run()


def _print_due(due: list[DueMonth], *, as_json: bool) -> None:
    if as_json:
        print_json(due)
        return
    print_table(
        ("month", "records", "of them to be carried on", "payloads"),
        [(one.month, one.records, one.lasting, one.payloads) for one in due],
    )


def _print_ran(ran: Ran) -> None:
    typer.echo(f"{ran.carried.records:,} records carried on to later months")
    if ran.carried.shortened:
        typer.echo(f"{ran.carried.shortened:,} that are shown no more moved to an earlier month")
    if ran.carried.stuck:
        typer.echo(f"{ran.carried.stuck:,} do not open and stay: see `creditvault doctor`")
    for done in ran.destroyed:
        final = "its provider keeps the key" if done.final_on is None else f"final on {done.final_on}"
        typer.echo(f"{done.month} destroyed with {done.records:,} records; {final}")
    for one in ran.held_up:
        typer.echo(f"{one.month} keeps its key: {one.lasting:,} records or held payloads on it last")
