"""Commands about the log, each group in a file of its own."""

import typer

from vault.server.cli.log import (
    archiving,
    auditing,
    closing,
    ending,
    examining,
    publishing,
    rebuilding,
    reconciling,
    reimporting,
    rotating,
    showing,
)
from vault.server.cli.output import examples

app = typer.Typer(
    no_args_is_help=True,
    help="The access log: show entries, publish and archive it, and examine the whole of it.",
    epilog=examples(
        "creditvault log show --last 20", "creditvault log publish /srv/log", "creditvault log fsck --json"
    ),
)
app.command()(showing.show)
app.command()(publishing.publish)
app.command()(archiving.archive)
app.command()(reconciling.reconcile)
app.command()(examining.fsck)
app.command()(rotating.rotate_key)
app.command(name="close")(closing.close_log)
app.command(name="reimport")(reimporting.reimport_entries)
app.command()(auditing.audit_streams)
app.command(name="endings")(ending.endings)
app.command(name="rebuild")(rebuilding.rebuild_derived)
