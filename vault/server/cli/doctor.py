"""`creditvault doctor`: is everything in place, and if not, what to do."""

import typer

from vault.server.cli.output import AsJson, print_json
from vault.server.examination import FAIL, examine
from vault.server.settings import Settings

CANNOT_RUN = 2


def doctor(as_json: AsJson = False) -> None:
    """Look at database, keys, clock, outside lock and permissions; each line says what to do.

    Exit code 2 means that the vault cannot run as it is.

    Example: `creditvault doctor`
    """
    checks = list(examine(Settings()))
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            typer.echo(f"{check.state:<5} {check.name:<13} {check.says}")
    raise typer.Exit(CANNOT_RUN if any(check.state == FAIL for check in checks) else 0)
