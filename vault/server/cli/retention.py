"""`creditvault retention`: how long everything is kept, and what is due."""

from vault.server import retention
from vault.server.cli.acting import with_vault
from vault.server.cli.output import AsJson, print_json, print_table


def show(as_json: AsJson = False) -> None:
    """Show how long each kind of thing is kept, how much is past it, and how much a legal hold keeps back.

    The worker removes what is due: what lives for minutes every ten minutes, what lives for years each night.

    Example: `creditvault retention --json`
    """
    found = with_vault(retention.standing)
    if as_json:
        print_json(found)
        return
    print_table(
        ("what", "kept", "due", "held", "why"),
        [(one.name, one.kept, "-" if one.due is None else one.due, one.held, one.why) for one in found],
    )
